"""The loop: packing, placement equivalence, the division by global units, and stopping before a bad step."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ray.train import FailureConfig
from ray.train.v2._internal.execution.failure_handling import FailureDecision
from ray.train.v2.api.exceptions import WorkerGroupError

from medray.core.config import UserError
from medray.model.attention import use_packed_attention
from medray.tables.blocks import BlockStore, BlockWriter
from medray.train import worker, zero
from medray.train.batches import StepLoader, load_batch, rank_rows, step_rows
from medray.train.checkpoint import CheckpointReader, newest_whole
from medray.train.config import KTOLoss, PreferenceLoss, TrainPlacement
from medray.train.elastic import Failures
from medray.train.loop import NonFiniteLoss
from medray.train.marker import step_directory
from medray.train.micro_batch import MicroBatch
from medray.train.objective import KTO, BradleyTerry, CausalLM, Preference
from medray.train.ranks import Ranks
from tests.numerics.tiny_training import OPTIMIZATION, PLACEMENT, parameters, run, run_ranks, tiny_model, tiny_store

CPU = torch.device("cpu")
DPO = Preference(terms=PreferenceLoss(name="dpo", beta=0.1))
UNPAIRED = KTO(terms=KTOLoss(name="kto", beta=0.3, desirable_weight=1.0, undesirable_weight=1.5))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> BlockStore:
    return tiny_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> BlockStore:
    return tiny_store(tmp_path_factory.mktemp("pairs"), kind="pairs")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> BlockStore:
    return tiny_store(tmp_path_factory.mktemp("labelled"), kind="labelled")


def _separate_logprobs(model: torch.nn.Module, store: BlockStore, rows: list[int]) -> torch.Tensor:
    """Log-probability of each sequence's targets, one sequence at a time, without any of our code."""
    values = []
    for row in rows:
        unit, start = store[row], 0
        for length in unit.lengths:
            ids = torch.tensor(unit.input_ids[start : start + length].astype("int64"))
            mask = torch.tensor(unit.loss_mask[start + 1 : start + length].astype(bool))
            logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1].double()
            values.append(torch.log_softmax(logits, -1)[torch.arange(length - 1), ids[1:]][mask].sum())
            start += length
    return torch.stack(values)


def test_packed_equals_unpacked_loss_and_gradient(store: BlockStore) -> None:
    rows = [3, 11, 7]
    found = []
    for packed in (True, False):
        model = tiny_model().train()
        if packed:  # by transformers' own attention; by ours: test_kernels.py
            loss, _ = CausalLM().loss(model, load_batch(store, rows, CPU))
        else:
            loss = -_separate_logprobs(model, store, rows).sum()
        loss.backward()
        found.append((loss.item(), [p.grad.clone() for p in model.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_gradient_checkpointing_keeps_sequences_apart(store: BlockStore) -> None:
    losses = [
        run(store, Path("/nonexistent"), kill_after=1, placement=PLACEMENT.model_copy(update=update))[1]
        for update in ({}, {"gradient_checkpointing": True})
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_pairs_share_a_prompt_and_nothing_else(pairs: BlockStore) -> None:
    rows = list(range(8))
    batch = load_batch(pairs, rows, CPU)
    num_tokens = sum(map(pairs.num_tokens, rows))
    assert batch.input_ids.numel() < num_tokens - 8
    found = []
    for shared in (True, False):
        model = tiny_model().train()
        if shared:
            use_packed_attention(model)  # which leaves a mask of ours alone
            loss, _ = DPO.loss(model, batch)
        else:
            margin_S = _separate_logprobs(model, pairs, rows) - batch.reference_S
            chosen_B, rejected_B = margin_S.view(-1, 2).unbind(1)
            loss = -torch.nn.functional.logsigmoid(0.1 * (chosen_B - rejected_B)).sum()
        loss.backward()
        found.append((loss.item(), [p.grad.clone() for p in model.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_kto_takes_one_sequence_of_a_row_for_the_loss_and_the_other_for_the_mean(labelled: BlockStore) -> None:
    rows, model = list(range(8)), tiny_model().train()
    batch = load_batch(labelled, rows, CPU)
    with torch.no_grad():
        kl = UNPAIRED.means(model, batch)["kl"].item() / len(rows)
    loss, sums = UNPAIRED.loss(model, replace(batch, means={"kl": kl}))
    loss.backward()
    other = tiny_model().train()
    references = torch.tensor([labelled[row].reference.tolist() for row in rows])
    ratio_B, mismatched_B = (_separate_logprobs(other, labelled, rows).view(-1, 2) - references).unbind(1)
    assert 0.1 < kl == pytest.approx(mismatched_B.mean().item(), rel=1e-5)
    sign_B = torch.tensor([2 * labelled[row].label - 1 for row in rows])
    assert sums["desirable_fraction"].item() == (sign_B > 0).sum() and 0 < (sign_B > 0).sum() < len(rows)
    expected = torch.where(sign_B > 0, 1.0, 1.5) * (1 - torch.sigmoid(0.3 * sign_B * (ratio_B - max(kl, 0.0))))
    expected.sum().backward()
    assert loss.item() == pytest.approx(expected.sum().item(), rel=1e-6)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(one.grad, two.grad, rtol=1e-4, atol=1e-5)


def test_dpo_starts_at_log_2(pairs: BlockStore) -> None:
    model = tiny_model().eval()
    batch = load_batch(pairs, [4, 5], CPU)
    with torch.no_grad():
        policy = _separate_logprobs(model, pairs, [4, 5])
    at_reference = SimpleNamespace(**{**batch.__dict__, "reference_S": policy.double()})
    loss, sums = DPO.loss(model, at_reference)
    assert loss.item() == pytest.approx(2 * 0.6931471805599453, abs=1e-6)
    assert float(sums["reward_margin"]) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    "placement",
    [
        {"micro_batch": 3},  # does not divide the batch
        {"micro_batch": None},
        {"zero_stage": 1, "offload": "optimizer"},
        pytest.param({"zero_stage": 2, "offload": "optimizer", "micro_batch": 4}, marks=pytest.mark.full),
        pytest.param({"zero_stage": 3, "offload": "optimizer"}, marks=pytest.mark.full),
        {"zero_stage": 3, "offload": "parameters", "micro_batch": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("rmsprop", marks=pytest.mark.full)])
def test_micro_batch_and_offload_change_nothing(
    store: BlockStore, tmp_path: Path, placement: dict, optimizer: str
) -> None:
    optimization = OPTIMIZATION.model_copy(update={"optimizer": optimizer, "learning_rate": 3e-3})
    losses = []
    for name, update in (("a", {"zero_stage": 0}), ("b", placement)):
        quick = {"placement": PLACEMENT.model_copy(update={**update, "checkpoint_every_steps": 5})}
        before = run(store, tmp_path / name, optimization=optimization, kill_after=6, **quick)
        losses.append(before | run(store, tmp_path / name, optimization=optimization, **quick))
    assert max(abs(losses[0][step] - losses[1][step]) for step in losses[0]) < 2e-5
    one, other = parameters(tmp_path / "a"), parameters(tmp_path / "b")
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-4


def test_an_offload_that_its_stage_has_not_is_refused() -> None:
    for zero_stage, offload in ((0, "optimizer"), (2, "parameters")):
        with pytest.raises(ValueError, match=rf"offload '{offload}' needs zero_stage >= \d, got {zero_stage}"):
            TrainPlacement(zero_stage=zero_stage, offload=offload)


def test_a_micro_batch_is_found_in_the_first_step(store: BlockStore, tmp_path: Path) -> None:
    found: list[dict[str, float]] = []
    placement = PLACEMENT.model_copy(update={"micro_batch": None, "checkpoint_every_steps": 0})
    losses = run(store, tmp_path / "a", placement=placement, on_step=lambda done, total, metrics: found.append(metrics))
    assert {metrics["micro_batch"] for metrics in found} == {8}  # of 8 rows: 1 + 2 + 4, and then 1
    parted = run_ranks(2, store, tmp_path, checkpoints=tmp_path / "b", placement=placement)
    assert max(abs(losses[step] - parted[step]) for step in losses) < 2e-5


@pytest.mark.parametrize(("limit_gb", "size"), [(0.9, 1), (2.01, 2), (2.9, 4), (5.1, 8)])
def test_the_micro_batch_grows_while_twice_as_many_fit(
    store: BlockStore, monkeypatch: pytest.MonkeyPatch, limit_gb: float, size: int
) -> None:
    """A pass of n rows takes 100 MB and 0.4 GB a row: four times the first guess, later ones by the growth seen."""
    search, seen = MicroBatch(None, Ranks()), []
    monkeypatch.setattr(search, "_held_bytes", lambda: 0)
    monkeypatch.setattr(search, "_limit_bytes", lambda: int(limit_gb * 1e9))
    optimization = OPTIMIZATION.model_copy(update={"global_batch": 40})
    with closing(StepLoader(store, CausalLM().num_units, optimization, Ranks())) as loader:
        step = loader.take(0, 1)
        monkeypatch.setattr(search, "_peak_bytes", lambda: int(1e8 + 4e8 * len(seen[-1])))
        lasts = [seen.append(batch.rows) or is_last for batch, is_last in search.micro_steps(loader, step)]
    assert lasts == [False] * (len(lasts) - 1) + [True]
    assert sorted(sum(seen, ())) == sorted(step.rows) and search.size == size == max(map(len, seen))


@pytest.mark.parametrize("zero_stage", [1, 2, pytest.param(3, marks=pytest.mark.full)])
def test_fp16_repeats_a_step_that_overflows_and_skips_no_rows(
    store: BlockStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zero_stage: int
) -> None:
    """2^22 is too much for these gradients: the scale is halved until they fit, in the first step, for good."""
    optimization = OPTIMIZATION.model_copy(update={"dtype": "fp16"})
    placement = PLACEMENT.model_copy(update={"zero_stage": zero_stage, "checkpoint_every_steps": 5})
    arguments = {"optimization": optimization, "placement": placement}
    straight = run(store, tmp_path / "a", model=tiny_model(dtype="fp16"), **arguments)
    monkeypatch.setattr(zero, "FIRST_LOSS_SCALE", 2.0**22)
    scales: list[float] = []
    halve = zero.halve_loss_scale
    monkeypatch.setattr(
        zero, "halve_loss_scale", lambda engine: scales.append(zero.loss_scale(engine)) or halve(engine)
    )
    repeated = run(store, tmp_path / "b", model=tiny_model(dtype="fp16"), kill_after=7, **arguments)
    assert scales and scales == [2.0 ** (22 - i) for i in range(len(scales))]
    assert sorted(repeated) == list(range(1, 8)), "every step once, with its own rows"
    assert max(abs(straight[step] - repeated[step]) for step in repeated) < 5e-3
    scale = CheckpointReader(newest_whole(str(tmp_path / "b"))).scalars["loss_scale"]
    assert scale == scales[-1] / 2
    scales.clear()
    repeated |= run(store, tmp_path / "b", model=tiny_model(dtype="fp16"), **arguments)
    assert not scales, "the scale is part of the checkpoint"
    fp32 = run(store, tmp_path / "c", placement=placement)
    assert max(abs(fp32[step] - straight[step]) for step in fp32) < 2e-2


@pytest.mark.parametrize(
    "objective", ["kto_pair", "kto", *(pytest.param(n, marks=pytest.mark.full) for n in ("dpo", "bradley_terry"))]
)
def test_three_uneven_workers_take_the_same_steps(
    pairs: BlockStore, labelled: BlockStore, tmp_path: Path, objective: str
) -> None:
    """8 rows on 3 workers are 3 + 3 + 2: one worker idles in a micro-step that still communicates.

    kto_pair and kto need means over the global batch, whichever ranks and micro-steps its rows are in.
    """
    pairs = labelled if objective == "kto" else pairs
    found = {"bradley_terry": BradleyTerry(), "kto": UNPAIRED}
    arguments = {
        "objective": found.get(objective) or Preference(terms=PreferenceLoss(name=objective, beta=0.3)),
        "optimization": OPTIMIZATION.model_copy(update={"epochs": 0.7}),  # 28 rows: the last step has 4
        "placement": PLACEMENT.model_copy(update={"zero_stage": 2}),
    }
    models = [_with_score(tiny_model()) if objective == "bradley_terry" else None for _ in range(2)]  # trained in place
    straight = run(pairs, tmp_path / "a", model=models[0], **arguments)
    assert sorted(straight) == [1, 2, 3, 4]
    parted = run_ranks(3, pairs, tmp_path, checkpoints=tmp_path / "b", model=models[1], **arguments)
    assert max(abs(straight[step] - parted[step]) for step in straight) < 2e-5


def _with_score(policy: torch.nn.Module) -> torch.nn.Module:
    """A reward model around a policy's backbone, as model/load.py makes one."""
    from transformers import LlamaForSequenceClassification

    torch.manual_seed(1)
    policy.config.num_labels = 1
    return LlamaForSequenceClassification(policy.config)


def test_a_loss_that_is_not_finite_stops_before_the_step(store: BlockStore, tmp_path: Path) -> None:
    class Poisoned(CausalLM):
        def loss(self, model, batch):  # noqa: ANN001, ANN202
            loss, sums = super().loss(model, batch)
            return (loss * float("nan") if 17 in batch.rows else loss), sums

    bad_step = next(step for step in range(5) if 17 in step_rows(step, store, OPTIMIZATION))
    with pytest.raises(NonFiniteLoss, match=rf"train.step {bad_step}: loss is nan.*rows \[17\] of the token store"):
        run(store, tmp_path / "bad", objective=Poisoned())
    run(store, tmp_path / "good", kill_after=bad_step + 1)
    if bad_step:
        one, other = parameters(tmp_path / "bad"), parameters(tmp_path / "good")
        assert all(torch.equal(one[name], other[name]) for name in one)
    else:
        assert newest_whole(tmp_path / "bad") is None
    assert issubclass(NonFiniteLoss, UserError)


@pytest.mark.parametrize(
    ("zero_stage", "dtype"), [(0, "fp32"), (1, "fp32"), (1, "bf16"), (2, "bf16"), (3, "fp32"), (1, "fp16")]
)
def test_a_gradient_that_is_not_finite_stops_before_the_step(
    store: BlockStore, tmp_path: Path, zero_stage: int, dtype: str
) -> None:
    class Poisoned(CausalLM):
        def loss(self, model, batch):  # noqa: ANN001, ANN202
            loss, sums = super().loss(model, batch)
            return loss + (model.model.norm.weight.float() * 0).sqrt().sum(), sums  # d sqrt(x) at 0 is infinite

    model = tiny_model(dtype=dtype)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    arguments = {
        "optimization": OPTIMIZATION.model_copy(update={"dtype": dtype}),
        "placement": PLACEMENT.model_copy(update={"zero_stage": zero_stage}),
    }
    with pytest.raises(NonFiniteLoss, match="train.step 0: gradient norm is"):
        run(store, tmp_path, objective=Poisoned(), model=model, **arguments)
    if zero_stage < 3:  # stage 3 has cut the parameters up
        assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert newest_whole(tmp_path) is None


def test_every_row_is_read_once_per_epoch_and_dealt_to_one_rank(store: BlockStore) -> None:
    optimization = OPTIMIZATION.model_copy(update={"global_batch": 7, "epochs": 3.0})
    steps = [step_rows(step, store, optimization) for step in range(optimization.num_steps(len(store)))]
    assert [len(rows) for rows in steps] == [7] * 17 + [1]
    flat = sum(steps, [])
    for epoch in range(3):
        assert sorted(flat[epoch * 40 : (epoch + 1) * 40]) == list(range(40))
    assert flat[:40] != flat[40:80]
    for world_size in (1, 2, 3, 8):
        for micro_batch in (1, 2, 5):
            dealt = [rank_rows(steps[0], store, rank, world_size, micro_batch) for rank in range(world_size)]
            assert sorted(sum(sum(dealt, []), [])) == sorted(steps[0])
            assert len({len(micro_steps) for micro_steps in dealt}) == 1
            assert all(len(rows) <= micro_batch for micro_steps in dealt for rows in micro_steps)


def test_a_step_without_loss_tokens_stops_the_run(tmp_path: Path) -> None:
    writer = BlockWriter(tmp_path / "store", "causal_lm", "digest", 0, 8)
    for row in range(4):
        writer.add([1, 2, 3], [3], [0, row != 2, 0])
    writer.close()
    optimization = OPTIMIZATION.model_copy(update={"global_batch": 1})
    step = next(i for i in range(4) if step_rows(i, BlockStore(tmp_path / "store"), optimization) == [2])
    expected = rf"train.step {step}: number of loss tokens is 0, expected at least one; rows \[2\] of the token store"
    with pytest.raises(UserError, match=expected):
        run(BlockStore(tmp_path / "store"), tmp_path / "c", optimization=optimization)


def test_a_run_tells_what_it_does(store: BlockStore, tmp_path: Path) -> None:
    found: list[dict[str, float]] = []
    run(store, tmp_path, on_step=lambda done, total, metrics: found.append(metrics))
    for metrics in found:
        assert set(metrics) == {
            "loss", "grad_norm", "learning_rate", "tokens_per_s", "data_wait_fraction", "save_s", "memory_bytes",
            "micro_batch",
        }, "on a CPU no MFU is claimed"  # fmt: skip
        assert metrics["tokens_per_s"] > 0 and 0 <= metrics["data_wait_fraction"] <= 1
        assert 1e8 < metrics["memory_bytes"] < 1e11
    assert CheckpointReader(newest_whole(str(tmp_path))).state.metrics.keys() == {"loss", "grad_norm", "learning_rate"}


def test_the_next_steps_rows_are_loaded_while_one_is_computed(store: BlockStore) -> None:
    reads: list[int] = []

    class Watched(BlockStore):
        def __getitem__(self, index: int):  # noqa: ANN204
            reads.append(index)
            return super().__getitem__(index)

    with closing(StepLoader(Watched(store.directory), CausalLM().num_units, OPTIMIZATION, Ranks())) as loader:
        first = loader.take(0, 2)
        loader._next[1].result(60)
        assert sorted(reads) == sorted(step_rows(0, store, OPTIMIZATION) + step_rows(1, store, OPTIMIZATION))
        again = loader.take(1, 4)  # another micro-batch: loaded anew
        assert [len(rows) for rows in again.mine] == [4, 4] and [len(rows) for rows in first.mine] == [2] * 4
        assert [batch.rows for batch in again.batches] == [tuple(rows) for rows in again.mine]


def test_an_interrupted_run_saves_after_its_step_and_goes_on_later(store: BlockStore, tmp_path: Path) -> None:
    straight = run(store, tmp_path / "a")
    rows: list[list[int]] = []
    reasons = iter([None, None, "the node is going"])
    placement = PLACEMENT.model_copy(update={"checkpoint_every_steps": 0})
    common = {"placement": placement, "on_rows": lambda done, found: rows.append(found)}
    first = run(store, tmp_path / "b", interrupt=lambda: next(reasons), **common)
    assert sorted(first) == [1, 2, 3] and newest_whole(str(tmp_path / "b")) == step_directory(tmp_path / "b", 3)
    assert first | run(store, tmp_path / "b", **common) == straight
    assert rows == [step_rows(step, store, OPTIMIZATION) for step in range(10)]


def test_the_wrong_store_is_refused(store: BlockStore, pairs: BlockStore, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train.CausalLM: got a token store of kind 'pairs'"):
        run(pairs, tmp_path, objective=CausalLM())
    with pytest.raises(UserError, match="train.BradleyTerry: got a token store of kind 'causal_lm', expected pairs"):
        run(store, tmp_path, objective=BradleyTerry())


def test_pairs_without_references_are_refused(tmp_path: Path) -> None:
    writer = BlockWriter(tmp_path / "store", "pairs", "digest", 0, 8)
    writer.add([1, 2, 3, 1, 4], [3, 2], [0, 1, 1, 0, 1])
    writer.close()
    with pytest.raises(UserError, match="pairs hold no reference log-prob.*expected one for each side"):
        run(BlockStore(tmp_path / "store"), tmp_path / "c", objective=DPO)
    with pytest.raises(UserError, match="train.KTO: got a token store of kind 'pairs', expected labelled"):
        run(BlockStore(tmp_path / "store"), tmp_path / "c", objective=UNPAIRED)
    with pytest.raises(UserError, match="train.BradleyTerry: the pairs hold no labels.*or set margin_factor to 0"):
        run(BlockStore(tmp_path / "store"), tmp_path / "c", objective=BradleyTerry(margin_factor=1.0))
    simpo = Preference(terms=PreferenceLoss(name="simpo", beta=2.0))  # it needs none
    assert run(BlockStore(tmp_path / "store"), tmp_path / "s", objective=simpo)


def test_a_mistake_seen_by_one_rank_is_raised_on_all(store: BlockStore, tiny_model: Path, tmp_path: Path) -> None:
    workspace = SimpleNamespace(data=tmp_path)
    job = worker.Job(CausalLM(), tiny_model, str(store.directory), OPTIMIZATION, PLACEMENT, workspace)
    ranks = SimpleNamespace(gathered=lambda own: [own, "no config.json on rank 1"])
    with pytest.raises(UserError, match="no config.json on rank 1"):
        worker._loaded(job, ranks)


def test_a_users_mistake_is_not_tried_again() -> None:
    policy = Failures(FailureConfig(max_failures=3))
    mistake = WorkerGroupError("rank 1 failed", {1: UserError("no config.json")})
    assert policy.make_decision(WorkerGroupError("rank 1 died", {1: OSError("gone")})) is FailureDecision.RETRY
    assert policy.make_decision(mistake) is FailureDecision.RAISE


def test_rmsprop_decays_the_learning_rate_and_learns(store: BlockStore, tmp_path: Path) -> None:
    optimization = OPTIMIZATION.model_copy(update={"optimizer": "rmsprop", "learning_rate": 3e-3, "epochs": 4.0})
    losses = run(store, tmp_path, optimization=optimization)
    assert losses[20] < losses[1] - 0.5
