"""Rows of a table, chosen and rendered, as the token store that SFT, the reward model and DPO train on.

A unit is what becomes one row of the store: the sequences of one block, the chosen and the rejected side of a pair, or
a labelled completion and a mismatched one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from medray.core.config import Config, UserError
from medray.core.identity import stable_hash
from medray.core.workspace import Workspace

if TYPE_CHECKING:
    from medray.model.render import Rendered

_ROWS_PER_SHARD = 1024


class RenderConfig(Config):
    """What becomes of rows that are too long or cannot be rendered."""

    oversize: Literal["drop", "truncate_history", "error"]
    """Of a row with a sequence beyond the stage's limit of tokens. `truncate_history`: the oldest question and its
    answer leave, then the next, until the rest fits; the system message stays. Where the last question is too long by
    itself the row is dropped: no text is ever cut inside."""
    max_bad_fraction: float = Field(default=0.01, ge=0, le=1)
    """Largest share of rows that may fail to render (quarantined with the reason)."""


def choose_rows(
    rows: Sequence[dict[str, Any]], num_rows: int | None, rng_seed: int, stage: str
) -> list[dict[str, Any]]:
    """`num_rows` (None: all) of the train split in hash order of their ids. Raises UserError when there are fewer."""
    train = [row for row in rows if row["split"] == "train"]
    train.sort(key=lambda row: place_of(row["id"], rng_seed, stage))
    return train[: num_wanted(stage, len(train), num_rows)]


def place_of(id: str, rng_seed: int, stage: str) -> tuple[int, str]:
    """Where a row stands in hash order."""
    return stable_hash(f"{stage} order", rng_seed, id), id


def num_wanted(stage: str, num_there: int, num_rows: int | None) -> int:
    """`num_rows`, or all where it is None. Raises UserError when there are fewer, or none."""
    wanted = num_there if num_rows is None else num_rows
    if not 0 < wanted <= num_there:
        raise UserError(f"{stage}: {wanted} rows wanted, {num_there} in the train split: want fewer, or make more")
    return wanted


def render_rows(
    rows: Sequence[dict[str, Any]],
    render_row: Callable[[dict[str, Any]], list[Rendered]],
    config: RenderConfig,
    max_tokens: int,
    workspace: Workspace,
    *,
    mark: str = "render",
    num_rows: int | None = None,
) -> tuple[list[tuple[dict[str, Any], list[Rendered]]], dict[str, int]]:
    """Each usable row with its sequences; how many rows were dropped as too long (num_oversize), and how many lost some
    of their history, so of their messages, to fit (num_truncated).

    mark, num_rows: of a part, its key and the rows of all parts. A row with a sequence of which no token is in the
    loss is bad. Raises UserError when too many rows are bad, and for a row too long where that is an error.
    """
    usable, bad, counts = [], [], {"num_oversize": 0, "num_truncated": 0}
    for number, row in enumerate(rows):
        if num_rows is None and number % 256 == 0:
            workspace.journal.progress(number, len(rows), "rows rendered")
        try:
            sequences = render_row(row)
            if _longest(sequences) > max_tokens and config.oversize == "truncate_history":
                row, sequences = _with_less_history(row, render_row, max_tokens)
                counts["num_truncated"] += _longest(sequences) <= max_tokens
            if not all(any(sequence.loss_mask[1:]) for sequence in sequences):
                raise UserError("no token in the loss, expected an answer: drop the row")
        except UserError as error:
            bad.append({"where": f"row {row['id']}", "reason": str(error), "row": row})
            continue
        if _longest(sequences) <= max_tokens:
            usable.append((row, sequences))
        elif config.oversize == "error":
            raise UserError(
                f"{workspace.label}: row {row['id']} is {_longest(sequences)} tokens, expected at most {max_tokens}: "
                'raise the limit, or set oversize to "drop" or "truncate_history"'
            )
        else:
            counts["num_oversize"] += 1
    workspace.quarantine(mark, bad)
    workspace.check_quarantine(len(rows) if num_rows is None else num_rows, config.max_bad_fraction)
    return usable, counts


def _longest(sequences: Sequence[Rendered]) -> int:
    return max(len(sequence.ids) for sequence in sequences)


def _with_less_history(
    row: dict[str, Any], render_row: Callable[[dict[str, Any]], list[Rendered]], max_tokens: int
) -> tuple[dict[str, Any], list[Rendered]]:
    """A row without its oldest exchanges, as few as must leave, and its sequences; the whole one where none helps."""
    messages = row["messages"]
    questions = [index for index, message in enumerate(messages) if message["role"] == "user"]
    for index in questions[1:]:
        shorter = {**row, "messages": [*messages[: questions[0]], *messages[index:]]}
        if _longest(sequences := render_row(shorter)) <= max_tokens:
            return shorter, sequences
    return row, render_row(row)


def write_store(
    directory: Path,
    kind: str,
    model: Path,
    units: Sequence[Sequence[Rendered]],
    *,
    block_tokens: int = 0,
    references: Sequence[Sequence[float]] | None = None,
    labels: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Write units rendered with the tokenizer of `model` as a token store; returns its facts.

    references: for each unit one log-probability (nats) for each of its sequences. labels: for each unit one, as the
    token store defines them.
    """
    from medray.model.tokenizer import tokenizer_digest
    from medray.tables.blocks import BlockWriter

    writer = BlockWriter(directory, kind, tokenizer_digest(model), block_tokens, _ROWS_PER_SHARD)
    none = [None] * len(units)
    for unit, reference, label in zip(units, references or [()] * len(units), labels or none, strict=True):
        writer.add(
            [token for sequence in unit for token in sequence.ids],
            [len(sequence.ids) for sequence in unit],
            [flag for sequence in unit for flag in sequence.loss_mask],
            reference,
            label,
        )
    return writer.close()
