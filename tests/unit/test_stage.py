"""Stages, workspaces, roots: hits, misses, resumption, leases, sealing."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from medray import cli
from medray.core.config import Config, Placement, UserError
from medray.core.schema import DOCUMENT, QUESTION, read_table, write_table
from medray.core.stage import Stage, execute, nearest
from medray.core.workspace import Root, Workspace
from medray.pipeline import diff, stages_of
from medray.recipes.load import load_recipe
from medray.train.config import TrainPlacement


class Workers(Placement):
    workers: int = 1


class Numbers(Config):
    count: int
    placement: Workers = Workers()


def write_numbers(config, inputs, workspace):
    for shard in range(config.count):
        if not workspace.is_done(f"s{shard}"):
            (workspace.data / f"{shard}.txt").write_text(str(shard))
            workspace.mark_done(f"s{shard}", rows=1)
        if getattr(write_numbers, "fail_at", None) == shard:
            raise RuntimeError("killed")
    return {"num_shards": len(workspace.marks())}


MODULE = SimpleNamespace(NAME="numbers", VERSION=1, run=write_numbers)


def stage(count=3, workers=1, label="numbers", version=1, **inputs):
    module = SimpleNamespace(NAME="numbers", VERSION=version, run=write_numbers)
    return Stage.of(label, module, Numbers(count=count, placement=Workers(workers=workers)), **inputs)


def test_id_depends_on_identity_inputs_and_version_only():
    assert stage().id == stage(workers=9, label="other").id
    others = {stage().id, stage(count=4).id, stage(version=2).id, stage(source=stage(count=5)).id}
    assert len(others) == 4


def test_a_sealed_stage_does_not_run_again(tmp_path, monkeypatch):
    root = Root(str(tmp_path))
    first = execute(stage(), root)
    monkeypatch.setattr(write_numbers, "fail_at", 0, raising=False)
    again = execute(stage(workers=2), root)
    assert again.manifest == first.manifest and first.manifest.counters == {"num_shards": 3}
    assert first.manifest.inputs == {} and not (first.directory / "lease.json").exists()


def test_a_stopped_stage_is_unsealed_and_goes_on_at_its_shard(tmp_path, monkeypatch):
    root, uninterrupted = Root(str(tmp_path / "a")), Root(str(tmp_path / "b"))
    monkeypatch.setattr(write_numbers, "fail_at", 1, raising=False)
    with pytest.raises(RuntimeError):
        execute(stage(), root)
    assert not root.is_sealed("numbers", stage().id)
    (root.directory("numbers", stage().id) / "data" / "0.txt").touch()
    before = (root.directory("numbers", stage().id) / "data" / "0.txt").stat().st_mtime_ns
    monkeypatch.setattr(write_numbers, "fail_at", None, raising=False)
    resumed = execute(stage(), root)
    assert (resumed.data / "0.txt").stat().st_mtime_ns == before, "a finished shard was written again"
    assert resumed.manifest.digest == execute(stage(), uninterrupted).manifest.digest
    assert resumed.manifest.num_attempts == 2


def test_a_miss_names_the_differing_field(tmp_path):
    root = Root(str(tmp_path))
    execute(stage(count=3), root)
    manifest, fields = nearest(stage(count=4), root)
    assert fields == [("config.count", 3, 4)] and manifest.id == stage(count=3).id


def test_changed_content_is_found(tmp_path):
    artifact = execute(stage(), Root(str(tmp_path)))
    assert artifact.verify() == []
    (artifact.data / "1.txt").write_text("7")
    (artifact.data / "9.txt").write_text("new")
    assert artifact.verify() == ["1.txt", "9.txt"]


@pytest.mark.parametrize("equality", ["exact", "numeric"])
def test_only_weights_may_differ_with_their_placement(tmp_path, equality):
    def write_workers(config, inputs, workspace):
        (workspace.data / "workers.txt").write_text(str(config.placement.workers))
        return {}

    module = SimpleNamespace(NAME="weights", VERSION=1, run=write_workers, EQUALITY=equality)
    roots = [Root(str(tmp_path / str(workers))) for workers in (1, 2)]
    for workers, root in enumerate(roots, 1):
        execute(Stage.of("weights", module, Numbers(count=1, placement=Workers(workers=workers))), root)
    divergences, _ = diff(*roots)
    assert [d.label for d in divergences] == ([] if equality == "numeric" else ["weights"])


def test_completions_that_cannot_be_drawn_again_are_told_apart(tmp_path, capsys):
    def write(config, inputs, workspace):
        (workspace.data / "drawn.txt").write_text(workspace.root.url)
        return {}

    found = {}
    for equality in ("exact", "sampled"):
        module = SimpleNamespace(NAME=equality, VERSION=1, run=write, equality=lambda config, name=equality: name)
        for number in (1, 2):
            root = Root(str(tmp_path / f"{equality}{number}"))
            found[equality] = execute(Stage.of("answer", module, Numbers(count=1)), root).manifest.equality
        [divergence], _ = diff(*(Root(str(tmp_path / f"{equality}{number}")) for number in (1, 2)))
        assert divergence.same_id and divergence.is_sampled == (equality == "sampled")
        cli.diff(str(tmp_path / f"{equality}1"), str(tmp_path / f"{equality}2"))
    assert found == {"exact": "exact", "sampled": "sampled"}
    said = " ".join(capsys.readouterr().out.split())
    assert "it was not computed the same way twice answer: other completions: bf16 or a GPU's kernels drew them" in said


def test_every_stage_that_hands_on_trained_weights_is_compared_numerically():
    stages = stages_of(load_recipe("tiny"))
    trained = {s.label for s in stages if isinstance(getattr(s.config, "placement", None), TrainPlacement)}
    passed_on = {s.label for s in stages if s.label.endswith(".observe")}
    assert {s.label for s in stages if s.equality == "numeric"} == trained | passed_on
    assert trained >= {"pretrain", "sft", "round_1.dpo"}


def test_remote_root_seals_resumes_and_opens(tmp_path, monkeypatch):
    """An object store (fsspec's in memory): nothing is renamed there, the manifest is one conditional PUT."""
    monkeypatch.setenv("MEDRAY_CACHE", str(tmp_path / "cache"))
    root = Root(f"memory://{tmp_path.name}/root")
    root.prepare()
    monkeypatch.setattr(write_numbers, "fail_at", 1, raising=False)
    with pytest.raises(RuntimeError):
        execute(stage(), root)
    monkeypatch.setattr(write_numbers, "fail_at", None, raising=False)
    monkeypatch.setenv("MEDRAY_CACHE", str(tmp_path / "another machine"))
    artifact = execute(stage(), root)
    assert artifact.manifest.counters == {"num_shards": 3}
    monkeypatch.setenv("MEDRAY_CACHE", str(tmp_path / "a third"))
    opened = root.open("numbers", stage().id)
    assert opened.verify() == [] and [m.id for m in root.manifests()] == [stage().id]
    with pytest.raises(FileExistsError):
        root.seal(artifact.manifest)


def _hold(url, ready):
    with Root(url).lease("numbers", "x" * 32):
        ready.set()
        time.sleep(60)


def test_lease_keeps_two_runs_apart_and_outlives_no_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(str(tmp_path), ready))
    holder.start()
    try:
        assert ready.wait(30)
        with pytest.raises(UserError, match=rf"process {holder.pid} on .* is running this stage"):
            with Root(str(tmp_path)).lease("numbers", "x" * 32):
                pass
    finally:
        holder.kill()
        holder.join(10)
    with Root(str(tmp_path)).lease("numbers", "x" * 32):
        assert json.loads((tmp_path / "numbers" / ("x" * 32) / "lease.json").read_text())["pid"] == os.getpid()


def test_a_relative_root_is_the_same_place_in_every_worker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace = Workspace(Root("runs"), "k", "i", "pretrain")
    monkeypatch.chdir("/")
    assert workspace.local == tmp_path / "runs" / "k" / "i" and Root(f"file://{tmp_path}/x").url == f"{tmp_path}/x"


def test_unwritable_root_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        Root(str(tmp_path / "file" / "root")).prepare()


def test_quarantine_counts_and_limits(tmp_path):
    workspace = Workspace(Root(str(tmp_path)), "k", "i", "corpus")
    workspace.quarantine("s0", [{"where": "a.jsonl:3", "reason": "no text", "row": "{}"}])
    workspace.check_quarantine(100, 0.01)
    with pytest.raises(UserError, match=r"1 of 50 rows are bad, at most 1.00% may be; first: a.jsonl:3: no text"):
        workspace.check_quarantine(50, 0.01)


def test_journal_survives_torn_lines_and_rewinds(tmp_path):
    journal = Workspace(Root(str(tmp_path)), "k", "i", "pretrain").journal
    for step in range(5):
        journal.log(step, loss=step * 0.5)
    journal.log(3, loss=9.0)
    with open(journal.path, "a") as stream:
        stream.write('{"step": 5, "lo')
    assert [r["loss"] for r in journal.history()] == [0.0, 0.5, 1.0, 9.0, 2.0]
    journal.rewind(3)
    assert [r["step"] for r in journal.history()] == [0, 1, 2]


def test_tables_are_checked_when_read(tmp_path):
    row = {"id": "1", "task": "t", "prompt": "p", "options": ["a"], "gold": 0, "group": "g", "split": "test"}
    write_table(tmp_path / "q.parquet", [row], QUESTION)
    assert read_table(tmp_path / "q.parquet", QUESTION).to_pylist() == [row]
    with pytest.raises(UserError, match="columns source, text"):
        read_table(tmp_path / "q.parquet", DOCUMENT)
    with pytest.raises(UserError, match="no parquet table"):
        read_table(tmp_path / "nothing.parquet", DOCUMENT)
    with pytest.raises(AssertionError, match="row has fields"):
        write_table(tmp_path / "r.parquet", [{"id": "1"}], QUESTION)


def test_core_is_light():
    code = "import sys, medray.core.stage; sys.exit(any(m in sys.modules for m in ('torch', 'ray', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
