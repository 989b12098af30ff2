"""The corpus on real Ray Data: conservation, the same bytes for any number of shards, bad rows, kill and resume."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zstandard

from medray.core.artifact import Artifact
from medray.core.config import UserError
from medray.core.identity import digest_directory
from medray.core.schema import DOCUMENT, read_table, write_table
from medray.core.stage import Stage, execute
from medray.core.workspace import Root, Workspace
from medray.corpus import base, build, sources
from medray.corpus.build import CorpusConfig, CorpusPlacement
from medray.corpus.sources import SourceConfig, SourceLocation, SourcesConfig, SourcesPlacement
from medray.session import SessionPlacement, ray_session
from medray.tables.blocks import BlockStore
from medray.tables.shards import Shard, run_remote, run_shards
from medray.text.normalize import CleanRules

pytest.importorskip("ray")

RULES = CleanRules(
    min_words=4, max_words=500, max_symbol_fraction=0.4, max_repeated_line_fraction=0.5, max_repeated_ngram_fraction=0.6
)
WORDS = "renal cyst grows slowly in both kidneys while the heart and liver stay sound under watch of a doctor".split()


@pytest.fixture(scope="module", autouse=True)
def ray_here():
    with ray_session(SessionPlacement(logical_cpus=3, object_store_bytes=80 * 2**20)):
        yield


def text(seed: int, words: int) -> str:
    draw = np.random.default_rng(seed)
    return " ".join(draw.choice(WORDS, words)) + f" number {seed}."


def document(number: int, category: str, split: str = "train") -> dict:
    body = f"Term {number} .\r\n\r\n\r\nMeaning:  {text(number, 8 + number % 30)}"
    start = body.index("Meaning:") + 10
    return {
        "id": f"{category}-{number}", "source": f"made_{category}", "text": body, "category": category, "group": "",
        "licence": "CC0-1.0", "access": "public", "synthetic": True, "split": split,
        "parts": [{"kind": "definition", "start": start, "stop": len(body)}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A root with sealed sources (general text, also bad) and a tiny base model; a directory of made documents."""
    directory = tmp_path_factory.mktemp("corpus")
    raw = directory / "raw"
    raw.mkdir()
    good = [json.dumps({"text": text(1000 + i, 30 + i)}).encode() for i in range(60)]
    bad = [b"{not json", b'{"text": "bad \xff byte"}', b'{"text": 5}', b'{"no": "text"}', b"[1]"]
    bad += [b'{"text": "nul \\u0000 here"}', b'{"text": "lone \\ud800 surrogate"}', b'{"text": "x", "split": "test"}']
    (raw / "a.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(b"\n".join([*good[:30], *bad])))
    whole = gzip.compress(b"\n".join(good[30:]) + b"\n" + os.urandom(4000).hex().encode(), mtime=0)
    (raw / "b.jsonl.gz").write_bytes(whole[:-1000])
    (raw / "c.txt").write_text(text(77, 40))
    rows = [document(i, "medical") for i in range(150)] + [document(i, "clinical") for i in range(200, 230)]
    rows += [document(i, "medical", "heldout") for i in range(300, 310)]
    rows += [
        {**document(3, "medical"), "id": "copy", "text": document(3, "medical")["text"].upper()},
        {**document(301, "medical"), "id": "leak"},
        {**document(900, "medical"), "id": "medical-5"},
        {**document(901, "medical"), "id": "short", "text": "too short", "parts": []},
    ]
    write_table(directory / "made" / "documents" / "part-00000.parquet", rows[:100], DOCUMENT)
    write_table(directory / "made" / "documents" / "part-00001.parquet", rows[100:], DOCUMENT)
    config = SourcesConfig(
        sources=(
            SourceConfig(
                name="general", title="General", category="general", format="documents", licence="CC0-1.0",
                licence_url="", access="public", url="",
            ),
        ),
        placement=SourcesPlacement(locations=(SourceLocation(name="general", path=str(raw)),)),
    )  # fmt: skip
    root = Root(str(directory / "root"))
    first = Stage.of("sources", sources, sources.resolve(config))
    shape = base.TinyShape(vocab_size=400, hidden_size=16, num_layers=1, max_positions=256, rng_seed=0)
    second = Stage.of(
        "base", base, base.BaseConfig(format="tiny", licence="none", access="public", tiny=shape), sources=first
    )
    inputs = {"sources": execute(first, root), "model": execute(second, root)}
    return directory, {**inputs, "documents": Artifact(inputs["sources"].manifest, directory / "made-artifact")}


@pytest.fixture(scope="module")
def inputs(here):
    directory, found = here
    found["documents"].directory.mkdir(exist_ok=True)
    link = found["documents"].data
    if not link.exists():
        link.symlink_to(directory / "made")
    return found


def config(num_shards: int = 2, **changes) -> CorpusConfig:
    fields = {
        "rules": RULES, "proportions": {"medical": 15, "clinical": 1, "general": 4}, "token_budget": 0,
        "max_epochs": 1, "max_unit_tokens": 64, "block_tokens": 128, "max_quarantine_fraction": 0.1, "rng_seed": 7,
        "placement": CorpusPlacement(num_shards=num_shards),
    }  # fmt: skip
    return CorpusConfig(**{**fields, **changes})


def workspace(path: Path) -> Workspace:
    return Workspace(Root(str(path)), "corpus", "1", "corpus")


@pytest.fixture(scope="module")
def built(inputs, tmp_path_factory):
    where = workspace(tmp_path_factory.mktemp("built"))
    counters = build.run(config(), inputs, where)
    return where, counters, json.loads((where.data / "card.json").read_text())


def test_rows_are_conserved_and_every_loss_has_its_reason(built):
    where, counters, card = built
    made, general = card["sources"]["made_medical"], card["sources"]["general"]
    assert made["rows"] == 164 and made["dropped"] == {"too_short": 1}
    assert (made["duplicates"], made["duplicate_ids"], made["heldout"]) == (2, 1, 10)
    assert made["train"] == 150 and made["used"] + made["unused"] == 150
    assert general["quarantined"] == 9  # eight bad rows and one torn file
    total = card["total"]
    assert total["rows"] == total["quarantined"] + sum(total["dropped"].values()) + total["cleaned"]
    assert (
        counters["num_tokens"]
        == card["store"]["num_tokens"]
        == sum(counters[f"tokens_{c}"] for c in config().proportions)
    )
    reasons = " | ".join(f"{row['where']}: {row['reason']}" for row in where.quarantined())
    for wanted in (
        "part-00000.jsonl.zst:31: not JSON", "not UTF-8 at byte", "text is int", "no text", "not an object but list",
        "NUL character at 4", "lone surrogate", "split is 'test'", "part-00001.jsonl.gz:", "is torn",
    ):  # fmt: skip
        assert wanted in reasons


def test_the_store_holds_the_documents_in_the_stated_order(built, inputs):
    from medray.model.load import load_tokenizer

    where, _, card = built
    store = BlockStore(where.data / "store")
    tokens = np.concatenate([store[i].input_ids for i in range(len(store))])
    assert all(len(store[i].input_ids) == 128 for i in range(len(store) - 1))
    tokenizer = load_tokenizer(inputs["model"].data / "model")
    assert (tokens == tokenizer.eos_token_id).sum() == sum(s["used"] for s in card["sources"].values())
    order = pq.read_table(where.data / "order.parquet").to_pylist()
    first = next(row for row in order if row["id"] == "medical-4")
    told = tokenizer.decode(tokens[first["start"] : first["start"] + first["num_tokens"]])
    assert told.startswith("Term 4 .\n\nMeaning: ")
    parts = {name: sum(r["num_tokens"] for r in order if r["category"] == name) for name in config().proportions}
    assert parts["medical"] / sum(parts.values()) == pytest.approx(0.75, abs=0.02)


def test_heldout_documents_are_whole_and_their_parts_right(built):
    table = read_table(built[0].data / "heldout.parquet", DOCUMENT).to_pylist()
    assert [row["id"] for row in table] == [f"medical-{i}" for i in range(300, 310)]
    for row in table:
        [part] = row["parts"]
        assert row["text"][part["start"] : part["stop"]] == text(int(row["id"][8:]), 8 + int(row["id"][8:]) % 30)


@pytest.mark.parametrize("num_shards", [1, 7])
def test_the_number_of_shards_changes_nothing(built, inputs, tmp_path, num_shards):
    where = workspace(tmp_path)
    assert build.run(config(num_shards), inputs, where) == built[1]
    assert digest_directory(where.data) == digest_directory(built[0].data)


def test_a_run_killed_between_shards_goes_on_where_it_was(built, inputs, tmp_path):
    """The driver is killed by SIGKILL after the first mark; finished shards are not prepared again."""
    here = Path(__file__)
    code = (
        f"import sys; sys.path.insert(0, {str(here.parent)!r}); import test_corpus as t; t.run_for_kill(*sys.argv[1:])"
    )
    paths = [str(inputs[name].directory) for name in ("model", "sources", "documents")]
    environment = {**os.environ, "PYTHONPATH": str(here.parents[2])}
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), *paths], env=environment, start_new_session=True
    )
    where = workspace(tmp_path)
    deadline = time.monotonic() + 300
    while not where.marks() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    stamps = {p.name: p.stat().st_mtime_ns for p in (where.local / "marks").iterdir()}
    assert stamps and not (where.data / "card.json").exists()
    time.sleep(1)
    build.run(config(7), inputs, where)
    assert {name: (where.local / "marks" / name).stat().st_mtime_ns for name in stamps} == stamps
    assert digest_directory(where.data) == digest_directory(built[0].data)
    assert len(where.quarantined()) == 9


def run_for_kill(root: str, *directories: str) -> None:
    """The child of the test above: builds slowly, one shard at a time."""
    from medray.core.artifact import read_manifest

    found = {}
    for name, directory in zip(("model", "sources", "documents"), directories, strict=True):
        path = Path(directory) / "manifest.json"
        manifest = read_manifest(path.read_text(), str(path)) if path.exists() else None
        found[name] = Artifact(manifest, Path(directory))
    with ray_session(SessionPlacement(logical_cpus=2, object_store_bytes=80 * 2**20)):
        slow = config(7, placement=CorpusPlacement(num_shards=7, concurrency=1))
        build.run(slow, found, workspace(Path(root)))


def test_whole_sources_set_the_budget(inputs, tmp_path):
    counters = build.run(config(whole_sources=("made_medical",), max_epochs=3), inputs, workspace(tmp_path))
    assert counters["made_medical.used"] == counters["made_medical.train"] == 150
    assert counters["tokens_medical"] / counters["num_tokens"] == pytest.approx(0.75, abs=0.02)
    order = pq.read_table(tmp_path / "corpus" / "1" / "data" / "order.parquet").to_pylist()
    assert {row["epoch"] for row in order if row["category"] == "medical"} == {0}


def test_too_many_bad_rows_fail_the_stage(inputs, tmp_path):
    with pytest.raises(UserError, match=r"9 of \d+ rows are bad, at most 1.00% may be; first: part-0000"):
        build.run(config(max_quarantine_fraction=0.01), inputs, workspace(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token_budget": 50_000}, "medical needs 37,500 tokens, has .* set token_budget to at most"),
        ({"rules": RULES.model_copy(update={"min_words": 400})}, "no document is left .*too_short"),
        ({"token_budget": 2000, "whole_sources": ("made_medical",)}, "units of 'made_medical' are outside"),
        ({"whole_sources": ("nobody",)}, "no document of 'nobody', found general, made_clinical, made_medical"),
        ({"proportions": {"medical": 3, "general": 1}}, "3 categories but 2 parts .* add a part for 'clinical'"),
    ],
)
def test_mistakes_are_one_line(inputs, built, tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as error:
        build.run(config(1, **changes), inputs, workspace(tmp_path))
    assert "\n" not in str(error.value)


def fail_on(shard: Shard, error: Exception) -> dict:
    if shard.payload["number"] == 1:
        raise error
    return {}


def die_on(shard: Shard, log: Path, times: int) -> dict:
    if shard.payload["number"] == 1:
        with open(log, "a") as stream:
            stream.write("x")
        if len(log.read_text()) <= times:
            os.kill(os.getpid(), signal.SIGKILL)
    return {"number": shard.payload["number"]}


SHARDS = [Shard(f"shard-{number}", {"number": number}) for number in range(3)]


@pytest.mark.parametrize("error", [UserError("x: got 1, expected 2: mend it"), KeyError("missing")])
def test_a_shard_fails_with_its_own_exception(tmp_path, error):
    with pytest.raises(type(error), match=str(error.args[0])[:10]) as raised:
        run_shards(workspace(tmp_path), SHARDS, partial(fail_on, error=error))
    assert type(raised.value) is type(error)
    assert not isinstance(error, UserError) or str(raised.value) == str(error)


def test_a_dead_worker_is_replaced_and_for_ever_dead_ones_end_the_run(tmp_path):
    where = workspace(tmp_path)
    facts = run_shards(where, SHARDS, partial(die_on, log=tmp_path / "once", times=1))
    assert [fact["number"] for fact in facts.values()] == [0, 1, 2]
    with pytest.raises(UserError, match="a worker died 3 times"):
        run_shards(workspace(tmp_path / "other"), SHARDS, partial(die_on, log=tmp_path / "always", times=99))


def test_run_remote_returns_and_raises():
    assert run_remote(max, 3, 4) == 4
    with pytest.raises(UserError, match="^x: one line$") as error:
        run_remote(fail_on, Shard("s", {"number": 1}), UserError("x: one line"))
    assert type(error.value) is UserError
