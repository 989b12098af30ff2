"""Decontamination: planted items are found, look-alikes are not, and no benchmark is left out in silence."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from medray.core.config import UserError
from medray.tables.benchmarks import BenchmarkFile, read_items
from medray.text.contamination import ContaminationIndex, ContaminationRules, Item, certificates

RULES = ContaminationRules(ngram=13, min_alone_words=8, min_aligned_fraction=0.6)
VIGNETTE = Item(
    "medqa", "vignette",
    "A 67-year-old man with transitional cell carcinoma of the bladder comes to the physician because of a 2-day "
    "history of ringing in his ear. He received his first course of neoadjuvant chemotherapy 1 week ago. Which of the "
    "following actions explains the effect of the drug that caused his symptoms?",
    ("Inhibition of thymidine synthesis", "Inhibition of proteasome", "Cross-linking of DNA"),
)  # fmt: skip
EIGHT = Item("medqa", "eight", "Which nerve innervates the stapedius muscle's distal belly?")
SHORT = Item("medmcqa", "short", "Concentration of tropicamide:", ("0.01 per cent", "0.02 per cent", "0.03 per cent"))
BARE = Item("kqa", "bare", "What is hypertension?")
LONG = Item("kqa", "long", "Can I take ibuprofen for my headache while I am still breastfeeding my daughter at night?")
TEMPLATE = (
    "Which of the following body systems is most often affected in patients who carry a diagnosis of {} at birth?"
)
ENTITIES = (
    "alkaptonuria cystinosis galactosemia phenylketonuria tyrosinemia homocystinuria hypophosphatasia osteopetrosis "
    "achondroplasia ichthyosis retinoschisis choroideremia aniridia hemochromatosis porphyria sitosterolemia".split()
)
TEMPLATES = [Item("hpo", entity, TEMPLATE.format(entity)) for entity in ENTITIES]
ITEMS = [VIGNETTE, EIGHT, SHORT, BARE, LONG, *TEMPLATES]

FILLER = " ".join(f"Sentence {i} of a review about renal physiology, sodium and water balance." for i in range(300))


@pytest.fixture(scope="module")
def index() -> ContaminationIndex:
    return ContaminationIndex.build(ITEMS, RULES)


def found_in(index: ContaminationIndex, text: str) -> set[str]:
    return {match.item for match in index.find(["doc"], [text])}


def with_options(item: Item, order: tuple[int, ...]) -> str:
    lines = [f"{letter}) {item.options[i]}" for letter, i in zip("ABC", order, strict=True)]
    return "\n".join([item.text, *lines])


@pytest.mark.parametrize("item", [VIGNETTE, EIGHT, LONG, TEMPLATES[2]])
@pytest.mark.parametrize(
    "disguise",
    [
        str,
        str.upper,
        lambda text: text.replace(" ", " \n\t "),
        lambda text: text.replace(" ", "_").replace("?", "").replace(".", " -- ").replace(",", ""),
        lambda text: text.replace("fi", "ﬁ").replace("'", "’").replace("-", "‑"),
        lambda text: f"{text} {FILLER}",
        lambda text: f"{FILLER} {text}",
        lambda text: f"{FILLER} {text} {FILLER}",
        lambda text: f'{{"question": "{text}"}}',
    ],
    ids=["verbatim", "case", "blanks", "punctuation", "compatibility", "at the start", "at the end", "inside", "json"],
)
def test_planted_items_are_found(index, item, disguise):
    assert found_in(index, disguise(item.text)) == {item.id}


@pytest.mark.parametrize("item", [VIGNETTE, SHORT])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_order_of_options_does_not_count(index, item, order):
    assert found_in(index, with_options(item, order)) == {item.id}
    disguised = with_options(item, order).upper().replace(" ", " \n ")
    for text in (f"{FILLER} {disguised} {FILLER}", f"{disguised} {FILLER}", f"{FILLER} {disguised}"):
        assert found_in(index, text) == {item.id}


@pytest.mark.parametrize("ngram", [8, 13, 60])
@pytest.mark.parametrize("num_words", [7, 8, 9, 12, 13, 14])
def test_items_around_the_length_of_an_ngram(ngram, num_words):
    words = [f"w{i}" for i in range(num_words)]
    rules = ContaminationRules(ngram=ngram, min_alone_words=7, min_aligned_fraction=1)
    small = ContaminationIndex.build([Item("b", "x", " ".join(words))], rules)
    assert found_in(small, " ".join(["so", *words, "and"])) == {"x"}
    assert found_in(small, " ".join(words)) == {"x"}
    assert not found_in(small, " ".join(words[1:])) and not found_in(small, " ".join(words[:-1]))
    assert not found_in(small, " ".join(["x" + words[0], *words[1:]])), "word boundaries"


def test_edited_items_are_found(index):
    words = VIGNETTE.text.split()
    edited = [w for i, w in enumerate(words) if i != 20] + ["indeed"]
    edited[40:40] = ["rather", "unusually"]
    edited[3] = "woman"
    (match,) = index.find(["doc"], [" ".join(edited)])
    assert match.item == "vignette" and 0.9 < match.aligned_fraction < 1


def test_only_words_of_the_item_are_quoted(index):
    """A document is a patient's before it is de-identified: the certificate quotes the benchmark, not the document."""
    words = VIGNETTE.text.split()
    words[10:10] = ["Mr.", "Okonkwo", "03/04/2019"]
    (match,) = index.find(["doc"], [" ".join(["Okonkwo:", *words, "Okonkwo"])])
    assert match.text.startswith("a 67 year old man with transitional cell carcinoma of the bladder … comes to")
    assert match.text.count("…") == 1 and "okonkwo" not in match.text
    (whole,) = index.find(["doc"], [f"{FILLER} {EIGHT.text} {FILLER}"])
    assert whole.text == "which nerve innervates the stapedius muscles distal belly"


def test_an_item_is_found_where_it_stands_best(index):
    start, whole = " ".join(VIGNETTE.text.split()[:30]), VIGNETTE.text
    (match,) = index.find(["doc"], [f"{start} {FILLER} {whole} {FILLER} {start}"])
    assert match.aligned_fraction == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "...",
        FILLER,
        TEMPLATE.format("Zellweger spectrum disorder"),
        TEMPLATE.format("abetalipoproteinemia"),
        "Which nerve innervates the stapedius muscle's proximal belly?",
        "Which nerve innervates the stapedius muscle’s distal bellyache?",
        "The concentration of tropicamide was 0.01 per cent in one eye.",
        f"Concentration of tropicamide: {FILLER} 0.01 per cent, 0.02 per cent, 0.03 per cent",
        "What is hypertension? It is high blood pressure.",
        "A 67-year-old man comes to the physician because of a 2-day history of fever. Which of the following is it?",
        " ".join(VIGNETTE.text.split()[:20]),
        "Inhibition of thymidine synthesis; inhibition of proteasome; cross-linking of DNA",
        " ".join(sorted(VIGNETTE.text.split())),
    ],
)
def test_look_alikes_are_not_found(index, text):
    assert not found_in(index, text)


def test_an_item_does_not_reach_over_the_end_of_a_document(index):
    words = EIGHT.text.split()
    for cut in range(1, len(words)):
        assert not index.find(["a", "empty", "b"], [" ".join(words[:cut]), "", " ".join(words[cut:])])


def test_matches_say_what_was_found_where(index):
    texts = ["nothing", "", f"{FILLER} {EIGHT.text.upper()} {FILLER}"]
    assert [tuple(match) for match in index.find(["a", "b", "c"], texts)] == [
        ("medqa", "eight", "c", 1.0, "which nerve innervates the stapedius muscles distal belly")
    ]


def test_the_certificate_counts_items_and_documents(index):
    matches = index.find(["1", "2", "3"], [VIGNETTE.text, VIGNETTE.text + " " + EIGHT.text, TEMPLATES[0].text])
    found = {c["benchmark"]: c for c in certificates(index, matches)}
    counts = ("items_checked", "items_unchecked", "items_found", "texts_found")
    assert {name: tuple(c[key] for key in counts) for name, c in found.items()} == {
        "hpo": (16, 0, 1, 1), "kqa": (1, 1, 0, 0), "medmcqa": (1, 0, 0, 0), "medqa": (2, 0, 2, 2),
    }  # fmt: skip
    assert [(m["item"], m["document"]) for m in found["medqa"]["matches"]] == [
        ("eight", "2"), ("vignette", "1"), ("vignette", "2"),
    ]  # fmt: skip
    assert json.loads(json.dumps(list(found.values()))) == list(found.values())


def test_shards_batches_order_and_pickling_change_nothing(index):
    texts = {str(i): f"{FILLER[: 50 * i]} {item.text} {FILLER[: 10 * i]}" for i, item in enumerate(ITEMS * 3)}
    expected = certificates(index, index.find(list(texts), list(texts.values())))
    assert sum(c["items_found"] for c in expected) == 19
    sent = pickle.loads(pickle.dumps(index))
    turned = ContaminationIndex.build(ITEMS[::-1], RULES)
    order = np.random.default_rng(0).permutation(list(texts))
    for used in (sent, turned):
        for num_shards in (1, 2, 7):
            shards = [s.tolist() for s in np.array_split(order, num_shards)]
            matches = [m for shard in shards for m in used.find(shard, [texts[i] for i in shard])]
            assert certificates(used, matches) == expected


def test_a_template_of_many_items_costs_no_alignment_but_hides_no_item(monkeypatch):
    monkeypatch.setattr("medray.text.postings._MAX_HOLDERS", 2)
    aligned = []
    align = ContaminationIndex._aligned
    monkeypatch.setattr(ContaminationIndex, "_aligned", lambda self, *a: aligned.append(a) or align(self, *a))
    small = ContaminationIndex.build(TEMPLATES, RULES)
    assert not found_in(small, TEMPLATE.format("Zellweger spectrum disorder")) and not aligned
    assert all(found_in(small, item.text) == {item.id} for item in TEMPLATES)
    same = ContaminationIndex.build([Item("b", str(i), LONG.text) for i in range(5)], RULES)
    assert found_in(same, LONG.text) == set("01234")


def test_every_benchmark_can_be_found_or_the_index_is_refused():
    with pytest.raises(UserError, match="no item of kqa has 8 words"):
        ContaminationIndex.build([EIGHT, BARE], RULES)
    with pytest.raises(UserError, match="1 names stand for several items"):
        ContaminationIndex.build([EIGHT, EIGHT], RULES)
    with pytest.raises(ValidationError, match="min_alone_words 9 is over ngram 8"):
        ContaminationRules(ngram=8, min_alone_words=9, min_aligned_fraction=0.6)
    with pytest.raises(UserError, match="no item of b"):
        ContaminationIndex.build([Item("b", "x", "short", ("?", "!"))], RULES)
    assert ContaminationIndex.build([], RULES).find(["a"], ["text"]) == []


# --- benchmark files

ROWS = [
    {"qid": 1, "stem": "First question?", "choices": {"A": "one", "B": "two"}, "last": "three"},
    {"qid": 2, "stem": "Second question?", "choices": {"A": "four", "B": ""}, "last": None},
]
EXPECTED = [
    Item("medqa", "1", "First question?", ("one", "two", "three")),
    Item("medqa", "2", "Second question?", ("four",)),
]


def write(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        raw = "".join(json.dumps(row) + "\n" for row in rows).encode()
        codecs = {".gz": gzip.compress, ".zst": lambda raw: pa.compress(raw, "zstd", asbytes=True)}
        path.write_bytes(codecs.get(path.suffix, bytes)(raw))
    return path


def described(path, **fields) -> BenchmarkFile:
    names = {"id_field": "qid", "text_field": "stem", "option_fields": ("choices", "last")}
    terms = {"name": "medqa", "licence": "MIT", "access": "public"}
    return BenchmarkFile(**{**terms, **names, "placement": {"path": str(path)}, **fields})


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.parquet"])
def test_files_are_read_by_field_names(tmp_path, name):
    assert read_items(described(write(tmp_path / name, ROWS))) == EXPECTED


def test_tables_with_a_column_for_each_option(tmp_path):
    raw = '\ufeffqid,stem,a,b\n7,"Is it, or not?",0.01,two\n8,And this?,,three\n'.encode()
    for name, content in (("x.csv", raw), ("x.csv.gz", gzip.compress(raw))):
        (tmp_path / name).write_bytes(content)
        assert read_items(described(tmp_path / name, option_fields=("a", "b"))) == [
            Item("medqa", "7", "Is it, or not?", ("0.01", "two")),
            Item("medqa", "8", "And this?", ("three",)),
        ]


def test_items_without_ids_are_numbered_and_tokens_are_joined(tmp_path):
    path = write(tmp_path / "x.jsonl", [{"tokens": ["Torsade", "de", "pointes", "."]}, {"tokens": ["Next"]}])
    found = read_items(described(path, id_field="", text_field="tokens", option_fields=()))
    assert found == [Item("medqa", "1", "Torsade de pointes ."), Item("medqa", "2", "Next")]


def test_the_digest_is_checked(tmp_path):
    path = write(tmp_path / "x.jsonl", ROWS)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_items(described(path, digest=digest)) == EXPECTED
    with pytest.raises(UserError, match=f"digest is {digest}, expected 0"):
        read_items(described(path, digest="0" * 64))


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("x.jsonl", b"", "no rows"),
        ("x.jsonl", b'{"qid": 1, "stem": "a"}\n{"qid": 2,\n', "row 2: not JSON"),
        ("x.jsonl", b'{"qid": 1}\n', "row 1: no field 'stem', found qid"),
        ("x.jsonl", b'{"qid": 1, "stem": null}\n', "stem is None, expected text"),
        ("x.jsonl", b'{"qid": 1, "stem": "  "}\n', "stem is '  ', expected text"),
        ("x.jsonl", b'{"qid": 1, "stem": "\xff"}\n', "row 1: not UTF-8"),
        ("x.jsonl.gz", gzip.compress(b'{"qid": 1, "stem": "a"}\n' * 99)[:-20], "cannot be read"),
        ("x.parquet", b"PAR1 and then nothing", "not parquet"),
        ("x.csv", b"qid,stem\n1,\xff\n", "row 1: not UTF-8 at byte 2"),
        ("x.csv", b'qid,stem\n1,"open\n', "row 1: not CSV"),
        ("x.csv", b"qid,stem\n1\n", "row 1: 1 columns, expected 2"),
        ("x.csv", b"qid,stem\n1,shifted,cell\n", "row 1: 3 columns, expected 2"),
        ("x.csv.gz", gzip.compress(b"qid,stem\n1,a\n" * 99)[:-20], "cannot be read"),
        ("x.tsv", b"qid\tstem\n", "unknown kind of file"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_names_the_file(tmp_path, name, raw, message):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(UserError, match=f"(?s)benchmark medqa, .*{name}.*{message}") as caught:
        read_items(described(tmp_path / name, option_fields=()))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_items(described(tmp_path / "absent.jsonl"))
