"""Loading policies, reward models and tokenizers.   Shapes: B sequences, T tokens, D hidden.

Hugging Face directories only, never a hub name: what a run uses is on disk and has a digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from medray.core.config import UserError
from medray.model.tree import TokenTree, padded

transformers_logging.disable_progress_bar()
# its load report is checked below and raised, not printed
transformers_logging.set_verbosity_error()

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_PAD_CANDIDATES = ("<|endoftext|>", "<|finetune_right_pad_id|>", "<|pad|>", "<pad>", "[PAD]", "<unk>")


def load_tokenizer(directory: str | Path) -> Any:
    """The tokenizer of a model directory, with a pad token that is never the EOS token.

    Where the directory's pad token is missing or equals EOS (SmolLM2's does), a special token of the vocabulary takes
    its place; none is added, so embeddings keep their size. Raises UserError when the directory has no tokenizer, or
    no token can be the pad.
    """
    directory = Path(directory)
    if not (directory / "tokenizer.json").exists():
        raise UserError(f"{directory}: no tokenizer.json, expected a Hugging Face model directory: save its tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    if tokenizer.eos_token_id is None:
        raise UserError(f"{directory}: the tokenizer has no EOS token: set eos_token in tokenizer_config.json")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        vocabulary = tokenizer.get_vocab()
        usable = [token for token in _PAD_CANDIDATES if token in vocabulary and token != tokenizer.eos_token]
        if not usable:
            raise UserError(
                f"{directory}: pad token is {tokenizer.pad_token!r}, expected one that is not EOS, and none of "
                f"{', '.join(_PAD_CANDIDATES)} is in the vocabulary: set pad_token in tokenizer_config.json"
            )
        tokenizer.pad_token = usable[0]
    return tokenizer


def load_policy(directory: str | Path, dtype: str, *, quantize: str | None = None) -> Any:
    """A causal language model in evaluation mode, sdpa attention. dtype: "bf16" or "fp32".

    quantize: "nf4" packs the weights of linear layers, but the head's, into 4 bits on the present GPU.
    """
    config = AutoConfig.from_pretrained(_with_config(directory), local_files_only=True)
    placed = _packed_weights(quantize, dtype) if quantize else {}
    return _load(AutoModelForCausalLM, Path(directory), config, dtype, may_miss=(), **placed)


def _packed_weights(quantize: str, dtype: str) -> dict[str, Any]:
    """Arguments of from_pretrained. Source: Dettmers et al. 2023 (QLoRA): NormalFloat4, double quantisation."""
    from importlib.util import find_spec

    from transformers import BitsAndBytesConfig

    assert quantize == "nf4", f"quantize {quantize!r}, expected nf4"
    if find_spec("bitsandbytes") is None:
        raise UserError("adapter.quantize: nf4 needs the package bitsandbytes, which is not installed: install it")
    packing = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=DTYPES[dtype],
    )
    device = torch.cuda.current_device() if torch.cuda.is_available() else "cpu"
    return {"quantization_config": packing, "device_map": {"": device}}


def load_reward_model(directory: str | Path, dtype: str, *, from_policy: bool = False) -> Any:
    """A sequence classifier with one logit, in evaluation mode, sdpa attention; its head `score` stays in fp32.

    from_policy: the directory holds a policy; its backbone gets a new head, the same in every run, drawn from
    N(0, 1/(D + 1)) (Stiennon et al. 2020, appendix B.1). Choices: not zeros; a head that starts there grows by a
    learning rate a step, and its gradient to the backbone is as small as it is (LOG.md).
    Raises UserError when the directory holds a policy and from_policy is False, or a reward model and it is True.
    """
    directory = _with_config(directory)
    config = AutoConfig.from_pretrained(directory, local_files_only=True)
    is_reward_model = any(name.endswith("ForSequenceClassification") for name in config.architectures or ())
    if is_reward_model == from_policy:
        found = "reward model" if is_reward_model else "policy"
        raise UserError(f"{directory}: holds a {found} ({config.architectures}), expected the other kind: name another")
    config.num_labels = 1
    config.pad_token_id = load_tokenizer(directory).pad_token_id
    may_miss = ("score.weight",) if from_policy else ()
    model = _load(AutoModelForSequenceClassification, directory, config, dtype, may_miss)
    # bf16 would round rewards near 4 to steps of 1/64, and equal rewards make no pair
    model.score.float()
    if from_policy:
        std = (model.score.in_features + 1) ** -0.5
        torch.nn.init.normal_(model.score.weight, std=std, generator=torch.Generator().manual_seed(0))
    return model


def pooled_rewards(model: Any, families: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """Rewards (B, fp32, differentiable) of all sequences of all families, in order, pooled at each one's last token.

    A family is sequences of token ids that may begin alike, such as a prompt with each of its completions: what they
    share is computed once. A reward does not depend on its family or batch beyond floating-point order, nor on the pad
    id (transformers' own pooling looks for pad ids).
    """
    assert families and all(family and all(map(len, family)) for family in families), "rewards of an empty sequence"
    trees = [TokenTree() for _ in families]
    last = [
        (row, spots[-1])
        for row, (tree, family) in enumerate(zip(trees, families, strict=True))
        for spots in tree.add_siblings(family)
    ]
    device = model.score.weight.device
    ids_BT, positions_BT, mask_B1TT = (tensor.to(device) for tensor in padded(trees, model.dtype))
    hidden_BTD = model.base_model(
        input_ids=ids_BT, position_ids=positions_BT, attention_mask=mask_B1TT, use_cache=False
    ).last_hidden_state
    rows, spots = torch.tensor(last).unbind(1)
    return model.score(hidden_BTD[rows, spots].to(model.score.weight.dtype)).float().squeeze(-1)


def _load(kind: Any, directory: Path, config: Any, dtype: str, may_miss: tuple[str, ...], **placed: Any) -> Any:
    if not any(directory.glob("*.safetensors")):
        raise UserError(f"{directory}: no *.safetensors, expected weights: save the model there with save_pretrained")
    assert dtype in DTYPES, f"dtype {dtype!r}, expected one of {sorted(DTYPES)}"
    model, report = kind.from_pretrained(
        directory,
        config=config,
        dtype=DTYPES[dtype],
        attn_implementation="sdpa",
        local_files_only=True,
        output_loading_info=True,
        **placed,
    )
    # transformers fills what is missing with random numbers
    missing = sorted(set(report["missing_keys"]) - set(may_miss))
    if missing:
        raise UserError(f"{directory}: {len(missing)} weights are missing, first {missing[0]}: save the whole model")
    return model.eval()


def _with_config(directory: str | Path) -> Path:
    directory = Path(directory)
    if not (directory / "config.json").exists():
        raise UserError(f"{directory}: no config.json, expected a Hugging Face model directory: give one")
    return directory
