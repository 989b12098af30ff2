"""A model's tokenizer without transformers and torch, whose import takes a worker seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medray.core.config import UserError
from medray.core.identity import content_id

_AS_SAVED = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""Classes of transformers that take tokenizer.json as it is; others build theirs from parts of it."""


def open_backend(directory: str | Path) -> tuple[Any, int]:
    """The Rust tokenizer (`tokenizers.Tokenizer`) that `load_tokenizer` would wrap, and the id of EOS.

    It neither pads nor truncates, and special tokens written in a text are text.
    """
    directory = Path(directory)
    settings = _settings(directory)[1]
    if settings.get("tokenizer_class") in _AS_SAVED and settings.get("eos_token"):
        from tokenizers import Tokenizer

        backend = Tokenizer.from_file(str(directory / "tokenizer.json"))
        eos = backend.token_to_id(_token_text(settings["eos_token"]))
        if eos is None:
            raise UserError(
                f"{directory}: the EOS token {settings['eos_token']!r} is not in the vocabulary: correct eos_token in "
                "tokenizer_config.json"
            )
    else:
        from medray.model.load import load_tokenizer

        loaded = load_tokenizer(directory)
        backend, eos = loaded.backend_tokenizer, loaded.eos_token_id
    backend.no_padding()
    backend.no_truncation()
    backend.encode_special_tokens = True
    return backend, eos


def tokenizer_digest(directory: str | Path) -> str:
    """32 hex digits of all that decides ids: tokenizer.json, the chat template and the EOS and BOS tokens."""
    directory = Path(directory)
    vocabulary, settings = _settings(directory)
    template = directory / "chat_template.jinja"
    text = template.read_text() if template.exists() else settings.get("chat_template") or ""
    # truncation and padding are settings of the last call, not of the vocabulary
    vocabulary = {key: value for key, value in vocabulary.items() if key not in ("truncation", "padding")}
    return content_id(vocabulary, text, [_token_text(settings.get(name)) for name in ("eos_token", "bos_token")])


def _token_text(value: Any) -> str:
    return value["content"] if isinstance(value, dict) else value or ""


def _settings(directory: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of tokenizer.json and of tokenizer_config.json."""
    try:
        return tuple(json.loads((directory / name).read_text()) for name in ("tokenizer.json", "tokenizer_config.json"))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: missing, expected a tokenizer: save the model's tokenizer there") from error
