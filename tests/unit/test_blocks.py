"""The token store and the order of its rows."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medray.core.config import UserError
from medray.tables.blocks import BlockStore, BlockWriter, permutation


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


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _write(tmp_path / name)
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


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


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.integers(0, 2**63), st.integers(0, 50))
def test_permutation_is_a_bijection(num_rows: int, rng_seed: int, epoch: int) -> None:
    permute = permutation(num_rows, rng_seed, epoch)
    assert sorted(map(permute, range(num_rows))) == list(range(num_rows))


def test_permutation_depends_on_seed_and_epoch_and_mixes() -> None:
    orders = [[permutation(1000, seed, epoch)(i) for i in range(1000)] for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert orders[0] == [permutation(1000, 0, 0)(i) for i in range(1000)]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert sum(x == y for x, y in zip(orders[a], orders[b], strict=True)) < 12  # 1 expected
    for order in orders:
        assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1
        assert 300 < np.abs(np.diff(order)).mean() < 366  # (n + 1) / 3 for a random order


def test_every_order_of_few_rows_occurs() -> None:
    found = {tuple(map(permutation(3, seed, 0), range(3))) for seed in range(200)}
    assert len(found) == 6


def test_blocks_do_not_import_ray() -> None:
    code = "import sys, medray.tables.blocks; assert not {'ray', 'torch'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
