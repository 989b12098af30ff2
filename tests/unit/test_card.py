"""The data card over fabricated steps: every figure on its page, no patient's text, the same bytes for any parts."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from medray.core.artifact import Artifact, Manifest
from medray.core.schema import write_table
from medray.corpus.assemble import ORDER
from medray.corpus.card import write_card
from medray.corpus.clean import DROPPED
from medray.corpus.decontaminate import CONTAMINATED
from medray.corpus.deidentify import REFUSED
from medray.corpus.fates import DUPLICATES
from medray.corpus.losses import LOST
from medray.corpus.shape import document_lengths, mixture_along

PROPORTIONS = {"medical": 15, "clinical": 1, "general": 4}
CATEGORY = {"papers": "medical", "notes": "clinical", "web": "general", "closed": "medical"}
SECRET = "Mr Valjean of 55 rue Plumet"


def artifact(directory: Path, kind: str, config: dict | None = None, access: str = "public") -> Artifact:
    (directory / kind / "data").mkdir(parents=True)
    manifest = Manifest(
        kind=kind, label=kind, id=kind, version=1, config=config or {}, placement={}, inputs={}, counters={},
        digest="", parts={}, equality="exact", size_bytes=0, num_quarantined=0, access=access,
        licences=("CC0-1.0",), commit="", packages={},
        started_at=0, sealed_at=0, wall_s=0, num_attempts=1, peak_memory_bytes=0, cpu_core_hours=0,
    )  # fmt: skip
    return Artifact(manifest, directory / kind)


def dropped_rows() -> list[dict]:
    rows = [("papers", f"p{n}", "too_short", f"words of paper {n} <b>bold</b>") for n in range(30)]
    rows += [("notes", f"n{n}", "too_short", SECRET) for n in range(12)] + [("closed", "c1", "symbols", SECRET)]
    rows += [("gone", "g1", "too_long", SECRET)]  # a source of which nothing is left: nobody knows its terms
    return [
        {"id": id, "source": source, "where": f"part-0.jsonl:{n}", "reason": reason, "start": start}
        for n, (source, id, reason, start) in enumerate(rows)
    ]


def contaminated_rows() -> list[dict]:
    rows = [("papers", "x1", "open", "a benchmark's own words", True), ("notes", "x2", "open", SECRET, True)]
    rows += [("papers", "x3", "shut", "words nobody may show", True), ("papers", "x4", "open", "kept words", False)]
    rows += [("papers", "x5", "inside", "words nobody may show either", True)]
    return [
        {"id": id, "source": source, "benchmark": benchmark, "item": f"i-{id}", "aligned_fraction": 0.875,
         "text": text, "dropped": dropped}
        for source, id, benchmark, text, dropped in rows
    ]  # fmt: skip


def write_parts(directory: Path, rows: list[dict], schema, num_parts: int) -> None:
    for part in range(num_parts):
        write_table(directory / f"part-{part:05d}.parquet", rows[part::num_parts], schema)


def steps(directory: Path, num_parts: int) -> dict[str, Artifact]:
    """The steps before the corpus, their tables in so many parts."""
    clean, dedup = artifact(directory, "clean"), artifact(directory, "dedup")
    deidentify = artifact(directory, "deidentify")
    terms = {"open": ("public", "CC0-1.0"), "shut": ("public", "CC BY-NC 4.0"), "inside": ("credentialed", "CC0-1.0")}
    benchmarks = [{"name": name, "access": access, "licence": licence} for name, (access, licence) in terms.items()]
    checked = artifact(directory, "decontaminate", {"benchmarks": benchmarks}, access="credentialed")
    write_parts(clean.data / "dropped", dropped_rows(), DROPPED, num_parts)
    bad = [{"where": f"part-0.csv:{n}", "reason": f"CATEGORY is '{SECRET}'", "row": SECRET} for n in range(3)]
    (clean.directory / "quarantine").mkdir()
    (clean.directory / "quarantine" / "part.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bad))
    rows = [("web", "w1", "duplicate", "w0", "web"), ("web", "w2", "near_duplicate", "p99", "papers")]
    rows += [("web", "w1", "duplicate", "w0", "web")]  # one id twice in a file
    names = DUPLICATES.names
    duplicates = [dict(zip(names, (id, source, reason, k, ks), strict=True)) for source, id, reason, k, ks in rows]
    write_table(dedup.data / "duplicates.parquet", duplicates, DUPLICATES)
    replaced = {"notes": {"name": {"identifiers": 4321, "documents": 321}}}
    (deidentify.data / "replaced.json").write_text(json.dumps(replaced))
    write_parts(deidentify.data / "refused", [{"id": "n99", "source": "notes", "reason": "name at 7"}], REFUSED, 1)
    write_parts(checked.data / "contaminated", contaminated_rows(), CONTAMINATED, num_parts)
    certificates = [
        {"benchmark": name, "items_checked": 2718, "items_unchecked": 31, "items_found": found,
         "documents_dropped": found, "documents_kept": 1, "digest": "d" * 64,
         "matches": [{"item": row["item"], "document": f"{row['source']}/{row['id']}", "aligned_fraction": 0.875,
                      "text": row["text"]} for row in contaminated_rows() if row["benchmark"] == name]}
        for name, found in (("open", 2), ("shut", 1))
    ]  # fmt: skip
    (checked.data / "certificates.json").write_text(json.dumps(certificates))
    return {
        "model": artifact(directory, "base"), "documents": checked, "cleaned": clean, "deidentified": deidentify,
        "distinct": dedup,
    }  # fmt: skip


def order_rows(num_units: int = 900) -> list[dict]:
    rng = np.random.default_rng(3)
    rows, start = [], 0
    for number in range(num_units):
        source = rng.choice(["papers", "notes", "web"], p=[0.75, 0.05, 0.2])
        length = int(rng.integers(1, 400))
        rows.append(
            {"id": f"d{number // 2}", "piece": number % 2, "epoch": int(number > 800), "source": str(source),
             "category": CATEGORY[source], "start": start, "num_tokens": length}
        )  # fmt: skip
        start += length
    return rows


def card_of(order: list[dict]) -> dict:
    tokens = sum(row["num_tokens"] for row in order)
    stated = {"licences": {"CC0-1.0": 1234}, "languages": {"en": 1111, "": 123}, "years": {"1999": 77, "2021": 1157}}
    sources = {
        name: {"category": category, "access": {"credentialed" if name == "closed" else "public": 1234}, "train": 1000,
               "heldout": 234, "used": 987, "unused": 13, "tokens": 45_678 + len(name), "tokens_available": 56_789,
               **stated}
        for name, category in CATEGORY.items()
    }  # fmt: skip
    total = {"train": 4000, "heldout": 936, "used": 3948, "unused": 52, "tokens": tokens, "tokens_available": 227_156}
    categories = {
        name: {"tokens": sum(r["num_tokens"] for r in order if r["category"] == name),
               "units": sum(r["category"] == name for r in order)} for name in PROPORTIONS
    }  # fmt: skip
    store = {
        "kind": "causal_lm", "tokenizer": "t" * 32, "block_tokens": 512, "num_rows": 355, "num_tokens": tokens,
        "num_loss_tokens": tokens - 1, "shards": [{"file": "part-0.arrow", "num_rows": 355}],
    }  # fmt: skip
    return {"sources": sources, "total": total, "categories": categories, "store": store}


def account() -> list[dict]:
    def step(name: str, taken: int, dropped: dict, quarantined: int = 0, **more: dict) -> dict:
        out = taken - sum(dropped.values()) - quarantined
        source = {"in": taken, "out": out, "quarantined": quarantined, "dropped": dropped, **more}
        return {"step": name, "sources": {"papers": source}, "total": source}

    first = step("clean", 9876, {"too_short": 1357, "symbols": 2}, 3, removed={"copyright": 6543, "javascript": 2})
    return [first, step("dedup", 8514, {"near_duplicate": 214}), step("corpus", 8300, {"unused": 52})]


def reversed_(value: object) -> object:
    """The same content, every object's keys in the other order."""
    if isinstance(value, dict):
        return {key: reversed_(value[key]) for key in reversed(value)}
    return [reversed_(item) for item in value] if isinstance(value, list) else value


def written(directory: Path, num_parts: int = 2) -> Path:
    """The content of a corpus; with another number of parts what was counted comes in another order too."""
    order = order_rows()
    data = directory / "corpus"
    data.mkdir(parents=True)
    for number, some in enumerate((order[:500], order[500:])):  # as the files of the store, not as the steps' parts
        write_table(data / "order" / f"part-{number:05d}.parquet", some, ORDER)
    (data / "account.json").write_text(json.dumps(account()))
    card = card_of(order) if num_parts == 2 else reversed_(card_of(order))
    write_card(card, PROPORTIONS, steps(directory, num_parts), data)
    return data


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return written(tmp_path_factory.mktemp("card"))


class Page(HTMLParser):
    """Text, tags and attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]


def numbers(value: object, name: str = "") -> list[tuple[str, float]]:
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in numbers(item, f"{name}.{key}")]
    if isinstance(value, list):
        return [found for item in value for found in numbers(item, name)]
    return [] if isinstance(value, (str, bool)) else [(name, value)]


def test_every_figure_of_the_card_is_on_the_page(data):
    card = json.loads((data / "card.json").read_text())
    text = " ".join(Page((data / "card.html").read_text()).words)
    shown = set(re.findall(r"(?<![\d.,])\d[\d,]*(?:\.\d+)?(?![\d,]*\d)", text))
    found = numbers(card)
    assert len(found) > 400
    # a share of the store's only file is not shown, and the largest deviation is in percentage points
    skipped = (".store.shards", ".mixture.max_deviation")
    missing = {(n, v) for n, v in found if not n.startswith(skipped) and f"{v:,}" not in shown}
    assert not missing
    assert f"{card['mixture']['max_deviation'] * 100:.3f} percentage points" in text


def test_no_text_of_a_closed_source_leaves_its_step(data):
    html = (data / "card.html").read_text()
    assert SECRET not in html and "Valjean" not in html and "(here: closed, notes)" in html
    rows = pq.read_table(data / "dropped.parquet").to_pylist()
    assert {row["source"] for row in rows if row["text"]} == {"papers"}
    assert {row["source"] for row in rows if row["text"] is None} == {"notes", "closed", "gone", "papers"}
    assert [row["id"] for row in rows if row["source"] == "papers" and row["text"] is None] == ["x3", "x5"]
    assert "CATEGORY is …" in html and "not shown" in html
    assert "a benchmark&#39;s own words" in html and "words of paper" in html and "<b>bold</b>" not in html


def test_a_closed_benchmarks_words_are_not_shown(data):
    """What quoted a benchmark of terms that the corpus does not have would be bound by them."""
    assert "words nobody may show" not in (data / "card.html").read_text()


def test_all_losses_are_in_the_table_and_eight_of_a_kind_on_the_page(data):
    table = pq.read_table(data / "dropped.parquet")
    assert table.schema.equals(LOST)
    rows = table.to_pylist()
    assert len(rows) == len(dropped_rows()) + 1 + 3 + 4  # the kept document is no loss
    assert [(r["reason"], r["id"], r["why"]) for r in rows if r["step"] == "deidentify"] == [
        ("looks_identified", "n99", "name at 7")
    ]
    assert {(r["step"], r["why"]) for r in rows if r["source"] == "web"} == {
        ("dedup", "kept: web/w0"), ("dedup", "kept: papers/p99"),
    }  # fmt: skip
    page = Page((data / "card.html").read_text())
    reasons = [value for tag, name, value in page.attributes if tag == "tr" and name == "data-reason"]
    assert reasons.count("too_short") == 16 and reasons.count("duplicate") == 1 and reasons.count("contaminated") == 4
    card = json.loads((data / "card.json").read_text())
    assert card["duplicates"] == [
        {"source": "web", "kept_source": "papers", "reason": "near_duplicate", "count": 1},
        {"source": "web", "kept_source": "web", "reason": "duplicate", "count": 2},
    ]


def test_the_page_fetches_nothing_and_names_no_place(data, tmp_path):
    html = (data / "card.html").read_text()
    page = Page(html)
    outside = [v for _, name, v in page.attributes if name in ("src", "href", "xlink:href") and not v.startswith("#")]
    assert not outside and "url(http" not in html and "@import" not in html
    assert str(data.parent) not in html


@pytest.mark.parametrize("num_parts", [1, 7])
def test_the_number_of_parts_changes_nothing(data, tmp_path, num_parts):
    again = written(tmp_path, num_parts)
    for name in ("card.json", "card.html"):
        assert (again / name).read_bytes() == (data / name).read_bytes(), name
    rows = [sorted(map(str, pq.read_table(d / "dropped.parquet").to_pylist())) for d in (again, data)]
    assert rows[0] == rows[1]


def test_mixture_and_lengths_are_those_of_a_plain_count(data):
    order = order_rows()
    total = sum(row["num_tokens"] for row in order)
    parts = sorted((data / "order").iterdir())
    found = mixture_along(parts, PROPORTIONS, total)
    sums, worst, shares = dict.fromkeys(PROPORTIONS, 0), 0.0, {}
    for row in order:
        sums[row["category"]] += row["num_tokens"]
        so_far = sum(sums.values())
        shares[so_far] = {name: round(n / so_far, 4) for name, n in sums.items()}
        if so_far >= total // 10:
            worst = max(worst, *(abs(sums[name] / so_far - part / 20) for name, part in PROPORTIONS.items()))
    assert found["max_deviation"] == pytest.approx(worst, abs=1e-6) and found["settled_tokens"] == total // 10
    assert len(found["points"]) == 100 and found["points"][-1]["tokens"] == total
    for point in found["points"]:
        assert shares[point["tokens"]] == {name: point[name] for name in PROPORTIONS}
    lengths: dict[tuple[str, str], int] = {}
    for row in order:
        if row["epoch"] == 0:
            key = row["source"], row["id"]
            lengths[key] = lengths.get(key, 0) + row["num_tokens"]
    plain: dict[str, dict[str, int]] = {}
    for (source, _), length in lengths.items():
        low = str(1 << (length.bit_length() - 1))
        plain.setdefault(source, {})[low] = plain.get(source, {}).get(low, 0) + 1
    assert document_lengths(parts) == plain
