"""Chat templates by name, for base models that have none: files of `templates/`, stored with the model from then on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

TemplateName = Literal["alpaca", "chatml", "gemma", "llama2", "llama3", "mistral", "qwen"]
TEMPLATES: tuple[str, ...] = get_args(TemplateName)


def chat_template(name: str, tokenizer: Any = None) -> str:
    """The template of a name; for a tokenizer that has no BOS, or writes none itself, without it."""
    text = (Path(__file__).parent / "templates" / f"{name}.jinja").read_text().strip()
    if tokenizer is not None and (tokenizer.bos_token_id not in tokenizer("a").input_ids[:1]):
        text = text.replace("{{- bos_token -}}\n", "")
    return text
