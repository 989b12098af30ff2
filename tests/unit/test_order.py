"""Planning the order and packing file by file, for any number of parts, against one plain loop over all units."""

from __future__ import annotations

import random
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from medray.core.config import UserError
from medray.core.identity import stable_hash
from medray.core.workspace import Root, Workspace
from medray.corpus.assemble import pack_file
from medray.corpus.build import CorpusConfig
from medray.corpus.order import hashed, plan_order
from medray.corpus.tokenise import DOCUMENTS, read_mapped, write_mapped
from medray.tables.blocks import BlockStore, BlockWriter, write_facts
from medray.tables.shards import Shard
from tests.unit.plain_mixture import Unit, cut_blocks, interleave, split_lengths

PARTS = {"medical": 15, "clinical": 1, "general": 4}


def config(**changes: object) -> CorpusConfig:
    fields = {
        "proportions": PARTS, "token_budget": 0, "max_epochs": 1, "max_unit_tokens": 90, "block_tokens": 64,
        "blocks_per_file": 12, "rng_seed": 3,
    }  # fmt: skip
    return CorpusConfig.model_validate({**fields, **changes})


def made(count: int = 30, seed: int = 0) -> list[dict]:
    """Documents of five sources; names that JSON must escape, and the same id in two sources."""
    draw = random.Random(seed)
    sizes = {("papers", "medical"): 10, ("books", "medical"): 3, ("notes", "clinical"): 2, ("web", "general"): 5}
    rows = [
        {"id": f'{category}-{i} "ü\\\n', "source": source, "category": category,
         "num_tokens": draw.choice([1, 2, 30, 90, 91, 400]), "copies": 1}
        for (source, category), share in sizes.items() for i in range(count * share // 5)
    ]  # fmt: skip
    draw.shuffle(rows)
    return rows


def workspace_with(directory: Path, rows: list[dict], num_parts: int) -> tuple[Workspace, dict[str, dict]]:
    """A workspace with tokenised parts; a document's tokens are its own numbers."""
    workspace = Workspace(Root(str(directory)), "corpus", "1", "corpus")
    facts = {}
    for part in range(num_parts):
        mine = rows[part::num_parts]
        lengths = [row["num_tokens"] for row in mine]
        starts = list(accumulate(lengths, initial=0))
        table = pa.Table.from_pylist([{**row, "start": s} for row, s in zip(mine, starts, strict=False)], DOCUMENTS)
        write_mapped(table, workspace.scratch / f"part-{part}.documents.arrow")
        tokens = np.concatenate([np.zeros(0, np.uint16), *map(tokens_of, mine)]).astype(np.uint16)
        tokens.tofile(workspace.scratch / f"part-{part}.tokens")
        facts[f"part-{part}"] = {"rows": len(mine), "token_bytes": 2}
    return workspace, facts


def tokens_of(row: dict) -> np.ndarray:
    return (np.arange(row["num_tokens"]) + stable_hash(row["source"], row["id"]) % 60_000) % 60_000


def order_of(workspace: Workspace) -> list[dict]:
    return pq.read_table(workspace.data / "order").to_pylist()


def built(settings: CorpusConfig, workspace: Workspace, facts: dict[str, dict]) -> dict:
    planned = plan_order(settings, workspace.scratch, list(facts))
    num_files = -(-planned["num_tokens"] // (settings.block_tokens * settings.blocks_per_file))
    files = [
        pack_file(Shard("", {"number": number}), config=settings, parts=facts, workspace=workspace)
        for number in reversed(range(num_files))
    ]
    counts = {name: sum(file.pop(name) for file in files) for name in ("num_tokens", "num_loss_tokens")}
    write_facts(workspace.data / "store", "causal_lm", "digest", settings.block_tokens, files[::-1], **counts)
    return planned


def plain_store(settings: CorpusConfig, rows: list[dict], budget: int, directory: Path) -> list[dict]:
    """The store written row by row, and its order."""
    units = [
        Unit(row["id"], piece, row["source"], row["category"], length)
        for row in rows
        for piece, length in enumerate(split_lengths(row["num_tokens"], settings.max_unit_tokens))
    ]
    placed = interleave(units, settings.proportions, budget, settings.max_epochs, settings.rng_seed)
    whole = {(row["source"], row["id"]): row for row in rows}
    tokens, order = [], []
    for unit, epoch in placed:
        row = whole[unit.source, unit.id]
        before = sum(split_lengths(row["num_tokens"], settings.max_unit_tokens)[: unit.piece])
        order.append({**unit._asdict(), "epoch": epoch, "start": sum(map(len, tokens))})
        tokens.append(tokens_of(row)[before : before + unit.num_tokens])
    writer = BlockWriter(directory, "causal_lm", "digest", settings.block_tokens, settings.blocks_per_file)
    at, flat = 0, np.concatenate(tokens)
    for lengths in cut_blocks([unit.num_tokens for unit, _ in placed], settings.block_tokens):
        size = sum(lengths)
        writer.add(flat[at : at + size], lengths, [1] * size)
        at += size
    writer.close()
    return order


@pytest.mark.parametrize("num_parts", [1, 2, 7])
@pytest.mark.parametrize(("max_epochs", "max_unit_tokens"), [(1, 90), (3, 90), (2, 0)])
def test_store_and_order_are_those_of_a_plain_loop_to_the_byte(tmp_path, num_parts, max_epochs, max_unit_tokens):
    rows = made()
    settings = config(max_epochs=max_epochs, max_unit_tokens=max_unit_tokens)
    workspace, facts = workspace_with(tmp_path / "root", rows, num_parts)
    planned = built(settings, workspace, facts)
    have = {name: sum(r["num_tokens"] for r in rows if r["category"] == name) * max_epochs for name in PARTS}
    budget = min(have[name] * 20 // part for name, part in PARTS.items())
    order = plain_store(settings, rows, budget, tmp_path / "plain")
    found = order_of(workspace)
    assert found == [{name: row[name] for name in found[0]} for row in order]
    assert len({row["epoch"] for row in order}) == max_epochs
    files = sorted(path.name for path in (tmp_path / "plain").iterdir())
    assert len(files) > 8 and sorted(path.name for path in (workspace.data / "store").iterdir()) == files
    for name in files:
        assert (workspace.data / "store" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes(), name
    used = {(row["source"], row["id"]) for row in order}
    for name, source in planned["sources"].items():
        assert source["used"] == sum(of == name for of, _ in used)
        assert source["tokens"] == sum(row["num_tokens"] for row in order if row["source"] == name)
    assert planned["num_tokens"] == sum(category["tokens"] for category in planned["categories"].values())
    assert sum(category["units"] for category in planned["categories"].values()) == len(order)


def test_a_unit_longer_than_a_file_of_the_store_runs_through_several(tmp_path):
    rows = [
        {"id": "long", "source": "s", "category": "medical", "num_tokens": 3000, "copies": 1},
        {"id": "short", "source": "s", "category": "medical", "num_tokens": 5, "copies": 1},
    ]
    settings = config(proportions={"medical": 1}, max_unit_tokens=0)
    workspace, facts = workspace_with(tmp_path / "root", rows, 1)
    built(settings, workspace, facts)
    order = plain_store(settings, rows, 3005, tmp_path / "plain")
    assert [row["id"] for row in order_of(workspace)] == [row["id"] for row in order]
    for path in (tmp_path / "plain").iterdir():
        assert (workspace.data / "store" / path.name).read_bytes() == path.read_bytes()
    assert len(BlockStore(workspace.data / "store")) == -(-3005 // 64)


def test_hashes_are_those_of_stable_hash():
    ids = ["plain", 'quote " and \\', "umlaut ü \u2028 \U0001f9ec", "tab\t nul-like \x01"]
    rows = list(zip(range(4), ["a", 'b"', "ä", "a"], ids, [0, 5, 70_000, 2], strict=True))
    found = hashed(9, *map(list, zip(*rows, strict=True)))
    assert found.tolist() == [stable_hash(9, *row) for row in rows]


def test_a_smaller_budget_is_a_prefix_until_its_first_category_is_full(tmp_path):
    workspace, facts = workspace_with(tmp_path, made(), 2)
    places = []
    for budget in (3000, 1500):
        plan_order(config(token_budget=budget), workspace.scratch, list(facts))
        places.append(read_mapped(workspace.scratch / "order.arrow").to_pylist())
    assert places[1][:-3] == places[0][: len(places[1]) - 3] and len(places[1]) > 10


def test_sources_have_caps_of_their_own_and_stand_in_proportion_when_asked(tmp_path):
    rows = made(60)
    tokens = {name: sum(r["num_tokens"] for r in rows if r["source"] == name) for name in ("papers", "books")}
    settings = config(proportions={"medical": 1}, source_epochs={"books": 3}, stratify_sources=True)
    workspace, facts = workspace_with(tmp_path, [row for row in rows if row["category"] == "medical"], 3)
    planned = plan_order(settings, workspace.scratch, list(facts))
    assert {name: source["tokens"] for name, source in planned["sources"].items()} == {
        "papers": tokens["papers"], "books": 3 * tokens["books"],
    }  # fmt: skip
    built(settings, workspace, facts)
    order = order_of(workspace)
    assert {row["epoch"] for row in order if row["source"] == "books"} == {0, 1, 2}
    first = order[: sum(row["epoch"] == 0 for row in order)]
    assert {row["epoch"] for row in first} == {0}, "a pass is over before the next begins"
    total = books = 0
    for row in first:
        total, books = total + row["num_tokens"], books + row["num_tokens"] * (row["source"] == "books")
        assert abs(books - total * tokens["books"] / sum(tokens.values())) <= 2 * 90
    with pytest.raises(UserError, match="corpus.source_epochs: no document of 'book', found books, papers: correct"):
        plan_order(config(source_epochs={"book": 3}), workspace.scratch, list(facts))


def test_repeated_documents_stand_in_one_pass_as_often_as_their_copies_say(tmp_path):
    rows = made()
    for number, row in enumerate(rows):
        row["copies"] = 1 + number % 3 if row["source"] == "books" else 1
    rows = [row for row in rows if row["category"] == "medical"]
    settings = config(proportions={"medical": 1}, max_epochs=2)
    workspace, facts = workspace_with(tmp_path, rows, 2)
    planned = built(settings, workspace, facts)
    assert planned["num_tokens"] == 2 * sum(row["num_tokens"] * row["copies"] for row in rows)
    order = order_of(workspace)
    uses: dict[tuple, list[tuple[int, int]]] = {}
    for place, row in enumerate(order):
        uses.setdefault((row["source"], row["id"], row["piece"]), []).append((row["epoch"], place))
    one_pass = sum(len(split_lengths(row["num_tokens"], 90)) * row["copies"] for row in rows)
    for row in rows:
        found = sorted(uses[row["source"], row["id"], 0])
        assert [use for use, _ in found] == list(range(2 * row["copies"]))
        assert [place < one_pass for _, place in found] == [True] * row["copies"] + [False] * row["copies"]
    assert len(order) == 2 * one_pass


def test_whole_sources_set_the_budget_and_are_checked_unit_by_unit(tmp_path):
    workspace, facts = workspace_with(tmp_path, made(), 2)
    settings = config(whole_sources=("notes",), max_epochs=9)
    planned = plan_order(settings, workspace.scratch, list(facts))
    notes = [row for row in made() if row["source"] == "notes"]
    assert planned["sources"]["notes"]["used"] == len(notes)
    message = r"corpus.whole_sources: \d+ of \d+ units of 'notes' are outside a corpus of 1,000 tokens.*, or to 0"
    with pytest.raises(UserError, match=message):
        plan_order(settings.model_copy(update={"token_budget": 1000}), workspace.scratch, list(facts))


def test_a_file_of_the_store_that_could_not_be_addressed_is_refused():
    with pytest.raises(ValidationError, match="below 2\\^31 tokens: lower blocks_per_file"):
        config(block_tokens=8192, blocks_per_file=1 << 18)


def test_no_document_left_is_one_line(tmp_path):
    workspace, facts = workspace_with(tmp_path, [], 2)
    with pytest.raises(UserError, match="corpus: no document is there to train on"):
        plan_order(config(), workspace.scratch, list(facts))
