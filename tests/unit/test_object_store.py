"""A root on an object store, against moto's real S3 server: seal once, resume elsewhere, lease; read a token store."""

import json
import multiprocessing
import pickle
import random
import threading

import fsspec
import pytest

from medray.core.config import Config, UserError
from medray.core.mirror import remove, url_of
from medray.core.stage import Stage, execute
from medray.core.workspace import Root, Workspace
from medray.tables.blocks import BlockStore, BlockWriter
from medray.tables.shard_cache import ShardCache
from medray.train.batches import step_rows, upcoming_rows
from medray.train.config import Optimization
from tests.unit.test_stage import stage, write_numbers

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")


def test_seal_resume_and_lease_on_s3(s3_root, tmp_path, monkeypatch):
    s3_root.prepare()
    monkeypatch.setattr(write_numbers, "fail_at", 1, raising=False)
    with pytest.raises(RuntimeError):
        execute(stage(), s3_root)
    assert not s3_root.is_sealed("numbers", stage().id)
    monkeypatch.setattr(write_numbers, "fail_at", None, raising=False)
    monkeypatch.setenv("MEDRAY_CACHE", str(tmp_path / "another machine"))
    artifact = execute(stage(), s3_root)
    assert artifact.manifest.counters == {"num_shards": 3} and artifact.manifest.num_attempts == 2

    monkeypatch.setenv("MEDRAY_CACHE", str(tmp_path / "a third"))
    assert s3_root.open("numbers", stage().id).verify() == []
    with pytest.raises(FileExistsError):
        s3_root.seal(artifact.manifest)
    with s3_root.lease("numbers", "x" * 32), pytest.raises(UserError, match="is running this stage"):
        with s3_root.lease("numbers", "x" * 32):
            pass
    with s3_root.lease("numbers", "x" * 32):
        pass


def test_missing_bucket_is_one_line(s3_root):
    with pytest.raises(UserError, match=r"--root s3://no-such-bucket/runs: cannot write"):
        Root("s3://no-such-bucket/runs").prepare()


def test_a_mark_sends_what_is_new_and_asks_for_no_listing(s3_root, tmp_path, monkeypatch):
    workspace = Workspace(s3_root, "numbers", "1" * 32, "numbers")
    for number in range(3):
        (workspace.data / f"{number}.txt").write_text("old")
        workspace.mark_done(f"s{number}")
    sent, fs = [], s3_root._fs  # one object for all of the process
    put = fs.put_file
    monkeypatch.setattr(fs, "put_file", lambda here, there: sent.append(there) or put(here, there))
    monkeypatch.setattr(fs, "find", None)
    (workspace.data / "1.txt").write_text("new")  # of the same size
    (workspace.scratch / "3").write_text("more")
    workspace.mark_done("s3")
    assert [path.split("/", 4)[-1] for path in sent] == ["data/1.txt", "scratch/3", "marks/s3.json"]


def test_what_was_changed_here_stays_and_what_others_wrote_comes(s3_root, tmp_path, monkeypatch):
    here, there = tmp_path / "cache", tmp_path / "another machine"
    workspace = Workspace(s3_root, "numbers", "1" * 32, "numbers")
    (workspace.data / "mine").write_text("one")
    workspace.publish()
    monkeypatch.setenv("MEDRAY_CACHE", str(there))
    workspace.fetch("data/*")
    assert (workspace.data / "mine").read_text() == "one" and workspace.data.is_relative_to(there)
    (workspace.data / "mine").write_text("theirs")
    (workspace.data / "other").write_text("new")
    (workspace.scratch / "unasked").write_text("for")
    workspace.publish()
    monkeypatch.setenv("MEDRAY_CACHE", str(here))
    (workspace.data / "mine").write_text("mine!!!")
    workspace.fetch("data/*")
    assert (workspace.data / "mine").read_text() == "mine!!!" and (workspace.data / "other").read_text() == "new"
    assert not (workspace.scratch / "unasked").exists()
    remove(workspace.data / "other")
    s3_root.download("numbers", "1" * 32)
    assert (workspace.data / "mine").read_text() == "theirs", "at the start of a run the root is right"
    assert not (workspace.data / "other").exists()


def test_a_path_into_the_mirror_is_one_of_the_machine_where_it_arrives(s3_root, tmp_path, monkeypatch):
    shards = pytest.importorskip("medray.tables.shards")
    pytest.importorskip("ray")
    workspace = Workspace(s3_root, "numbers", "1" * 32, "numbers")
    (workspace.data / "model").mkdir()
    for name in ("a", "b"):
        (workspace.data / "model" / name).write_text(name)
    workspace.publish()
    packed = shards.packed(
        {
            "file": workspace.data / "model" / "a",
            "folder": workspace.data / "model",
            "own": tmp_path,
            "new": workspace.data / "new",
        }
    )
    monkeypatch.setenv("MEDRAY_CACHE", str(tmp_path / "another machine"))
    found = pickle.loads(packed)
    assert found["file"].is_relative_to(tmp_path / "another machine") and found["file"].read_text() == "a"
    assert (found["folder"] / "b").read_text() == "b" and found["own"] == tmp_path
    assert not found["new"].exists() and found["new"].parent.is_dir(), "what is to be written can be"
    assert url_of(found["file"]) == f"s3://medray-test/runs/numbers/{'1' * 32}/data/model/a"
    assert url_of(tmp_path) == ""


class Rows(Config):
    count: int


def write_rows(config, inputs, workspace):
    """A stage whose content is a token store of four rows a shard, and a table."""
    writer = BlockWriter(workspace.data / "store", "causal_lm", "digest", 8, 4)
    for row in range(config.count):
        writer.add([row] * 8, [8], [1] * 8)
    writer.close()
    (workspace.data / "card.json").write_text("{}")
    return {}


def sealed_store(s3_root, tmp_path, monkeypatch, count=22):
    """A sealed store of six shards as another machine opens it, which has nothing of it yet."""
    s3_root.prepare()
    stage = Stage("corpus", "corpus", 1, Rows(count=count), write_rows)
    execute(stage, s3_root)
    monkeypatch.setenv("MEDRAY_CACHE", str(tmp_path / "another machine"))
    return s3_root.open("corpus", stage.id)


def here(artifact):
    return sorted(path.name for path in (artifact.data / "store").glob("part-*"))


def test_shards_of_a_remote_store_are_fetched_when_needed_and_the_last_used_ones_stay(s3_root, tmp_path, monkeypatch):
    artifact = sealed_store(s3_root, tmp_path, monkeypatch)
    assert here(artifact) == [] and (artifact.data / "card.json").exists()
    size = json.loads((artifact.data / "store" / "store.json").read_text())["shards"][0]["num_bytes"]
    store = BlockStore(artifact.data / "store", url_of(artifact.data / "store"), 3 * size)
    assert len(store) == 22 and here(artifact) == []
    first = store[0].input_ids
    assert first.tolist() == [0] * 8 and here(artifact) == ["part-00000.arrow"]
    for row in range(22):
        assert store[row].input_ids.tolist() == [row] * 8 and store.num_tokens(row) == 8
    assert here(artifact) == ["part-00003.arrow", "part-00004.arrow", "part-00005.arrow"]
    assert first.tolist() == [0] * 8, "what is mapped stays readable"
    again = pickle.loads(pickle.dumps(store))
    assert again[12].input_ids.tolist() == [12] * 8 and again[0].input_ids.tolist() == [0] * 8
    assert here(artifact) == ["part-00000.arrow", "part-00003.arrow", "part-00005.arrow"]


def test_a_machine_with_nothing_at_all_opens_a_remote_store(s3_root, tmp_path, monkeypatch):
    artifact = sealed_store(s3_root, tmp_path, monkeypatch)
    store = BlockStore(tmp_path / "a worker's node", url_of(artifact.data / "store"), 1)
    assert store[21].input_ids.tolist() == [21] * 8 and store[3].input_ids.tolist() == [3] * 8
    assert [path.name for path in (tmp_path / "a worker's node").glob("part-*")] == ["part-00000.arrow"]


def test_a_shard_whose_content_disagrees_is_named_and_not_kept(s3_root, tmp_path, monkeypatch):
    artifact = sealed_store(s3_root, tmp_path, monkeypatch)
    fs, path = fsspec.core.url_to_fs(url_of(artifact.data / "store/part-00001.arrow"))
    whole = fs.cat_file(path)
    fs.pipe_file(path, whole[:-1] + bytes([whole[-1] ^ 1]))
    store = BlockStore(artifact.data / "store", url_of(artifact.data / "store"), 1 << 30)
    with pytest.raises(UserError, match=r"s3://.*part-00001.arrow: its content has sha256 \w{16}, expected \w{16} by"):
        store[5]
    assert here(artifact) == [] and artifact.verify() == ["store/part-00001.arrow"]
    fs.rm_file(path)
    with pytest.raises(UserError, match=r"part-00001.arrow: not there, expected a file of a token store"):
        store[5]
    assert artifact.verify() == ["store/part-00001.arrow"]
    fs.pipe_file(path, whole)
    assert store[5].input_ids.tolist() == [5] * 8 and artifact.verify() == []


def read_all(place, seed, results):
    store = BlockStore(*place)
    order = random.Random(seed).sample(range(len(store)), len(store))
    results.put(all(store[row].input_ids.tolist() == [row] * 8 for row in order))


def test_several_workers_share_one_small_cache(s3_root, tmp_path, monkeypatch):
    artifact = sealed_store(s3_root, tmp_path, monkeypatch)
    size = json.loads((artifact.data / "store" / "store.json").read_text())["shards"][0]["num_bytes"]
    place = (artifact.data / "store", url_of(artifact.data / "store"), 2 * size)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=read_all, args=(place, seed, results)) for seed in range(3)]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=120) for _ in workers] == [True] * 3
    for worker in workers:
        worker.join(60)
    assert len(here(artifact)) <= 2 and not list((artifact.data / "store").glob(".part-*"))


def test_the_next_shard_is_fetched_while_this_one_is_read(s3_root, tmp_path, monkeypatch):
    """In training order: only the first shard is waited for, and one on its way keeps nobody from reading."""
    artifact = sealed_store(s3_root, tmp_path, monkeypatch)
    fetched, may_end = [], threading.Event()
    fetch = ShardCache._fetch

    def slow(cache, name, sha256=""):
        fetched.append((name, threading.current_thread().name.startswith("prefetch")))
        if fetched[-1][1]:
            assert may_end.wait(60)
        fetch(cache, name, sha256)

    monkeypatch.setattr(ShardCache, "_fetch", slow)
    store = BlockStore(artifact.data / "store", url_of(artifact.data / "store"), 1 << 30)
    how = Optimization(
        learning_rate=1, schedule="cosine", warmup_fraction=0, min_learning_rate_fraction=0, optimizer="adamw",
        betas=(0.9, 0.9), weight_decay=0, gradient_clip=1, global_batch=2, epochs=2, dtype="bf16", rng_seed=3,
    )  # fmt: skip
    read = []
    for step in range(how.num_steps(len(store))):
        rows = step_rows(step, store, how)
        for row in upcoming_rows(step, store, how):
            store.prefetch(row)
        read += [store[row].input_ids[0] for row in rows]  # the first shard, while another is on its way
        may_end.set()
        for future in list(store._cache._coming.values()):
            future.result(60)
    assert sorted(read) == sorted([*range(22)] * 2)
    shards = [(name, ahead) for name, ahead in fetched if name != "store.json"]
    assert [name for name, ahead in shards if not ahead] == [f"part-{read[0] // 4:05d}.arrow"]
    assert len(shards) == len({name for name, _ in shards}) == 6


def test_a_prefetch_is_bounded_and_its_error_is_told_when_the_shard_is_needed(s3_root, tmp_path, monkeypatch):
    artifact = sealed_store(s3_root, tmp_path, monkeypatch)
    size = json.loads((artifact.data / "store" / "store.json").read_text())["shards"][0]["num_bytes"]
    small = BlockStore(artifact.data / "store", url_of(artifact.data / "store"), 2 * size - 1)
    small.prefetch(17)
    assert not small._cache._coming, "it would take the room of the one in use"
    fs, path = fsspec.core.url_to_fs(url_of(artifact.data / "store/part-00001.arrow"))
    whole = fs.cat_file(path)
    fs.rm_file(path)
    store = BlockStore(artifact.data / "store", url_of(artifact.data / "store"), 1 << 30)
    store.prefetch(5)
    with pytest.raises(UserError, match="part-00001.arrow: not there"):
        store[5]
    fs.pipe_file(path, whole)
    assert store[5].input_ids.tolist() == [5] * 8
    blocked = threading.Event()
    monkeypatch.setattr(ShardCache, "_have", lambda cache, facts: blocked.wait(60))
    for row in range(0, 22, 4):
        store.prefetch(row)
    assert len(store._cache._coming) == 4
    blocked.set()
