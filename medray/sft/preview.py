"""What a model would be trained to say: conversations of a file as its renderer reads them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medray.core.config import UserError

_MAX_CONVERSATIONS = 8
_MAX_ROW_BYTES = 10_000_000


def preview(model: Path, file: Path, page: Path) -> list[list[tuple[str, bool]]]:
    """Runs of text with whether they are in the loss, for each of the first conversations; writes their page of tokens.

    file: .jsonl, .json or .parquet with a field `messages`, whose items have a role and a content. Raises
    UserError, with the row, for what cannot be rendered.
    """
    from medray.model.load import load_tokenizer
    from medray.model.render import render, tokens_page

    tokenizer = load_tokenizer(model)
    rendered = []
    for number, messages in enumerate(islice(_conversations(file), _MAX_CONVERSATIONS), 1):
        try:
            rendered.append(render(tokenizer, messages))
        except UserError as error:
            raise UserError(f"{file}: row {number}: {error}") from error
    page.write_text(tokens_page(tokenizer, rendered, f"{file.name}: what is in the loss"))
    return [_runs(tokenizer, example) for example in rendered]


def _conversations(file: Path) -> Iterator[list[dict[str, str]]]:
    from medray.tables.formats import sound_rows

    for number, row in sound_rows(file, str(file), (".jsonl", ".json", ".parquet"), _MAX_ROW_BYTES):
        if not isinstance(row.get("messages"), list):
            raise UserError(f"{file}: row {number}: no list `messages`, expected role and content of each: add it")
        yield row["messages"]


def _runs(tokenizer: Any, example: Any) -> list[tuple[str, bool]]:
    """Neighbouring tokens of one kind as one text, so that characters of several tokens are whole."""
    edges = [i for i, flag in enumerate(example.loss_mask) if i == 0 or flag != example.loss_mask[i - 1]]
    return [
        (tokenizer.decode(example.ids[start:stop]), bool(example.loss_mask[start]))
        for start, stop in zip(edges, [*edges[1:], len(example.ids)], strict=True)
    ]
