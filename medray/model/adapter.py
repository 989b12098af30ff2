"""LoRA and QLoRA: adapters put into a model, their PEFT directory, and their merge into a plain model.

The adapted model keeps its class, so that the loop, its checkpoints and its partitions see an ordinary model of which
few parameters want a gradient.   Shapes: O outputs, I inputs, R rank.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from medray.core.config import Config, UserError

_NAME = "default"
"""PEFT's name of the one adapter; it stands in parameter names and is left out of files."""


class Adapter(Config):
    """Low-rank changes of frozen matrices: W + alpha/rank B A. Source: Hu et al. 2021 (LoRA), section 4.1."""

    rank: int = Field(ge=1)
    alpha: float = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)
    """of the input of A, in training"""
    targets: tuple[str, ...] = Field(min_length=1)
    """Linear modules by the end of their name: `q_proj` is one in each layer, `layers.3.mlp.up_proj` is one."""
    quantize: Literal["nf4"] | None = None
    """4-bit frozen weights (QLoRA, Dettmers et al. 2023: NormalFloat, double quantisation); needs a GPU."""


def check_targets(directory: str | Path, adapter: Adapter) -> None:
    """Raise UserError when a target names no linear module of a model; needs its config.json only, no weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(directory, local_files_only=True)
    with torch.device("meta"):
        _check(AutoModelForCausalLM.from_config(config), adapter)


def _check(model: Any, adapter: Adapter) -> None:
    from torch import nn

    head = model.get_output_embeddings()  # often tied to the embeddings, and the loss reads its weight
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module is not head]
    for target in adapter.targets:
        if not any(f".{name}".endswith(f".{target}") for name in linear):
            there = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in linear))
            raise UserError(f"adapter.targets: {target!r} names no linear module; there are {there}: name some of them")


def load_adapted(directory: str | Path, dtype: str, adapter: Adapter) -> Any:
    """A policy with a fresh adapter (A random, the same in every run; B zero), which alone wants gradients."""
    import torch
    from peft import inject_adapter_in_model

    from medray.model.load import load_policy

    if adapter.quantize and not torch.cuda.is_available():
        raise UserError(
            f"adapter.quantize: {adapter.quantize} needs a GPU, and this machine has none: set quantize to none, which "
            "is LoRA, or run where there is one"
        )
    model = load_policy(directory, dtype, quantize=adapter.quantize)
    _check(model, adapter)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        inject_adapter_in_model(peft_config(adapter), model, adapter_name=_NAME)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def peft_config(adapter: Adapter) -> Any:
    """An adapter in PEFT's words."""
    from peft import LoraConfig

    return LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=list(adapter.targets),
        task_type="CAUSAL_LM",
    )


def save_adapter(model: Any, adapter: Adapter, directory: str | Path) -> None:
    """Write the adapter of a model (fp32) as a PEFT directory, which PEFT and vLLM load onto the base."""
    from safetensors.torch import save_file

    from medray.model.export import model_card

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    config = peft_config(adapter)
    config.target_modules = sorted(adapter.targets)  # PEFT makes a set of them, whose order is not the same twice
    config.inference_mode = True
    config.save_pretrained(str(directory))
    tensors = {
        f"base_model.model.{name.replace(f'.{_NAME}.', '.')}": parameter.detach().float().cpu().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    save_file(tensors, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    (directory / "adapter_model.safetensors").chmod(0o644)
    (directory / "README.md").write_text(model_card({"title": "LoRA adapter", **adapter.model_dump(mode="json")}))


def load_saved_adapter(model: Any, directory: str | Path) -> Any:
    """A model with the adapter of a PEFT directory put into it."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, str(directory)).base_model.model


def merge(model: Any) -> Any:
    """The same model with its adapter added to the weights (in fp32, rounded once) and 4-bit weights unpacked."""
    import torch
    from peft.tuners.lora import LoraLayer
    from torch import nn

    layers = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer) or (_is_packed(module) and not name.endswith(".base_layer"))
    ]
    dtype = model.get_input_embeddings().weight.dtype
    is_packed = any(map(_is_packed, model.modules()))
    for name, module in layers:
        base = module.get_base_layer() if isinstance(module, LoraLayer) else module
        with torch.no_grad():
            weight_OI = _unpacked(base)
            if base is not module:
                a_RI, b_OR = module.lora_A[_NAME].weight.float(), module.lora_B[_NAME].weight.float()
                weight_OI = weight_OI.float() + module.scaling[_NAME] * (b_OR @ a_RI)
        plain = nn.Linear(base.in_features, base.out_features, bias=base.bias is not None, device="meta")
        plain.weight, plain.bias = nn.Parameter(weight_OI.to(dtype)), base.bias
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, plain)
    for attribute in ("peft_config", "hf_quantizer"):
        if hasattr(model, attribute):
            delattr(model, attribute)
    if is_packed:
        del model.config.quantization_config
    return model.requires_grad_(True)


def _is_packed(module: Any) -> bool:
    return hasattr(getattr(module, "weight", None), "quant_state")


def _unpacked(linear: Any) -> Any:
    """The weight of a linear module, (O, I); of a 4-bit one the values that its forward pass computes with."""
    if not _is_packed(linear):
        return linear.weight.data
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(linear.weight.data, linear.weight.quant_state)
