"""Items in other words: near by the vectors of their words, then by the words they share in any order."""

from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest
from pydantic import ValidationError

from medray.core.config import UserError, identity_of
from medray.corpus import vectors
from medray.corpus.decontaminate import DecontaminateConfig
from medray.text.answers import normalise_words
from medray.text.contamination import ContaminationIndex, ContaminationRules, DenseRules, Item, certify
from medray.text.dense import DenseItems, Near
from medray.text.ngrams import hash_words

WORDS = {
    "man": "gentleman", "doctor": "physician", "sudden": "abrupt", "pain": "ache", "chest": "thorax", "drug": "agent",
    "given": "administered", "best": "optimal", "explains": "accounts", "fever": "pyrexia", "weeks": "fortnights",
}  # fmt: skip
"""Words and others that mean the same: their vectors are nearly equal."""
MEANING = {other: word for word, other in WORDS.items()}
LONG = Item(
    "medqa", "long",
    "A man comes to the doctor with sudden pain in the chest and fever that began three weeks ago. A drug is given. "
    "Which of these mechanisms best explains the effect that this drug has on cardiac repolarisation?",
)  # fmt: skip
OTHER = Item("medqa", "other", "Which vitamin is taken up by the terminal ileum only when intrinsic factor is bound?")
BRIEF = Item("medqa", "brief", "The cause of death in congenital diaphragmatic hernia is what?")
FILLER = " ".join(f"Sentence {i} of a review about renal physiology, sodium and water balance." for i in range(200))
DENSE = DenseRules(min_words=13, min_cosine=0.7, min_shared_fraction=0.5)
RULES = ContaminationRules(ngram=13, min_alone_words=8, min_aligned_fraction=0.6, dense=DENSE)


def embed(words) -> np.ndarray:
    """A direction for every meaning, a little of its own for every word."""
    found = np.zeros((len(words), 64), np.float32)
    for place, word in enumerate(words):
        for name, size in ((MEANING.get(word, word), 1), (word, 0.3)):
            seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
            found[place] += size * np.random.default_rng(seed).normal(size=64)
    return found


@pytest.fixture(scope="module")
def index() -> ContaminationIndex:
    return ContaminationIndex.build([LONG, OTHER, BRIEF], RULES, embed)


def found_in(index, text: str) -> set[str]:
    return {match.item for match in index.find(["doc"], [text], embed)}


def reworded(text: str) -> str:
    return " ".join(WORDS.get(word.lower(), word) for word in text.replace(".", " .").replace("?", " ?").split())


def reordered(text: str) -> str:
    clauses = text.replace("?", "").split(". ")
    return ". ".join([clauses[2], clauses[1], clauses[0]])


@pytest.mark.parametrize("change", [reworded, reordered, lambda text: reworded(reordered(text))])
@pytest.mark.parametrize("place", ["{0}", "{1} {0}", "{0} {1}", "{1} {0} {1}"])
def test_other_words_and_another_order_are_found_wherever_they_stand(index, change, place):
    text = place.format(change(LONG.text), FILLER)
    plain = ContaminationIndex.build([LONG, OTHER], RULES.model_copy(update={"dense": None}))
    assert not plain.find(["doc"], [text]), "n-grams find it too: this tests nothing"
    (match,) = index.find(["doc"], [text], embed)
    assert match.item == "long" and 0.5 <= match.aligned_fraction <= 1
    shown = match.text.split()
    assert len(shown) <= 32 and "…" in shown or change is reordered, "the item's words in the nearest window"
    assert not set(WORDS.values()) & set(shown) and not {"sentence", "renal"} & set(shown)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?",
        FILLER,
        "A man comes to the doctor with fever. " * 8,
        " ".join(LONG.text.split()[:14]) + " " + FILLER,
        "Congenital diaphragmatic hernia: the cause of death is the lung that stays small. " + FILLER,
    ],
)
def test_texts_of_the_same_subject_are_not(index, text):
    assert not found_in(index, text)


def test_what_is_near_must_share_words(index):
    """The same meaning in hardly any of the item's words is left: neighbours by vectors alone are too many."""
    strict = ContaminationIndex.build(
        [LONG], RULES.model_copy(update={"dense": DENSE.model_copy(update={"min_shared_fraction": 0.95})}), embed
    )
    assert found_in(index, reworded(LONG.text)) == {"long"} and not found_in(strict, reworded(LONG.text))


def test_windows_in_batches_shards_and_pickles_give_the_same(index, monkeypatch):
    texts = [f"{FILLER} {reworded(LONG.text)} {FILLER}", FILLER, OTHER.text, reordered(LONG.text)]
    expected = certify(index, list("abcd"), texts, embed)
    assert [(m.document, m.item) for m in expected[0]] == [("a", "long"), ("c", "other"), ("d", "long")]
    monkeypatch.setattr("medray.text.shared_words._MAX_WORDS", 100)
    monkeypatch.setattr("medray.text.contamination._BATCH", 1)
    assert certify(pickle.loads(pickle.dumps(index)), list("abcd"), texts, embed) == expected


def test_items_are_grouped_by_their_number_of_words():
    texts = {7: " ".join(["word"] * 20), 9: " ".join(["word"] * 100), 11: " ".join(["other"] * 24)}
    items = DenseItems.of(texts, embed)
    assert dict(zip(items.numbers.tolist(), items.lengths.tolist(), strict=True)) == {7: 23, 9: 91, 11: 23}
    short = ContaminationIndex.build([BRIEF], RULES, embed)
    assert not short.find(["doc"], ["any words"], embed), "no item is long enough to be compared"


def every_window(index: ContaminationIndex, text: str) -> dict[str, float]:
    """The items that the nearest of all windows hold, each window compared with each item: what must be found."""
    words, (items, _) = normalise_words(text), index.dense
    vectors, found = embed(words), {}
    for number, length, vector in zip(*(column.tolist() for column in items), strict=True):
        size = min(length, len(words))
        if 2 * size < length:
            continue
        near = []
        for start in {*range(0, len(words) - size, length // 4), len(words) - size}:
            window = vectors[start : start + size].sum(0)
            near.append((float(window @ np.array(vector) / np.linalg.norm(window)), -start))
        cosine, start = max(near)
        if cosine >= DENSE.min_cosine:
            shared = index._shared(Near(number, -start, -start + size), hash_words([text]).values)
            if shared:
                found[index.names[number][1]] = round(shared[0], 4)
    return found


def test_what_is_found_is_what_comparing_all_windows_with_all_items_finds():
    """Items and documents of the same few words: near by chance, now sharing enough and now not, at every place."""
    draw = np.random.default_rng(5)
    subjects = [[f"w{subject}x{n}" for n in range(24)] for subject in range(6)]
    common = [f"common{n}" for n in range(8)]
    items = [
        Item("b", str(n), " ".join(draw.choice([*subjects[n % 6], *common], int(draw.integers(13, 70)))))
        for n in range(40)
    ]
    index = ContaminationIndex.build(items, RULES, embed)
    texts = []
    for n in range(60):
        shown = items[int(draw.integers(40))].text.split()
        kept = [word for word in draw.permutation(shown) if draw.random() < 0.75]
        around = list(draw.choice([*subjects[n % 6], *common, "other", "words"], int(draw.integers(0, 400))))
        at = int(draw.integers(len(around) + 1))
        texts.append(" ".join([*around[:at], *kept, *around[at:]]))
    found: dict[int, dict[str, float]] = {n: {} for n in range(60)}
    for match in index.find(list(map(str, range(60))), texts, embed):
        found[int(match.document)][match.item] = match.aligned_fraction
    expected = [every_window(index, text) for text in texts]
    assert sum(map(len, expected)) > 60
    for n, wanted in enumerate(expected):
        assert wanted.keys() <= found[n].keys() and all(found[n][item] >= part for item, part in wanted.items())


def test_rules_and_vectors_need_each_other(tmp_path):
    with pytest.raises(AssertionError):
        ContaminationIndex.build([LONG], RULES)
    fields = {"benchmarks": (), "question_splits": (), "quoted_tasks": ()}
    with pytest.raises(ValidationError, match="rules.dense and vectors need each other"):
        DecontaminateConfig(rules=RULES, **fields)


# --- files of vectors


@pytest.fixture
def files(tmp_path):
    safetensors, tokenizers = pytest.importorskip("safetensors.numpy"), pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece({"ren": 0, "##al": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    table = np.array([[1, 0], [0.5, 2], [9, 9]], np.float16)
    safetensors.save_file({"embedding.weight": table}, tmp_path / "table.safetensors")
    return {"weights": str(tmp_path / "table.safetensors"), "tokenizer": str(tmp_path / "tokenizer.json")}


def described(**place) -> vectors.VectorFile:
    return vectors.VectorFile(licence="MIT", access="public", placement=place)


def test_a_word_is_the_sum_of_its_tokens(files):
    words = vectors.load(described(**files))
    for _ in range(2):
        assert words(["renal", "ren", "ren"]).tolist() == [[1.5, 2], [1, 0], [1, 0]]
    assert words([]).shape[0] == 0 and vectors.load(None) is None


def test_their_digest_is_identity_and_checked(files, tmp_path):
    first = vectors.resolve(described(**files))
    assert str(tmp_path) not in str(identity_of(first)) and len(first.digest) == 64
    (tmp_path / "tokenizer.json").write_text((tmp_path / "tokenizer.json").read_text() + " ")
    with pytest.raises(UserError, match="decontaminate.vectors: digest is .*, expected .*: get that version"):
        vectors.load(first)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"package": "no_such_package"}, "package no_such_package is not installed, but holds x.safetensors"),
        ({}, "no such file x.safetensors"),
    ],
)
def test_files_that_are_missing(place, message):
    with pytest.raises(UserError, match=message):
        vectors.resolve(described(weights="x.safetensors", tokenizer="t.json", **place))


def test_a_table_too_small_for_its_tokenizer(files, tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros((2, 2), np.float32)}, tmp_path / "table.safetensors")
    with pytest.raises(UserError, match="3 tokens, but .* has 2 vectors: take its own"):
        vectors.load(described(**files))
