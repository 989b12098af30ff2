"""The token store: rows, shards, checksums, damage."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medray.core.config import UserError
from medray.core.identity import digest_directory
from medray.tables.blocks import BlockStore, BlockWriter, block_columns, write_shard
from tests.unit.plain_mixture import cut_blocks


def _write(directory: Path, num_rows: int = 10, rows_per_shard: int = 4) -> dict:
    writer = BlockWriter(directory, "sft", "digest", 16, rows_per_shard)
    for row in range(num_rows):
        size = 3 + row % 5
        writer.add(range(row, row + size), [1, size - 1], [1] * size)
    return writer.close()


def test_rows_come_back(tmp_path: Path) -> None:
    facts = _write(tmp_path)
    store = BlockStore(tmp_path)
    assert len(store) == 10 and [shard["num_rows"] for shard in facts["shards"]] == [4, 4, 2]
    for index in range(10):
        row, size = store[index], 3 + index % 5
        assert row.input_ids.tolist() == list(range(index, index + size))
        assert row.lengths.tolist() == [1, size - 1]
        assert row.loss_mask.tolist() == [0, 0] + [1] * (size - 2)  # first tokens of both sequences are no targets
        assert store.num_loss_tokens(index) == size - 2 and store.num_tokens(index) == size
        assert row.reference.size == 0
    assert store.facts["num_loss_tokens"] == sum(map(store.num_loss_tokens, range(10)))
    assert store.facts["num_tokens"] == sum(map(store.num_tokens, range(10)))


def test_rows_are_views_and_stores_pickle_as_their_path(tmp_path: Path) -> None:
    _write(tmp_path)
    store = BlockStore(tmp_path)
    assert not store[3].input_ids.flags.owndata and not store[3].input_ids.flags.writeable
    packed = pickle.dumps(store)
    assert len(packed) < 1000 and pickle.loads(packed)[9].input_ids.tolist() == store[9].input_ids.tolist()


def test_pairs_carry_references(tmp_path: Path) -> None:
    writer = BlockWriter(tmp_path, "pairs", "digest", 0, 8)
    writer.add([1, 2, 3, 1, 4], [3, 2], [0, 1, 1, 0, 1], [-1.25, -1e-9])
    writer.close()
    assert BlockStore(tmp_path)[0].reference.tolist() == [-1.25, -1e-9]


def test_labels_come_back_and_without_them_nothing_changes(tmp_path: Path) -> None:
    for kind in ("labelled", "pairs"):
        writer = BlockWriter(tmp_path / kind, kind, "digest", 0, 2)
        for label in (1.0, 0.0, 1.0):
            writer.add([1, 2, 3, 1, 4], [3, 2], [0, 1, 1, 0, 1], label=label)
        writer.close()
        assert [BlockStore(tmp_path / kind)[i].label for i in range(3)] == [1.0, 0.0, 1.0]
    with pytest.raises(AssertionError, match="label None: 1 is desirable"):
        BlockWriter(tmp_path / "none", "labelled", "digest", 0, 2).add([1, 2], [1, 1], [0, 0])
    _write(tmp_path / "plain")
    assert np.isnan(BlockStore(tmp_path / "plain")[0].label)
    with pa.memory_map(str(tmp_path / "plain" / "part-00000.arrow")) as file:
        assert "label" not in pa.ipc.open_file(file).schema.names


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _write(tmp_path / name)
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_checksums_are_those_that_the_manifest_of_a_stage_holds(tmp_path: Path) -> None:
    facts = _write(tmp_path / "store")
    _, parts = digest_directory(tmp_path)
    assert {f"store/{shard['name']}": shard["sha256"] for shard in facts["shards"]} == {
        name: digest for name, digest in parts.items() if name != "store/store.json"
    }


def test_a_store_of_more_shards_than_can_be_open_is_read_in_any_order(tmp_path: Path) -> None:
    _write(tmp_path, num_rows=300, rows_per_shard=2)
    store = BlockStore(tmp_path)
    rows = [store[index] for index in range(299, -1, -1)]
    assert [row.input_ids[0] for row in rows] == list(range(299, -1, -1))
    files = Path("/proc/self/maps").read_text().count(str(tmp_path))
    assert len({row.input_ids.tobytes() for row in rows}) == 300 and files >= 64
    del rows
    assert Path("/proc/self/maps").read_text().count(str(tmp_path)) <= 64


def test_an_unfinished_store_is_no_store_and_is_written_anew(tmp_path: Path) -> None:
    writer = BlockWriter(tmp_path, "sft", "digest", 16, 2)
    for _ in range(5):
        writer.add([1, 2, 3], [3], [1, 1, 1])
    with pytest.raises(UserError, match="no finished token store"):
        BlockStore(tmp_path)
    _write(tmp_path, num_rows=3)
    assert len(BlockStore(tmp_path)) == 3 and len(list(tmp_path.glob("part-*"))) == 1


def test_damage_is_named(tmp_path: Path) -> None:
    _write(tmp_path)
    shard = tmp_path / "part-00001.arrow"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-100])
    with pytest.raises(UserError, match=r"part-00001.arrow: \d+ bytes, expected \d+ bytes: the store is damaged"):
        BlockStore(tmp_path)
    shard.unlink()
    with pytest.raises(UserError, match="part-00001.arrow: no file"):
        BlockStore(tmp_path)
    shard.write_bytes(bytes(len(whole)))
    with pytest.raises(UserError, match="not a shard"):
        BlockStore(tmp_path)[5]
    facts = json.loads((tmp_path / "store.json").read_text())
    del facts["shards"][0]["sha256"]
    (tmp_path / "store.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="a shard without sha256, so a token store of an older medray"):
        BlockStore(tmp_path)
    (tmp_path / "store.json").write_text(json.dumps({"kind": "other"}))
    with pytest.raises(UserError, match="not a token store of medray"):
        BlockStore(tmp_path)


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no row"):
        BlockWriter(tmp_path, "sft", "digest", 16, 2).close()


@pytest.mark.parametrize(
    "row",
    [([1, 2], [3], [1, 1]), ([1, 2], [2], [1]), ([], [], []), ([1, 2], [2, 0], [1, 1]), ([1] * 17, [17], [1] * 17)],
    ids=["lengths", "mask", "empty", "empty sequence", "longer than a block"],
)
def test_malformed_rows_are_ours(tmp_path: Path, row: tuple) -> None:
    with pytest.raises((AssertionError, ValueError)):
        BlockWriter(tmp_path, "sft", "digest", 16, 2).add(*row)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(2, 64))
def test_blocks_cut_from_arrays_are_those_written_row_by_row(tmp_path_factory, lengths: list[int], size: int) -> None:
    directory, tokens = tmp_path_factory.mktemp("cut"), np.arange(sum(lengths), dtype=np.int32) * 7
    writer = BlockWriter(directory / "plain", "causal_lm", "digest", size, 1000)
    start = 0
    for row in cut_blocks(lengths, size):
        writer.add(tokens[start : start + sum(row)], row, [1] * sum(row))
        start += sum(row)
    facts = writer.close()
    columns = block_columns(tokens, np.cumsum(lengths) - lengths, size)
    shard = write_shard(directory / "cut", 0, columns)
    assert (directory / "cut" / shard["name"]).read_bytes() == (directory / "plain" / shard["name"]).read_bytes()
    assert facts["shards"] == [shard] and facts["num_loss_tokens"] == columns["num_loss_tokens"].sum()


def test_blocks_do_not_import_ray() -> None:
    code = "import sys, medray.tables.blocks; assert not {'ray', 'torch'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
