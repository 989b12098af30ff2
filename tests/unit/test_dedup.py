"""Which duplicates go and what stays of them: as a plain search over all pairs says, however the work is shared out."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medray.core.identity import content_id, digest_table
from medray.core.schema import TableWriter
from medray.core.workspace import Root, Workspace
from medray.corpus.dedup import DedupConfig, DedupPlacement, _decide, _without_duplicates
from medray.corpus.fates import REASONS
from medray.corpus.fingerprints import Fingerprints, fingerprint_part
from medray.corpus.steps import CLEANED
from medray.tables.shards import Shard
from medray.text.minhash import FINEWEB, MinHashRules
from medray.text.ngrams import hash_ngrams, hash_words, jaccard
from medray.text.normalize import duplicate_key

SURE = MinHashRules(ngram=3, bands=40, rows=2, rng_seed=3, min_jaccard=0.6)
"""Pairs of similarity 0.6 meet with probability 1 - 2e-8, so recall is whole."""
PRIORITY = ("papers", "web")


def documents(seed: int = 0, families: int = 25) -> list[dict]:
    """Families of texts with words changed at different rates; some equal texts, some ids twice, some without words."""
    rng = np.random.default_rng(seed)
    vocabulary = [f"word{i}" for i in range(300)]
    rows = []

    def add(id: str, text: str) -> None:
        rows.append(
            {
                "id": id, "source": str(rng.choice(["papers", "web", "notes", "more"])), "text": text,
                "category": "medical", "group": "", "licence": "", "access": "public", "synthetic": False,
                "split": str(rng.choice(["train", "train", "train", "heldout"])), "parts": [],
                "date": str(rng.choice(["", "2019", "2020-05", "2020-05-01"])), "language": "", "document_types": [],
                "standing": "",
            }
        )  # fmt: skip

    for family in range(families):
        words = rng.choice(vocabulary, 60)
        for copy in range(5):
            changed = np.where(rng.random(60) < 0.04 * copy, rng.choice(vocabulary, 60), words)
            add(f"{family}-{copy}", " ".join(changed))
        add(f"{family}-same", " ".join(words).upper())
        add(f"{family % 7}-twice", f"{' '.join(words[:20])} {family}")
    for text in ("...", "!!!", "... "):
        add(f"blank-{len(rows)}", text)
    return rows


def share_out(
    rows: list[dict], num_parts: int, directory, config: DedupConfig
) -> tuple[Workspace, list[dict], Counter]:
    """The stage's shards, without Ray: workspace, what stays, and the counts over all parts."""
    order = np.random.default_rng(num_parts).permutation(len(rows))
    work = Workspace(Root(str(directory)), "dedup", "1", "dedup")
    paths, spans, start = [], [], 0
    for number, some in enumerate(np.array_split(order, num_parts)):
        paths.append(directory / "in" / f"part-{number}.parquet")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist([rows[i] for i in some], schema=CLEANED)
        pq.write_table(table, paths[-1], row_group_size=37)
        facts = fingerprint_part(
            Shard("k", {"path": paths[-1]}), source_priority=config.source_priority, near=config.near, workspace=work
        )
        spans.append((start, start := start + facts["rows"]))
    _decide(Shard("fates"), stems=[path.stem for path in paths], config=config, workspace=work)
    counts: Counter = Counter()
    for path, span in zip(paths, spans, strict=True):
        found = _without_duplicates(Shard("r", {"path": path, "span": span}), workspace=work)
        for source in found["sources"].values():
            counts.update(source)
    left = [row for path in paths for row in pq.read_table(work.data / "documents" / path.name).to_pylist()]
    return work, left, counts


def preference(row: dict) -> tuple:
    rank = 0 if row["split"] == "heldout" else 1 + (PRIORITY.index(row["source"]) if row["source"] in PRIORITY else 2)
    return rank, row["date"] or "9", row["source"], row["id"], content_id(row)


def plain_search(rows: list[dict], near: MinHashRules | None) -> list[dict]:
    """What stays, by comparing everything with everything."""
    left: dict = {}
    for row in sorted(rows, key=preference):
        left.setdefault((row["source"], row["id"]), row)
    texts: dict = {}
    for row in sorted(left.values(), key=preference):
        texts.setdefault(duplicate_key(row["text"]), row)
    found = list(texts.values())
    if not near:
        return found
    ngrams = hash_ngrams(hash_words([row["text"] for row in found]), near.ngram)
    label = list(range(len(found)))
    for a, b in combinations(range(len(found)), 2):
        if label[a] != label[b] and jaccard(ngrams.of(a), ngrams.of(b)) >= near.min_jaccard:
            old, new = label[b], label[a]
            label = [new if x == old else x for x in label]
    groups: dict[int, list[dict]] = {}
    for row, name in zip(found, label, strict=True):
        groups.setdefault(name, []).append(row)
    return [min(group, key=preference) for group in groups.values()]


def names(rows: list[dict]) -> set[tuple[str, str]]:
    return {(row["source"], row["id"]) for row in rows}


@pytest.mark.parametrize("near", [None, SURE], ids=["equal", "near"])
@pytest.mark.parametrize("num_parts", [1, 2, 7])
@pytest.mark.parametrize("rows_at_once", [10, 60, 1_000_000])
def test_what_stays_is_what_a_plain_search_keeps(tmp_path, near, num_parts, rows_at_once):
    rows = documents()
    config = DedupConfig(source_priority=PRIORITY, near=near, placement=DedupPlacement(rows_at_once=rows_at_once))
    work, left, counts = share_out(rows, num_parts, tmp_path, config)
    expected = plain_search(rows, near)
    assert sorted(names(left)) == sorted(names(expected)) and len(left) == len(expected)
    assert counts["in"] == len(rows) == counts["out"] + sum(n for name, n in counts.items() if "dropped" in name)
    gone = pq.read_table(work.data / "duplicates.parquet").to_pylist()
    assert len(gone) == len(rows) - len(left)
    assert {(row["kept_source"], row["kept_id"]) for row in gone} <= names(left)
    assert set(REASONS[1 : 4 if near else 3]) == {row["reason"] for row in gone}


@pytest.mark.parametrize("near", [FINEWEB, FINEWEB.model_copy(update={"min_jaccard": 0.8})], ids=["taken", "verified"])
def test_the_sharing_out_changes_nothing(tmp_path, near):
    rows = documents(seed=1, families=40)
    found = set()
    for num_parts, rows_at_once in ((1, 10**6), (2, 50), (7, 7)):
        config = DedupConfig(source_priority=(), near=near, placement=DedupPlacement(rows_at_once=rows_at_once))
        work, _, counts = share_out(rows, num_parts, tmp_path / str(num_parts), config)
        parts = digest_table((work.data / "documents").glob("*")), digest_table([work.data / "duplicates.parquet"])
        found.add((*parts, tuple(sorted(counts.items()))))
    assert len(found) == 1 and counts["dropped.near_duplicate"] >= 10


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the platform does not say what is mapped")
def test_no_file_stays_mapped(tmp_path):
    """Mapped pages count as memory, and those of all parts together grow with the input."""
    rows = documents(families=2)
    work, _, _ = share_out(rows, 3, tmp_path, DedupConfig(source_priority=(), near=SURE))
    found = Fingerprints(work.scratch, [f"part-{number}" for number in range(3)])
    alive = np.ones(len(rows), bool)
    kept = [found.has_words(), found.take(np.array([5, 1, 5]), ["id"]), found.meeting("name", 0, 1, alive)]
    kept.append(found.with_number(np.sort(found.take(np.arange(9), ["number"])["number"].to_numpy())))
    assert len(kept) == 4 and len(found) == len(rows)
    assert str(work.scratch) not in Path("/proc/self/maps").read_text()


def test_texts_without_words_are_no_near_duplicates(tmp_path):
    rows = [{**documents(families=1)[0], "id": text, "text": text} for text in ("...", "!!!", "???")]
    config = DedupConfig(source_priority=(), near=FINEWEB)
    assert len(share_out(rows, 1, tmp_path, config)[1]) == 3


def test_an_empty_part_is_a_part(tmp_path):
    config = DedupConfig(source_priority=(), near=SURE)
    assert len(share_out(documents(families=1)[:2], 5, tmp_path, config)[1]) <= 2
    assert share_out([], 2, tmp_path / "none", config)[1] == []


def test_a_table_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "table.parquet"
    rows = documents(families=1)
    with pytest.raises(RuntimeError), TableWriter(path, CLEANED) as writer:
        writer.add(rows[0])
        raise RuntimeError
    assert not list(path.parent.iterdir())
    with TableWriter(path, CLEANED) as writer:
        for row in rows * 200:
            writer.add(row)
    parquet = pq.ParquetFile(path)
    assert parquet.read().to_pylist() == rows * 200 and parquet.num_row_groups == -(-len(rows) * 200 // 1024)
