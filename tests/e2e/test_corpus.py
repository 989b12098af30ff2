"""The corpus' steps on real Ray Data: conservation, what each drops, the same bytes for any shards, kill and resume."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from medray.core.artifact import Artifact
from medray.core.config import UserError
from medray.core.schema import DOCUMENT, read_table
from medray.core.stage import Stage, execute
from medray.core.workspace import Root, Workspace
from medray.corpus import clean, decontaminate, sources
from medray.corpus.sources import SourceConfig, SourcesConfig, places
from medray.corpus.steps import parts_of, read_account
from medray.session import SessionPlacement, ray_session
from medray.tables.adopted import FilePlacement
from medray.tables.blocks import BlockStore
from medray.text.evidence import EvidencePolicy
from tests.e2e.corpus_faults import bad_files, dying, measured, sources_of
from tests.e2e.corpus_steps import RULES, STEPS, make_in_another_order, run_all, stages, text
from tests.unit.plain_mixture import split_lengths

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module", autouse=True)
def ray_here():
    with ray_session(SessionPlacement(logical_cpus=3, object_store_bytes=80 * 2**20)):
        yield


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture(scope="module")
def built(here) -> dict[str, Artifact]:
    return run_all(stages(here), Root(str(here / "root")))


@pytest.fixture
def root_with(built, tmp_path):
    """Makes a root that holds some of what is built."""

    def make(*names: str) -> Root:
        for name in names:
            place = built[name].directory
            shutil.copytree(place, tmp_path / "root" / place.parent.name / place.name)
        return Root(str(tmp_path / "root"))

    return make


def files_of(artifact: Artifact) -> list[list[str]]:
    return [pq.read_table(path)["id"].to_pylist() for path in sorted((artifact.data / "documents").iterdir())]


def rows_of(artifact: Artifact, name: str) -> list[dict]:
    return pq.read_table(artifact.data / name).to_pylist()


def ids(artifact: Artifact, source: str) -> set[str]:
    rows = rows_of(artifact, "documents")
    assert artifact.kind != "dedup" or len({(row["source"], row["id"]) for row in rows}) == len(rows)
    return {row["id"] for row in rows if row["source"] == source}


def test_rows_are_conserved_at_every_step_and_every_loss_has_its_reason(built):
    account = {step["step"]: step["sources"] for step in read_account(built["corpus"].data)}
    assert tuple(account) == STEPS
    for before, after in zip(STEPS, STEPS[1:], strict=False):
        assert {n: s["out"] for n, s in account[before].items()} == {n: s["in"] for n, s in account[after].items()}
    for step in account.values():
        for source in step.values():
            assert source["in"] == source["out"] + source["quarantined"] + sum(source["dropped"].values())
    made = [account[step]["made_medical"] for step in STEPS]
    assert [source["in"] for source in made] == [164, 163, 163, 163, 160]
    assert made[0]["dropped"] == {"too_short": 1} and made[3]["dropped"] == {"duplicate": 2, "duplicate_id": 1}
    papers = [account[step]["papers"]["dropped"] for step in STEPS[:4]]
    assert papers == [{"retracted": 1}, {"contaminated": 5}, {}, {"near_duplicate": 3}]
    notes = [account[step]["notes"]["dropped"] for step in STEPS[1:4]]
    assert notes == [{"contaminated": 2}, {"looks_identified": 1}, {"duplicate": 1, "near_duplicate": 1}]
    assert account["clean"]["general"]["quarantined"] == 9  # eight bad rows and one torn file
    for name in STEPS[:4]:
        assert len(rows_of(built[name], "documents")) == sum(source["out"] for source in account[name].values())


def test_bad_rows_are_set_aside_and_dropped_ones_can_be_browsed(built):
    where = Workspace(Root(str(built["clean"].directory.parents[1])), "clean", built["clean"].id, "clean")
    reasons = " | ".join(f"{row['where']}: {row['reason']}" for row in where.quarantined())
    for wanted in (
        "part-00000.jsonl.zst:31: not JSON", "not UTF-8 at byte", "text is int", "no text", "not an object but list",
        "NUL character at 4", "lone surrogate", "split is 'test'", "part-00001.jsonl.gz:", "is torn",
    ):  # fmt: skip
        assert wanted in reasons
    dropped = {row["id"]: row for row in rows_of(built["clean"], "dropped")}
    assert dropped["short"] == {
        "id": "short", "source": "made_medical", "where": "part-00001.parquet:94", "reason": "too_short",
        "start": "too short",
    }  # fmt: skip
    assert dropped["retracted"]["reason"] == "retracted" and dropped["retracted"]["start"] == text(5010, 50)[:200]


def test_patients_lose_their_names_and_other_documents_pass_as_they_are(built):
    before, after = (
        {r["id"]: r for r in rows_of(built[name], "documents")} for name in ("decontaminate", "deidentify")
    )
    mine = {id for id, row in before.items() if row["source"] == "notes"}
    assert mine - after.keys() == {"half-marked"}
    assert {id: row for id, row in before.items() if id not in mine} == {
        id: row for id, row in after.items() if id not in mine
    }
    first, again, other, second = (after[i] for i in ("note-1", "note-1-again", "note-1-of-another", "note-2"))
    assert first["text"] == again["text"] != other["text"] and not any("Okonkwo" in after[id]["text"] for id in after)
    surrogate, day = re.match(r"Mr\. (\w+) was seen on (\S+?)\. ", first["text"]).groups()
    assert f" {surrogate}, of record" in second["text"] and [p["kind"] for p in first["parts"]] == [
        "phi.name",
        "phi.date",
    ]
    assert first["date"] == datetime.strptime(day, "%m/%d/%Y").date().isoformat() != "2019-03-04"
    assert first["group"] == second["group"] != other["group"] and "mrn" not in first["group"] + other["group"]
    assert [row["id"] for row in rows_of(built["deidentify"], "refused")] == ["half-marked"]
    replaced = json.loads((built["deidentify"].data / "replaced.json").read_text())
    assert replaced == {"notes": {
        "name": {"identifiers": 4, "documents": 4}, "date": {"identifiers": 3, "documents": 3},
        "medical_record": {"identifiers": 1, "documents": 1},
    }}  # fmt: skip
    counters = built["deidentify"].manifest.counters
    assert (counters["looked_at"], counters["replaced_name"], counters["dropped_looks_identified"]) == (5, 4, 1)
    for path in built["deidentify"].data.rglob("*"):
        assert not path.is_file() or b"Okonkwo" not in path.read_bytes()


def test_of_duplicates_the_held_out_the_preferred_and_the_oldest_stay(built):
    found = {(row["source"], row["id"]): row for row in rows_of(built["dedup"], "duplicates.parquet")}
    kept = {id: (row["reason"], row["kept_id"]) for (_, id), row in found.items()}
    assert kept.pop("medical-3") == ("duplicate", "copy") and kept.pop("leak") == ("duplicate", "medical-301")
    assert kept.pop("medical-5") == ("duplicate_id", "medical-5")
    assert kept.pop("near-undated") == kept.pop("near-new") == ("near_duplicate", "near-old")
    assert kept.pop("leaks-held") == ("near_duplicate", "held")
    # another patient's dates have moved by another number of weeks, to before those of the first
    assert kept.pop("note-1-again") == ("duplicate", "note-1-of-another")
    assert kept.pop("note-1") == ("near_duplicate", "note-1-of-another")
    (general,) = kept.values()
    assert general == ("near_duplicate", "cross")
    assert {"apart", "apart-too", "held", "cross", "near-old"} <= ids(built["dedup"], "papers")


def test_planted_items_are_found_certified_and_their_documents_gone(built):
    certificates = {
        c["benchmark"]: c for c in json.loads((built["decontaminate"].data / "certificates.json").read_text())
    }
    counts = ("items_checked", "items_found", "documents_dropped", "documents_kept", "instructions_found")
    assert {name: tuple(c[key] for key in counts) for name, c in certificates.items()} == {
        "exam": (5, 4, 6, 1, 1), "questions:definition_to_term": (1, 1, 0, 1, 0),
        "questions:term_to_system": (1, 1, 1, 0, 1),
    }  # fmt: skip
    matches = {(m["item"], m["document"]): m["text"] for m in certificates["exam"]["matches"]}
    assert matches["eight", "papers/has-eight"] == "which nerve innervates the stapedius muscles distal belly"
    # the gate would have hidden it: it is looked for before, and what is quoted holds nothing of the patient
    assert matches["town", "notes/has-town"] == "mother with breast ca ma with bone cancer aodm both sides of family"
    assert matches["vignette", "notes/has-name"].count("…") == 1
    for path in (built["decontaminate"].data / "certificates.json", *built["decontaminate"].data.glob("contam*/*")):
        assert b"alogun" not in path.read_bytes()
    assert not ids(built["decontaminate"], "notes") & {"has-town", "has-name"}
    left = ids(built["decontaminate"], "papers")
    assert {id for id in left if id.startswith(("has-", "held"))} == {
        "has-taught",
        "has-quoted",
        "held",
        "held-vignette",
    }
    table = {row["id"]: row["dropped"] for row in rows_of(built["decontaminate"], "contaminated")}
    assert table.pop("has-quoted") is table.pop("held-vignette") is False
    hold = ("vignette", "eight", "options", "blanks", "own", "town", "name")
    assert table == dict.fromkeys([f"has-{what}" for what in hold], True)
    instructions = rows_of(built["decontaminate"], "instructions.parquet")
    assert {(row["source"], row["id"], row["item"]) for row in instructions} == {
        ("examples", "planted", "vignette"), ("prompts", "own", "own"),
    }  # fmt: skip
    card = json.loads((built["corpus"].data / "card.json").read_text())
    assert [c["benchmark"] for c in card["certificates"]] == sorted(certificates)


def test_the_terms_of_benchmarks_bind_the_certificates_that_quote_them_and_not_the_corpus(built):
    checked, corpus = built["decontaminate"].manifest, built["corpus"].manifest
    assert (checked.access, checked.licences) == ("restricted", ("CC0-1.0", "Terms of the exam"))
    assert (corpus.access, corpus.licences) == ("public", ("CC0-1.0",))
    assert json.loads((built["decontaminate"].data / "certificates.json").read_text())[0]["matches"]
    assert "stapedius" not in (built["corpus"].data / "card.json").read_text()
    assert "stapedius" not in " ".join(row["text"] for row in rows_of(built["decontaminate"], "documents")).lower()


def test_the_card_joins_what_all_steps_say(built):
    card = json.loads((built["corpus"].data / "card.json").read_text())
    made = card["conservation"]["made_medical"]
    unused = card["sources"]["made_medical"]["unused"]
    assert (made["in"], made["quarantined"], made["out"]) == (164, 0, 160 - unused)
    dropped = {"clean: too_short": 1, "dedup: duplicate": 2, "dedup: duplicate_id": 1, "corpus: unused": unused}
    assert {reason: number for reason, number in made["dropped"].items() if number} == {
        reason: number for reason, number in dropped.items() if number
    }
    total = card["conservation"]["total"]
    assert total["in"] == built["clean"].manifest.counters["in"] and total["quarantined"] == 9
    papers = card["sources"]["papers"]
    assert papers["languages"] == {"en": papers["train"] + papers["heldout"]} and papers["years"]["2019"] == 1
    assert papers["licences"] == {"CC0-1.0": papers["languages"]["en"]}
    assert sum(row["count"] for row in card["duplicates"]) == built["dedup"].manifest.counters["dropped"]
    lost = rows_of(built["corpus"], "dropped.parquet")
    dropped = [built[name].manifest.counters["dropped"] for name in STEPS[:-1] if name != "decontaminate"]
    contaminated = sum(row["dropped"] for row in rows_of(built["decontaminate"], "contaminated"))
    assert len(lost) == sum(dropped) + contaminated
    assert sum(card["lengths"]["papers"].values()) == papers["used"]
    assert [row["id"] for row in lost if row["step"] == "deidentify"] == ["half-marked"]
    assert card["identifiers"] == json.loads((built["deidentify"].data / "replaced.json").read_text()) != {}
    page = (built["corpus"].data / "card.html").read_text()
    assert "Okonkwo" not in page
    assert "which body system is affected in people with cystic dysplasia" in page and "near duplicate" in page
    assert "which nerve innervates" not in page  # the exam's own terms restrict it


def test_the_store_holds_the_documents_in_the_stated_order(built):
    from medray.model.load import load_tokenizer

    card = json.loads((built["corpus"].data / "card.json").read_text())
    counters = built["corpus"].manifest.counters
    store = BlockStore(built["corpus"].data / "store")
    tokens = np.concatenate([store[i].input_ids for i in range(len(store))])
    parts = {name: counters[f"tokens_{name}"] for name in ("medical", "clinical", "general")}
    assert len(tokens) == counters["num_tokens"] == card["store"]["num_tokens"] == sum(parts.values())
    assert all(len(store[i].input_ids) == 128 for i in range(len(store) - 1))
    tokenizer = load_tokenizer(built["base"].data / "model")
    assert len(store.facts["shards"]) == len(list((built["corpus"].data / "order").iterdir())) == -(-len(store) // 16)
    order = rows_of(built["corpus"], "order")
    assert [row["start"] for row in order] == [0, *np.cumsum([row["num_tokens"] for row in order])[:-1]]
    texts = {(row["source"], row["id"]): row["text"] for row in rows_of(built["dedup"], "documents")}
    for row in order:
        length = len(tokenizer(texts[row["source"], row["id"]], add_special_tokens=False)["input_ids"]) + 1
        is_last = row["piece"] == len(split_lengths(length, 64)) - 1
        assert (tokens[row["start"] : row["start"] + row["num_tokens"]] == tokenizer.eos_token_id).sum() == is_last
    first = next(row for row in order if row["id"] == "medical-4")
    told = tokenizer.decode(tokens[first["start"] : first["start"] + first["num_tokens"]])
    assert told.startswith("Term 4 .\n\nMeaning: ")
    assert parts["medical"] / sum(parts.values()) == pytest.approx(0.75, abs=0.02)


def test_heldout_documents_are_whole_and_their_parts_right(built):
    table = read_table(built["corpus"].data / "heldout.parquet", DOCUMENT).to_pylist()
    assert [row["id"] for row in table] == [*(f"medical-{i}" for i in range(300, 310)), "held", "held-vignette"]
    for row in table[:10]:
        [part] = row["parts"]
        assert row["text"][part["start"] : part["stop"]] == text(int(row["id"][8:]), 8 + int(row["id"][8:]) % 30)


@pytest.mark.parametrize("num_shards", [1, 7, 23])
def test_the_number_of_shards_changes_nothing(built, here, root_with, num_shards):
    """With 23 some shards are empty."""
    changed = {"dedup": {"placement": {"rows_at_once": num_shards * 30}}}
    found = run_all(stages(here, num_shards, **changed), root_with("sources", "base", "synthesize"))
    sizes = [pq.read_metadata(path).num_rows for path in parts_of(found["decontaminate"])]
    assert len(sizes) == num_shards and (num_shards < 23 or 0 in sizes)
    for name in STEPS:
        assert found[name].manifest.parts == built[name].manifest.parts, name
        assert found[name].manifest.counters == built[name].manifest.counters
        assert found[name].manifest.num_quarantined == built[name].manifest.num_quarantined


def test_another_number_of_shards_after_a_stop_leaves_no_trace_of_the_first(built, here, tmp_path):
    where = Workspace(Root(str(tmp_path)), "clean", "1", "clean")
    inputs = {"sources": built["sources"], "documents": built["synthesize"]}
    for num_shards in (7, 2):
        found = clean.run(stages(here, num_shards)["clean"].config, inputs, where)
    assert found == built["clean"].manifest.counters and len(where.quarantined()) == 9
    assert len(list((where.data / "documents").iterdir())) == len(list((where.data / "dropped").iterdir())) == 2


def test_neither_the_order_of_files_nor_of_rows_changes_what_stays(built, here, tmp_path):
    turned = stages(here, 3, dedup={"placement": {"rows_at_once": 37}})
    turned["synthesize"] = replace(turned["synthesize"], run=make_in_another_order)
    found = run_all(turned, Root(str(tmp_path / "root")))
    assert found["synthesize"].manifest.digest == built["synthesize"].manifest.digest
    assert files_of(found["synthesize"]) != files_of(built["synthesize"])
    for name in STEPS[1:]:
        assert found[name].manifest.parts == built[name].manifest.parts, name


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_in_a_shard_of_a_step_is_replaced_and_no_row_is_lost_or_doubled(built, here, root_with, step):
    root = root_with("sources", "base", "synthesize", *STEPS[: STEPS.index(step)])
    faults = ("table",) if step == "corpus" else ("mark", "table")  # each costs the corpus an import of transformers
    with dying(step, faults=faults):
        found = execute(stages(here, 7 if step == "clean" else 2, concurrency=1)[step], root)
    assert sorted(path.stem for path in found.directory.glob("*.died")) == list(faults)
    assert found.manifest.parts == built[step].manifest.parts
    assert found.manifest.num_quarantined == built[step].manifest.num_quarantined
    assert not list(found.data.rglob(".*"))


def run_until_killed(here: Path, root: Root, step: str, *after: str) -> None:
    """The steps in another process, which SIGKILL ends inside a shard of one of them."""
    code = "import sys; from tests.e2e.corpus_faults import run_until_killed; run_until_killed(*sys.argv[1:])"
    address = ray.get_runtime_context().gcs_address  # it joins this Ray: another start takes longer than all else
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "RAY_ADDRESS": address}
    command = [sys.executable, "-c", code, str(here), root.url, step, *after]
    child = subprocess.run(command, env=environment, start_new_session=True, capture_output=True, timeout=300)
    assert child.returncode == -signal.SIGKILL, child.stderr[-3000:]


def test_a_run_killed_inside_a_shard_of_every_step_goes_on_where_it_was(built, here, root_with):
    """The driver is killed by SIGKILL inside a shard of each step; those that are finished are not done again."""
    root = root_with("sources", "base", "synthesize")
    found = stages(here, 7)
    stamps = {}
    for name in STEPS:
        where = root.directory(name, found[name].id)
        run_until_killed(here, root, name)
        marks = list(where.glob("marks/[!.]*"))
        assert len(marks) >= 2 and list(where.glob("*.died")) and not root.is_sealed(name, found[name].id)
        stamps |= {path: path.stat().st_mtime_ns for path in marks}
    done = run_all(found, root)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    for name in STEPS:
        assert done[name].manifest.parts == built[name].manifest.parts, name
        assert done[name].manifest.num_quarantined == built[name].manifest.num_quarantined


def test_a_run_killed_inside_a_file_of_the_store_goes_on_at_that_file(built, here, root_with):
    root = root_with("sources", "base", "synthesize", *STEPS[:-1])
    stage = stages(here)["corpus"]
    run_until_killed(here, root, "corpus", "5")  # two parts, their order, two files of the store
    where = root.directory("corpus", stage.id)
    marks = {path: path.stat().st_mtime_ns for path in where.glob("marks/[!.]*")}
    files = [where / "data" / "store" / f"part-{number:05d}.arrow" for number in (0, 1)]
    assert {path.stem for path in marks} >= {"store-00000", "store-00001"} and not (where / "data/store.json").exists()
    stamps = {path: path.stat().st_mtime_ns for path in files}
    corpus = execute(stage, root)
    assert {path: path.stat().st_mtime_ns for path in files} == stamps
    assert {path: path.stat().st_mtime_ns for path in marks} == marks
    assert len(list((corpus.data / "store").glob("part-*"))) > 4
    assert corpus.manifest.parts == built["corpus"].manifest.parts
    assert corpus.manifest.counters == built["corpus"].manifest.counters


def test_an_evidence_policy_repeats_and_leaves_out_and_every_row_is_accounted_for(built, here, root_with):
    policy = EvidencePolicy(
        sources=("papers", "made_clinical"), base=0.5, upfold=1.0, types={}, excluded_types=(),
        ages=((10.0, 2.5),), as_of="2024", rng_seed=1,
    )  # fmt: skip
    root = root_with("base", *STEPS[:-1])
    corpus = execute(stages(here, corpus={"evidence": policy, "max_epochs": 2})["corpus"], root)
    card = json.loads((corpus.data / "card.json").read_text())
    rows = {(r["source"], r["id"]): r for r in rows_of(built["dedup"], "documents") if r["split"] == "train"}
    copies = {name: policy.copies(*name, r["document_types"], r["date"]) for name, r in rows.items()}
    assert set(copies.values()) == {0, 1, 3}  # near-old is of 2019: 0.5 + 2.5
    for name, source in card["sources"].items():
        mine = [number for (of, _), number in copies.items() if of == name]
        assert source["low_evidence"] == mine.count(0) and source["extra_copies"] == sum(max(n - 1, 0) for n in mine)
        assert source["train"] == source["used"] + source["unused"] + source["low_evidence"]
        [step] = [step for step in read_account(corpus.data) if step["step"] == "corpus"]
        assert step["sources"][name]["dropped"].get("low_evidence", 0) == mine.count(0)
    uses: dict[tuple[str, str], set[int]] = {}
    for row in rows_of(corpus, "order"):
        uses.setdefault((row["source"], row["id"]), set()).add(row["epoch"])
    assert all(copies[name] for name in uses) and {0, 1, 2} <= uses["papers", "near-old"]
    assert all(max(found) < 2 * copies[name] for name, found in uses.items())
    tokens = sum(card["sources"][name]["tokens"] for name in card["sources"])
    assert tokens == card["store"]["num_tokens"] == BlockStore(corpus.data / "store").facts["num_tokens"]


def test_a_table_of_citations_repeats_what_is_cited(here, root_with, tmp_path):
    (tmp_path / "icite.csv").write_text("pmid,citation_count\n11,500\n12,80\n")
    cited = SourceConfig(
        name="icite", title="", category="medical", format="citations", licence="CC0-1.0", licence_url="",
        access="public", url="",
    )  # fmt: skip
    config = SourcesConfig(sources=(cited,), placement=places({"icite": str(tmp_path / "icite.csv")}))
    policy = EvidencePolicy(
        sources=("papers",), base=1.0, upfold=1.0, types={}, excluded_types=(), ages=(), citations=((75.0, 2.0),),
        as_of="2024", rng_seed=1,
    )  # fmt: skip
    corpus = stages(here, corpus={"evidence": policy, "max_epochs": 1})["corpus"]
    inputs = {**corpus.inputs, "sources": Stage.of("sources", sources, sources.resolve(config))}
    root = root_with("base", *STEPS[:-1])
    execute(inputs["sources"], root)
    made = execute(replace(corpus, inputs=inputs), root)
    card = json.loads((made.data / "card.json").read_text())
    assert {name: source["extra_copies"] for name, source in card["sources"].items() if source["extra_copies"]} == {
        "papers": 2
    }
    uses = Counter(row["id"] for row in rows_of(made, "order") if row["source"] == "papers" and not row["piece"])
    assert {id for id, number in uses.items() if number > 1} <= {"near-old"} and uses["near-old"] == 3
    assert made.manifest.inputs["sources"].id == inputs["sources"].id


def test_without_near_duplicates_and_benchmarks_documents_pass_as_links(built, here, root_with):
    changed = {"dedup": {"near": None}, "decontaminate": {"benchmarks": (), "question_splits": ()}}
    found = stages(here, **changed)
    root = root_with("sources", "base", "synthesize", "clean")
    alone = Stage.of("alone", decontaminate, found["decontaminate"].config, documents=found["clean"])
    cleaned, artifact = root.open("clean", found["clean"].id), execute(alone, root)
    assert [c.samefile(d) for c, d in zip(parts_of(artifact), parts_of(cleaned), strict=True)] == [True, True]
    assert json.loads((artifact.data / "certificates.json").read_text()) == []
    assert artifact.manifest.counters["in"] == artifact.manifest.counters["out"] == cleaned.manifest.counters["out"]
    gate = replace(found["deidentify"], inputs={"documents": alone})
    execute(gate, root)
    assert execute(replace(found["dedup"], inputs={"documents": gate}), root).manifest.counters["dropped"] == 4


def test_whole_sources_set_the_budget(here, root_with):
    changed = {"whole_sources": ("made_medical",), "max_epochs": 3}
    root = root_with("base", *STEPS[:-1])
    corpus = execute(stages(here, corpus=changed)["corpus"], root)
    counters = corpus.manifest.counters
    assert counters["made_medical.used"] == counters["made_medical.train"] == 150
    assert counters["tokens_medical"] / counters["num_tokens"] == pytest.approx(0.75, abs=0.02)
    assert {row["epoch"] for row in rows_of(corpus, "order") if row["category"] == "medical"} == {0}


BAD_ROWS = [
    ("part-00000.jsonl.zst:7", "the file is torn"),
    ("part-00000.csv.gz:6", "the file is torn"),
    ("part-00001.csv:2", r"SUBJECT_ID is '', expected \d+: are the columns shifted?"),
    ("part-00001.csv:3", "10 columns, expected 11"),
    ("part-00001.csv:4", "12 columns, expected 11"),
    ("part-00000.xml:2", "broken XML: mismatched tag: line 1, column 32"),
    ("part-00001.xml:2", "the file ends inside the record"),
    ("part-00000.xml:3", "id pmid:1 stood in the file before"),
    ("part-00000.jsonl:2", "not UTF-8 at byte 10"),
    ("part-00000.jsonl:3", "no text"),
    ("part-00000.jsonl:4", "no text"),
    ("part-00000.jsonl:5", "NUL character at 1"),
    ("part-00000.jsonl:7", "id x stood in the file before"),
    ("part-00000.jsonl:8", "not JSON"),
    ("part-00001.jsonl:0", "no row in the file"),
    ("part-00002.csv:0", "no row in the file"),
    ("part-00003.jsonl.zst:1", "220,000,013 bytes, expected at most 4,000,000"),
]


def test_bad_files_of_every_kind_are_counted_row_by_row(here, tmp_path, monkeypatch):
    """in = out + dropped + quarantined, of every source; a document of 200 MB never comes into memory."""
    monkeypatch.setattr(clean, "clean_shard", partial(measured, log=str(tmp_path / "grown")))
    adopted = sources_of(tmp_path / "files", bad_files())
    config = stages(here, clean={"max_quarantine_fraction": 0.5})["clean"].config
    cleaned = Stage.of("clean", clean, config, sources=adopted)
    root = Root(str(tmp_path / "root"))
    execute(adopted, root)
    step = read_account(execute(cleaned, root).data)[0]
    counts = {name: (c["in"], c["out"], c["dropped"], c["quarantined"]) for name, c in step["sources"].items()}
    assert counts == {
        "pile": (7, 5, {"other_set": 1}, 1), "mimic": (11, 6, {"marked_as_error": 1}, 4), "papers": (5, 3, {}, 2),
        "abstracts": (3, 2, {}, 1), "tables": (12, 3, {}, 9),
    }  # fmt: skip
    where = Workspace(root, "clean", cleaned.id, "clean")
    found = sorted((row["where"], row["reason"].split(" (")[0]) for row in where.quarantined())
    assert found == sorted(BAD_ROWS)
    assert max(map(int, (tmp_path / "grown").read_text().split())) < 60_000_000
    strict = config.model_copy(update={"max_quarantine_fraction": 0.4})
    with pytest.raises(UserError, match="17 of 38 rows are bad, at most 40.00% may be; first: part-0000"):
        execute(Stage.of("clean", clean, strict, sources=adopted), root)


def test_a_source_that_vanishes_while_it_is_read_is_one_line(here, tmp_path):
    adopted = sources_of(tmp_path / "files", {"lines": ("documents", {"a.jsonl": b'{"text": "one"}\n'})})
    root = Root(str(tmp_path / "root"))
    there = execute(adopted, root)
    cleaned = Stage.of("clean", clean, stages(here)["clean"].config, sources=adopted)

    def listed_then_gone(inputs):
        files = list_files(inputs)
        (there.data / "lines" / "part-00000.jsonl").unlink()
        return files

    list_files, clean._files = clean._files, listed_then_gone
    try:
        with pytest.raises(UserError, match="part-00000.jsonl: vanished before it was read: put it back") as error:
            execute(cleaned, root)
    finally:
        clean._files = list_files
    assert "\n" not in str(error.value) and not root.is_sealed("clean", cleaned.id)


MISTAKES = [
    ("clean", {"max_quarantine_fraction": 0.01}, r"9 of \d+ rows are bad, at most 1.00% may be; first: part-0000"),
    ("clean", {"rules": RULES.model_copy(update={"min_words": 400})}, "no document is left .*too_short"),
    ("corpus", {"token_budget": 50_000}, "medical needs 37,500 tokens, has .* set token_budget to at most"),
    ("corpus", {"token_budget": 2000, "whole_sources": ("made_medical",)}, "units of 'made_medical' are outside"),
    ("corpus", {"whole_sources": ("nobody",)}, "no document of 'nobody', found general, made_clinical, made_medical"),
    ("corpus", {"proportions": {"medical": 3, "general": 1}}, "3 categories but 2 parts .* add a part for 'clinical'"),
]


@pytest.mark.parametrize(("step", "changes", "message"), MISTAKES)
def test_mistakes_are_one_line(here, root_with, step, changes, message):
    root = root_with(*{"clean": ("sources", "synthesize"), "corpus": ("base", *STEPS[:-1])}[step])
    with pytest.raises(UserError, match=message) as error:
        execute(stages(here, **{step: changes})[step], root)
    assert "\n" not in str(error.value)


def test_a_benchmark_that_cannot_be_read_fails_the_stage(here, root_with, tmp_path):
    (exam,) = stages(here)["decontaminate"].config.benchmarks
    (tmp_path / "torn.jsonl").write_text('{"id": 1, "question": "Which')
    torn, gone = (
        exam.model_copy(update={"placement": FilePlacement(path=str(tmp_path / name)), "digest": ""})
        for name in ("torn.jsonl", "gone.jsonl")
    )
    found = stages(here, decontaminate={"benchmarks": (exam, torn)})
    with pytest.raises(UserError, match="benchmark exam, .*torn.jsonl, row 1: not JSON"):
        execute(found["decontaminate"], root_with("clean", "synthesize"))
    with pytest.raises(UserError, match="no such file"):
        stages(here, decontaminate={"benchmarks": (gone,)})
