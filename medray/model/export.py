"""Writing models as Hugging Face directories that transformers and vLLM load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from medray.model.render import stop_ids

NOTICE = (
    "Research only. Not a medical device: not for diagnosis, treatment or advice. It was made automatically and its "
    "statements can be wrong."
)


def save_model(model: Any, tokenizer: Any, directory: str | Path, card: dict[str, Any]) -> None:
    """Write weights (safetensors), config, generation config with stop ids, tokenizer with chat template and README.

    The same weights, tokenizer and card give the same bytes. card: plain facts for README.md, e.g. base, stage, data,
    licences; "title" heads the page. Policies and reward models alike.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    model.config._name_or_path = ""
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.eos_token_id = tokenizer.eos_token_id
    if model.can_generate():
        stops = stop_ids(tokenizer) if tokenizer.chat_template else [tokenizer.eos_token_id]
        model.generation_config = GenerationConfig(
            bos_token_id=tokenizer.bos_token_id, eos_token_id=stops, pad_token_id=tokenizer.pad_token_id
        )
    model.save_pretrained(directory)
    for path in directory.glob("*.safetensors"):
        path.chmod(0o644)  # safetensors makes them readable by their owner only; serving may be another user
    tokenizer.save_pretrained(directory)
    (directory / "README.md").write_text(model_card(card))


def model_card(card: dict[str, Any]) -> str:
    """The README of a model directory: notice first, then one line for each fact of the card, in its order."""
    lines = ["---", "library_name: transformers", "tags: [medray]", "---", "", f"# {card.get('title', 'Model')}", ""]
    lines += [f"> {NOTICE}", ""]
    for name, value in card.items():
        if name != "title":
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
            lines.append(f"- **{name.replace('_', ' ')}**: {text}")
    return "\n".join(lines) + "\n"
