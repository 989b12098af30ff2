"""Corpus, SFT and a round's answers on a root on an object store, by nodes of which none sees the disk of another."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medray.core.artifact import Artifact
from medray.core.config import Config, with_overrides
from medray.core.mirror import url_of
from medray.core.schema import EXAMPLE
from medray.core.stage import Stage
from medray.core.workspace import Root, Workspace
from medray.corpus import base
from medray.sft import train as sft
from medray.tables.blocks import BlockStore
from medray.train.config import Optimization, TrainPlacement
from tests.e2e.corpus_steps import STEPS, run_all, stages
from tests.faults import round_stages

pytest.importorskip("s3fs")
ray = pytest.importorskip("ray")


APART = """
import sys

def watch(event, arguments):
    if event == "open" and str(arguments[0]).startswith({!r}):
        raise PermissionError(f"this lies on the driver's disk: {{arguments[0]}}")

sys.addaudithook(watch)
"""
"""What Python opens on the nodes (all of this is one machine's disk)."""


@pytest.fixture
def nodes(s3_root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A head that runs only what must be beside the driver, and two nodes with a CPU and a cache of their own."""
    from ray.cluster_utils import Cluster

    cluster, site = Cluster(), tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(APART.format(str(tmp_path / "cache")))
    repository = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", repository)
    try:
        cluster.add_node(num_cpus=0, object_store_memory=80 * 2**20, include_dashboard=False)
        monkeypatch.setenv("PYTHONPATH", f"{site}:{repository}")
        for name in ("one", "two"):
            # a node's processes have the environment in which it was started
            monkeypatch.setenv("MEDRAY_CACHE", str(tmp_path / name))
            cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        monkeypatch.setenv("MEDRAY_CACHE", str(tmp_path / "cache"))
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield [tmp_path / "one", tmp_path / "two"]
    finally:
        ray.shutdown()
        cluster.shutdown()


def names(directory: Path, kind: str) -> set[str]:
    """Files of the stages of a kind in a node's mirror, hidden ones left out."""
    found = directory.glob(f"mirror/s3/medray-test/runs/{kind}/*/**/*")
    return {"/".join(p.parts[p.parts.index(kind) + 2 :]) for p in found if p.is_file() and p.name[0] != "."}


def test_a_corpus_on_an_object_store_is_the_same_whichever_node_does_what(nodes, s3_root, tmp_path):
    here = tmp_path / "files"
    here.mkdir()
    found = stages(here, num_shards=4)
    far = run_all(found, s3_root)
    near = run_all(found, Root(str(tmp_path / "near")))
    for name in STEPS:
        assert far[name].manifest.parts == near[name].manifest.parts, name
        assert far[name].manifest.counters == near[name].manifest.counters
        assert far[name].manifest.num_quarantined == near[name].manifest.num_quarantined
        assert s3_root.open(name, found[name].id).verify() == []
        there = s3_root._fs.find(s3_root.remote(name, found[name].id))
        assert not [path for path in there if "/scratch/" in path or "/." in path], "nothing but what is sealed"
    # each node has written files of the store that no other has
    files = [{name for name in names(node, "corpus") if name.startswith("data/store/part-")} for node in nodes]
    assert all(files) and not files[0] & files[1]
    assert len(files[0] | files[1]) == len(BlockStore(near["corpus"].data / "store").facts["shards"])
    hashes = [{name for name in names(node, "dedup") if name.endswith(".hashes.arrow")} for node in nodes]
    assert sorted(map(len, hashes))[1] == 4, "the one that decided has all hashes"
    tokens = [{name for name in names(node, "corpus") if name.endswith(".tokens")} for node in nodes]
    assert list(map(len, tokens)) == [4, 4], "whoever packs has fetched what the other has tokenised"
    plain = BlockStore(near["corpus"].data / "store")
    store = BlockStore(tmp_path / "a trainer's", url_of(far["corpus"].data / "store"), 1)
    assert all(store[row].input_ids.tolist() == plain[row].input_ids.tolist() for row in (0, len(plain) - 1))


def write_examples(config: Config, inputs: dict[str, Artifact], workspace: Workspace) -> dict:
    """Stands for `instructions`: 40 examples in 5 row groups."""
    rows = [
        {"id": f"e{i}", "source": "made", "group": "", "licence": "CC0-1.0", "split": "train",
         "messages": [{"role": "user", "content": f"Question {i}?"},
                      {"role": "assistant", "content": "The kidney. " * (1 + i % 3)}]}
        for i in range(40)
    ]  # fmt: skip
    workspace.data.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, EXAMPLE), workspace.data / "examples.parquet", row_group_size=8)
    return {}


def tuned(root: Root) -> dict[str, Artifact]:
    """Instructions, a tiny base and SFT, sealed."""
    taught = Stage("instructions", "instructions", 1, Config(), write_examples)
    shape = base.TinyShape(vocab_size=400, hidden_size=16, num_layers=1, max_positions=256, rng_seed=0)
    start = base.BaseConfig(format="tiny", tiny=shape, licence="CC0-1.0", access="public")
    optimization = Optimization(
        learning_rate=1e-2, schedule="constant", warmup_fraction=0.0, min_learning_rate_fraction=0.0,
        optimizer="adamw", betas=(0.9, 0.95), weight_decay=0.0, gradient_clip=1.0, global_batch=2, epochs=2.0,
        dtype="fp32", rng_seed=0,
    )  # fmt: skip
    config = sft.SFTConfig(
        optimization=optimization, block_tokens=160, packing="best_fit", oversize="error", num_examples=None,
        placement=TrainPlacement(threads_per_worker=1, checkpoint_every_steps=2),
    )  # fmt: skip
    model = Stage.of("base", base, start, examples=taught)
    stages_ = {"instructions": taught, "base": model, "sft": Stage.of("sft", sft, config, model=model, examples=taught)}
    return run_all(stages_, root)


def test_sft_on_an_object_store_trains_on_parts_that_other_nodes_rendered(nodes, s3_root, tmp_path, monkeypatch):
    monkeypatch.setattr("medray.sft.render._ROWS_PER_PART", 8)
    near, far = tuned(Root(str(tmp_path / "near"))), tuned(s3_root)
    for name in near:
        assert far[name].manifest.parts == near[name].manifest.parts, name
    assert far["sft"].manifest.counters["num_examples"] == 40
    assert far["sft"].verify() == []
    losses = [[record["loss"] for record in made["sft"].journal_history()] for made in (near, far)]
    assert losses[0] == losses[1] and losses[1][-1] < losses[1][0]
    parts = [[name for name in names(node, "sft") if name.startswith("scratch/part-")] for node in nodes]
    assert 0 < min(map(len, parts)) < max(map(len, parts)) == 5, "who packs has fetched what the other rendered"


@pytest.mark.full
def test_a_round_on_an_object_store_is_sampled_and_judged_by_other_nodes(nodes, s3_root, tmp_path, monkeypatch):
    from medray.generate.engine import shutdown_engines
    from medray.serve.reward_app import shutdown_reward_app

    reachable = with_overrides(round_stages.ANSWER, ["judge.serving.placement.host=0.0.0.0"])
    monkeypatch.setattr(round_stages, "ANSWER", reachable)
    round_stages.write_models(tmp_path / "models")
    try:
        far = run_all(round_stages.stages(tmp_path / "models"), s3_root)
    finally:
        shutdown_engines()
        shutdown_reward_app()
    assert {name: artifact.verify() for name, artifact in far.items()} == dict.fromkeys(far, [])
    counters = far["answer"].manifest.counters
    num_prompts = 2 * round_stages.NUM_SHARDS
    assert (counters["num_prompts"], counters["num_completions"]) == (num_prompts, 3 * num_prompts)
    assert any("data/completions" in name for node in nodes for name in names(node, "answer")), "a node has written"
