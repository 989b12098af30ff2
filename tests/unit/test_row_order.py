"""The order of a store's rows: a bijection, a function of seed and epoch; of a corpus one shard after the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medray.tables.blocks import BlockStore, BlockWriter
from medray.tables.row_order import permutation, row_order


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


@pytest.mark.parametrize("num_rows", [320, 307, 33, 32, 5])
def test_by_shard_every_row_is_read_once_and_every_shard_at_a_stretch(num_rows: int) -> None:
    order = [row_order(num_rows, 32, 5, 1, by_shard=True)(i) for i in range(num_rows)]
    assert sorted(order) == list(range(num_rows))
    shards = [row // 32 for row in order]
    visits = [shard for i, shard in enumerate(shards) if i == 0 or shards[i - 1] != shard]
    assert len(visits) == len(set(visits)) == -(-num_rows // 32)
    if num_rows % 32:
        assert visits[-1] == num_rows // 32
    if len(visits) > 9:
        assert visits != sorted(visits)
        within = [[row % 32 for row in order if row // 32 == shard] for shard in visits]
        assert len(set(map(tuple, within))) == len(within), "each shard has an order of its own"
    if num_rows <= 32:
        assert order == [row_order(num_rows, 32, 5, 1, by_shard=False)(i) for i in range(num_rows)]


def test_any_position_is_found_alone() -> None:
    """A resumed run asks for one position in the middle; nothing before it need have been asked for."""
    whole = [row_order(1000, 64, 5, 0, by_shard=True)(i) for i in range(1000)]
    assert row_order(1000, 64, 5, 0, by_shard=True)(613) == whole[613]
    assert whole != [row_order(1000, 64, 5, 1, by_shard=True)(i) for i in range(1000)]
    assert whole != [row_order(1000, 64, 6, 0, by_shard=True)(i) for i in range(1000)]


@pytest.mark.parametrize(("kind", "num_visits"), [("causal_lm", 5), ("sft", None)])
def test_training_reads_a_corpus_one_shard_after_the_other(tmp_path: Path, kind: str, num_visits: int | None) -> None:
    pytest.importorskip("torch")
    from medray.recipes.demo import optimization
    from medray.train.batches import step_rows

    writer = BlockWriter(tmp_path, kind, "digest", 4, 32)
    for row in range(150):
        writer.add([row] * 4, [4], [1] * 4)
    writer.close()
    settings = optimization(1e-4, global_batch=7, weight_decay=0.0, warmup_fraction=0.0, epochs=2.0)
    store = BlockStore(tmp_path)
    rows = [row for step in range(settings.num_steps(150)) for row in step_rows(step, store, settings)]
    assert sorted(rows[:150]) == sorted(rows[150:]) == list(range(150)) and rows[:150] != rows[150:]
    shards = [row // 32 for row in rows[:150]]
    visits = sum(a != b for a, b in zip([-1, *shards], shards, strict=False))
    assert visits == num_visits if num_visits else visits > 50
