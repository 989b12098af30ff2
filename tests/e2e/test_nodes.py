"""The corpus on a root on an object store, by nodes of which none sees the disk of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from medray.core.workspace import Root
from medray.tables.blocks import BlockStore
from tests.e2e.corpus_steps import STEPS, run_all, stages

pytest.importorskip("s3fs")
ray = pytest.importorskip("ray")


@pytest.fixture
def nodes(s3_root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A head that runs only what must be beside the driver, and two nodes with a CPU and a cache of their own."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    try:
        cluster.add_node(num_cpus=0, object_store_memory=80 * 2**20, include_dashboard=False)
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
    store = BlockStore(tmp_path / "a trainer's", far["corpus"].remote("store"), 1)
    assert all(store[row].input_ids.tolist() == plain[row].input_ids.tolist() for row in (0, len(plain) - 1))
