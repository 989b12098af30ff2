"""KTO and a reward model with a margin through their stages: from pairs to a trained model, on Ray Train workers."""

from __future__ import annotations

import shutil

import pytest

from medray.core.config import Config
from medray.core.schema import PAIR, write_table
from medray.core.stage import Stage, execute
from medray.core.workspace import Root
from medray.preference import dpo, reference
from medray.reward import train as reward
from medray.train.config import KTOLoss, Optimization, TrainPlacement

pytestmark = pytest.mark.timeout(400)

OPTIMIZATION = Optimization(
    learning_rate=3e-3, schedule="constant", warmup_fraction=0.0, min_learning_rate_fraction=0.0, optimizer="adamw",
    betas=(0.9, 0.95), weight_decay=0.0, gradient_clip=1.0, global_batch=8, epochs=3.0, dtype="fp32", rng_seed=1,
)  # fmt: skip
PLACEMENT = TrainPlacement(num_workers=(2, 2), threads_per_worker=1, zero_stage=2)


def given(label, write):
    """A stage whose data is written by a function: what stands in for the stages before."""

    def run(config, inputs, workspace):
        write(workspace.data)
        return {}

    return Stage(label, label, 1, Config(), run)


def pair_rows(rejected_reward):
    return [
        {"id": f"p{i}", "prompt_id": f"p{i}", "source": "own", "messages": [{"role": "user", "content": f"Which {i}?"}],
         "chosen": "The kidney.", "rejected": "heart " * (1 + i % 3), "chosen_reward": 1.0,
         "rejected_reward": rejected_reward, "split": "train", "task": "t"}
        for i in range(10)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def session():
    from medray.session import SessionPlacement, ray_session

    with ray_session(SessionPlacement(logical_cpus=4, object_store_bytes=128 * 2**20)):
        yield


@pytest.fixture
def made(session, tiny_model, tmp_path):
    """A root, and in it a model and two sets of pairs."""
    root = Root(str(tmp_path / "root"))
    model = given("model", lambda data: shutil.copytree(tiny_model, data / "model"))
    sets = {
        label: given(label, lambda data, lead=lead: write_table(data / "pairs.parquet", pair_rows(lead), PAIR))
        for label, lead in (("own", 0.0), ("general", -1.0))
    }
    for stage in (model, *sets.values()):
        execute(stage, root)
    return root, model, sets


def test_pairs_are_taken_apart_and_trained_on(made):
    root, model, sets = made
    config = reference.ReferenceConfig(dtype="fp32", max_tokens=128, oversize="error")
    ready = Stage.of("reference", reference, config, reference=model, unpaired=sets["own"])
    found = execute(ready, root).manifest.counters
    assert (found["num_rows"], found["num_desirable"], found["num_unmatched"]) == (20, 10, 0)
    loss = KTOLoss(name="kto", beta=0.5, desirable_weight=1.0, undesirable_weight=1.0)
    trained = dpo.DPOConfig(loss=loss, optimization=OPTIMIZATION, placement=PLACEMENT)
    counters = execute(Stage.of("dpo", dpo, trained, model=model, reference=ready), root).manifest.counters
    assert counters["rows"] == 60 and counters["optimizer_steps"] == 8
    # it starts at half of each weight, where policy and reference are one
    assert counters["loss"] < 0.4 and counters["reward_accuracy"] > 0.9 and counters["reward_margin"] > 0.3
    assert "kl" in counters and 0 <= counters["desirable_fraction"] <= 1


def test_a_reward_model_of_two_sets_with_a_margin(made):
    root, model, sets = made
    config = reward.RewardConfig(
        optimization=OPTIMIZATION, max_tokens=128, oversize="error", num_pairs=12, placement=PLACEMENT,
        proportions={"pairs": 2.0, "pairs_general": 1.0}, margin_factor=0.5, centring=0.01,
    )  # fmt: skip
    inputs = {"model": model, "pairs": sets["own"], "pairs_general": sets["general"]}
    counters = execute(Stage.of("reward", reward, config, **inputs), root).manifest.counters
    assert (counters["num_pairs"], counters["num_pairs_own"], counters["num_pairs_general"]) == (12, 8, 4)
    assert counters["reward_accuracy"] == pytest.approx(1) and counters["reward_margin"] > 0.5
