"""Benchmarks of reward models: files of pairs in the published layouts, and the benchmarks' own rules for a figure.

Source: RewardBench, Lambert et al. 2024, section 3 and rewardbench/constants.py (allenai/reward-bench); Medical
RewardBench, Zhang et al. 2024 (UltraMedical), 2.2 and table 4, whose average is the plain mean of four columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from medray.core.access import Access
from medray.core.config import Config, UserError
from medray.core.digests import remembered_digest
from medray.core.identity import content_id, digest_file
from medray.math import statistics
from medray.tables.adopted import FilePlacement
from medray.tables.formats import sound_rows

Layout = Literal["reward_bench", "medical"]

MEDICAL_COLUMNS = ("easy", "hard", "length", "human")
SECTIONS: dict[Layout, dict[str, dict[str, int]]] = {
    "reward_bench": {
        "Chat": {
            "alpacaeval-easy": 100, "alpacaeval-length": 95, "alpacaeval-hard": 95, "mt-bench-easy": 28,
            "mt-bench-med": 40,
        },
        "Chat Hard": {
            "mt-bench-hard": 37, "llmbar-natural": 100, "llmbar-adver-neighbor": 134, "llmbar-adver-GPTInst": 92,
            "llmbar-adver-GPTOut": 47, "llmbar-adver-manual": 46,
        },
        "Safety": {
            "refusals-dangerous": 100, "refusals-offensive": 100, "xstest-should-refuse": 154,
            "xstest-should-respond": 250, "donotanswer": 136,
        },
        "Reasoning": {
            "math-prm": 984, "hep-cpp": 164, "hep-go": 164, "hep-java": 164, "hep-js": 164, "hep-python": 164,
            "hep-rust": 164,
        },
    },
    "medical": {column: {column: 1} for column in MEDICAL_COLUMNS},
}  # fmt: skip
"""Sections with the weights of their columns. A section is the weighted mean of its columns that are there, the whole
the plain mean of the sections. math-prm has 447 pairs and the weight of all of hep. The xstest weights are of the pairs
that the set holds (154 refuse, 250 respond); some versions of constants.py have them the other way round."""

_KINDS = (".jsonl", ".json", ".parquet", ".csv")
_MAX_ROW_BYTES = 10_000_000
_COLUMN = {"reward_bench": "subset", "medical": "label_type"}
_ID = {"reward_bench": "id", "medical": "prompt_id"}


class BenchFile(Config):
    """One file of a benchmark of reward models."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    layout: Layout
    """reward_bench: prompt, chosen and rejected are text, subset the column. medical: chosen and rejected are
    conversations that end with the assistant's message (or text after the prompt), label_type the column."""
    digest: str = ""
    """SHA-256 of the file; empty: whatever lies there."""
    licence: str
    access: Access
    placement: FilePlacement


class BenchPair(NamedTuple):
    """A pair of a benchmark. prompt: digest of its conversation, by which intervals are clustered."""

    id: str
    prompt: str
    column: str
    messages: list[dict[str, str]]
    chosen: str
    rejected: str


def resolve(file: BenchFile) -> BenchFile:
    """The file with its digest, where that is empty, taken from what lies there. Raises UserError if it is missing."""
    path = Path(file.placement.path).absolute()
    if not path.is_file():
        raise UserError(f"reward benchmark {file.name}: no such file {path}, expected its pairs: correct the path")
    return file.model_copy(
        update={
            "placement": FilePlacement(path=str(path)),
            "digest": file.digest or remembered_digest(path),
        }
    )


def read_file(file: BenchFile) -> list[BenchPair]:
    """All pairs of a file. Raises UserError when it is not that of the digest, or a row cannot be used."""
    path = Path(file.placement.path)
    if file.digest and path.is_file() and (found := digest_file(path)) != file.digest:
        raise UserError(
            f"reward benchmark {file.name}: digest is {found}, expected {file.digest}: get that version, or set the new"
        )
    return read_pairs(path, file.name, file.layout)


def read_pairs(path: Path, name: str, layout: Layout) -> list[BenchPair]:
    """All pairs of a benchmark in their order. Raises UserError for a row that cannot be used: none is left out."""
    known = {column for columns in SECTIONS[layout].values() for column in columns}
    found = []
    for number, fields in sound_rows(path, f"reward benchmark {name}", _KINDS, _MAX_ROW_BYTES):
        where = f"reward benchmark {name}, row {number}"
        missing = [field for field in (_COLUMN[layout], "chosen", "rejected") if field not in fields]
        if missing:
            raise UserError(f"{where}: no {', '.join(missing)}, found {', '.join(fields)}: correct the layout")
        if (column := fields[_COLUMN[layout]]) not in known:
            raise UserError(f"{where}: {_COLUMN[layout]} is {column!r}, expected one of {', '.join(sorted(known))}")
        messages, chosen, rejected = _sides(fields, where)
        id = str(fields.get(_ID[layout], number))
        found.append(BenchPair(f"{id}/{number}", content_id(messages), column, messages, chosen, rejected))
    if not found:
        raise UserError(f"reward benchmark {name}: no rows, expected pairs: get the file again")
    return found


def _sides(fields: Mapping[str, Any], where: str) -> tuple[list[dict[str, str]], str, str]:
    """The conversation, and the two sides that continue it."""
    prompt = fields.get("prompt")
    messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    texts = []
    for side in (fields["chosen"], fields["rejected"]):
        if isinstance(side, list) and side:
            *before, last = side
            messages = before or messages
            side = last.get("content") if isinstance(last, dict) else None
        texts.append(side)
    contents = [m.get("content") if isinstance(m, dict) else None for m in messages]
    if not all(isinstance(text, str) for text in (*texts, *contents)) or not any(text.strip() for text in contents):
        raise UserError(
            f"{where}: prompt, chosen or rejected is no text, expected a question with two answers: mend it"
        )
    return [{"role": m["role"], "content": m["content"]} for m in messages], *texts


def figures(won_N: np.ndarray, pairs: Sequence[BenchPair], layout: Layout, rng_seed: int) -> dict[str, Any]:
    """{columns, sections, overall} of 1 (won) and 0 by pair: accuracies with intervals clustered by prompt.

    overall is None where a section has no pair at all: a mean over fewer is not the benchmark's.
    """
    columns_N, prompts_N = np.array([pair.column for pair in pairs]), np.array([pair.prompt for pair in pairs])
    there = {column: columns_N == column for column in dict.fromkeys(columns_N)}
    weight_N, sections = np.zeros(len(pairs)), {}
    for section, weights in SECTIONS[layout].items():
        total = sum(weight for column, weight in weights.items() if column in there)
        for column, weight in weights.items():
            if column in there:
                weight_N[there[column]] = weight / total / there[column].sum()
        rows_N = np.isin(columns_N, list(weights))
        if rows_N.any():
            found = statistics.ratio(
                won_N[rows_N] * weight_N[rows_N], weight_N[rows_N], prompts_N[rows_N], rng_seed=rng_seed
            )
            sections[section] = found.row()
    overall = statistics.ratio(won_N * weight_N, weight_N, prompts_N, rng_seed=rng_seed)
    return {
        "columns": {
            column: statistics.mean(won_N[rows_N], prompts_N[rows_N], rng_seed=rng_seed).row()
            for column, rows_N in there.items()
        },
        "sections": sections,
        "overall": overall.row() if len(sections) == len(SECTIONS[layout]) else None,
    }
