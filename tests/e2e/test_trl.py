"""TRL's trainers on Ray Train workers: a sealed model that loads, and refusals before anything starts."""

from __future__ import annotations

import shutil

import pytest
import torch

from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.schema import EXAMPLE, PAIR, write_table
from medray.core.stage import Stage, execute
from medray.core.workspace import Root, Workspace
from medray.model.adapter import Adapter
from medray.model.load import load_policy, load_reward_model
from medray.train import trl_methods
from medray.train.record import Record
from medray.train.trl_methods import TRLConfig, TRLJob, TRLPlacement, check, export, work, write_dataset

pytestmark = pytest.mark.timeout(400)

QUICK = {
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-2,
    "num_train_epochs": 2,
    "lr_scheduler_type": "constant",
}
CONFIG = TRLConfig(
    trainer="SFTTrainer", arguments=QUICK, num_workers=1, max_tokens=128, oversize="drop", num_rows=None, rng_seed=1,
    dtype="fp32", placement=TRLPlacement(threads_per_worker=1),
)  # fmt: skip


def given(label, write):
    """A stage whose data is written by a function: what stands in for the stages before."""

    def run(config, inputs, workspace):
        write(workspace.data)
        return {}

    return Stage(label, label, 1, Config(), run)


def question(number):
    return [{"role": "user", "content": f"Question {number}?"}]


def rows(kind):
    if kind == "examples":
        return [
            {"id": f"e{i}", "source": "s", "group": "", "licence": "x", "split": "train",
             "messages": [*question(i), {"role": "assistant", "content": "The kidney."}]}
            for i in range(12)
        ], EXAMPLE  # fmt: skip
    return [
        {"id": f"p{i}", "prompt_id": f"p{i}", "source": "own", "messages": question(i), "chosen": "The kidney.",
         "rejected": "heart " * (1 + i % 3), "chosen_reward": 1.0, "rejected_reward": 0.0, "split": "train",
         "task": "t"}
        for i in range(12)
    ], PAIR  # fmt: skip


@pytest.fixture(scope="module")
def session():
    from medray.session import SessionPlacement, ray_session

    with ray_session(SessionPlacement(logical_cpus=4, object_store_bytes=128 * 2**20)):
        yield


@pytest.fixture
def train(session, tiny_model, tmp_path):
    """train(kind of rows, **changes of the config): the sealed artifact."""
    root = Root(str(tmp_path / "root"))

    def call(kind, **changes) -> Artifact:
        model = given("model", lambda data: shutil.copytree(tiny_model, data / "model"))
        table, schema = rows(kind)
        source = given(kind, lambda data: write_table(data / f"{kind}.parquet", table, schema))
        for stage in (model, source):
            execute(stage, root)
        config = TRLConfig.model_validate({**dict(CONFIG), **changes})
        return execute(Stage.of("trl", trl_methods, config, model=model, **{kind: source}), root)

    return call


def moved(artifact, tiny_model):
    """Largest change of a weight."""
    before = dict(load_policy(tiny_model, "fp32").named_parameters())
    after = dict(load_policy(artifact.data / "model", "fp32").named_parameters())
    assert before.keys() == after.keys()
    return max(float((before[name] - after[name]).detach().abs().max()) for name in before)


@pytest.mark.parametrize(
    ("trainer", "kind"), [("SFTTrainer", "examples"), ("KTOTrainer", "pairs"), ("ORPOTrainer", "pairs")]
)
def test_what_a_worker_does_in_this_process(tiny_model, tmp_path, monkeypatch, trainer, kind):
    config = CONFIG.model_copy(update={"trainer": trainer})
    workspace = Workspace(Root(str(tmp_path / "root")), "trl", "0" * 32, "trl")
    table, schema = rows(kind)
    write_table(tmp_path / f"{kind}.parquet", table, schema)
    dataset, directory = workspace.scratch / "dataset", workspace.scratch / "trl"
    directory.mkdir()
    counts = write_dataset(config, tiny_model, tmp_path / f"{kind}.parquet", dataset, workspace)
    assert counts == {"num_rows": 12, "num_oversize": 0, "num_truncated": 0}
    job, record = TRLJob(config, tiny_model, dataset, directory, workspace), Record(workspace)
    sent = job, lambda method, *told: getattr(record, method)(*told)
    monkeypatch.setattr("medray.train.worker.received", lambda config: sent)
    metrics = work({})
    assert len(workspace.journal.history()) == metrics["optimizer_steps"]
    assert metrics["optimizer_steps"] == (24 if trainer == "KTOTrainer" else 12)  # a pair is two of KTO's rows
    export(job)
    before, after = (load_policy(d, "fp32").state_dict() for d in (tiny_model, workspace.data / "model"))
    assert max(float((before[name] - after[name]).abs().max()) for name in before) > 1e-3


@pytest.mark.full
def test_sft_learns_what_the_renderer_marks(train, tiny_model):
    artifact = train("examples")
    counters = artifact.manifest.counters
    assert counters["num_rows"] == 12 and counters["optimizer_steps"] == 12
    assert counters["loss"] < 3.0 and moved(artifact, tiny_model) > 1e-3
    assert (artifact.data / "model" / "generation_config.json").exists()
    journal = (artifact.directory / "journal" / "metrics.jsonl").read_text()
    assert journal.count('"loss"') == 12


@pytest.mark.full
def test_dpo_of_two_workers_with_references_computed_first(train, tiny_model):
    arguments = {**QUICK, "loss_type": ["ipo"], "beta": 0.1, "precompute_ref_log_probs": True}
    artifact = train("pairs", trainer="DPOTrainer", arguments=arguments, num_workers=2)
    assert artifact.manifest.counters["optimizer_steps"] == 6 and moved(artifact, tiny_model) > 1e-3


@pytest.mark.full
@pytest.mark.parametrize("trainer", ["KTOTrainer", "ORPOTrainer", "CPOTrainer"])
def test_other_trainers_of_pairs(train, tiny_model, trainer):
    artifact = train("pairs", trainer=trainer, num_workers=2)
    assert moved(artifact, tiny_model) > 1e-3


@pytest.mark.full
def test_a_reward_model_loads_as_one_of_ours(train):
    artifact = train("pairs", trainer="RewardTrainer", num_workers=2)
    assert load_reward_model(artifact.data / "model", "fp32").score.weight.shape[0] == 1


@pytest.mark.full
def test_an_adapter_is_merged_and_zero_partitions(train, tiny_model):
    adapter = Adapter(rank=2, alpha=4, dropout=0.0, targets=("q_proj", "v_proj"))
    artifact = train(
        "examples", adapter=adapter, num_workers=2, placement=TRLPlacement(threads_per_worker=1, zero_stage=2)
    )
    assert (artifact.data / "adapter" / "adapter_model.safetensors").exists()
    before, after = (load_policy(d, "fp32").state_dict() for d in (tiny_model, artifact.data / "model"))
    changed = {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"q_proj", "v_proj"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trainer": "DPOTrainr"}, "'DPOTrainr' is neither in trl \\(.*SFTTrainer.*correct the name"),
        ({"arguments": {"learnig_rate": 1}}, "arguments.learnig_rate: SFTConfig has no such field: did you mean"),
        ({"arguments": {"output_dir": "x"}}, "arguments.output_dir: set by medray"),
        ({"trainer": "GRPOTrainer", "arguments": {}}, "GRPOTrainer asks for reward_funcs"),
    ],
)  # fmt: skip
def test_what_trl_does_not_know_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        check(CONFIG.model_copy(update=changes))


def test_rows_of_the_wrong_kind_are_refused(tiny_model, tmp_path):
    config = CONFIG.model_copy(update={"trainer": "DPOTrainer"})
    with pytest.raises(UserError, match="DPOTrainer got examples: give SFTTrainer examples, and others pairs"):
        write_dataset(config, tiny_model, tmp_path / "examples.parquet", tmp_path / "dataset", None)
