"""Evidence weighting: points to copies, rounding by hash, and policies as files."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from medray.core.config import UserError
from medray.text.evidence import QUARTILES, EvidencePolicy, meditron, read_policy, years

FIELDS = {
    "sources": ["pubmed"], "base": 1.0, "upfold": 2.0, "types": {"Guideline": 1.0, "Review": 0.5},
    "excluded_types": ["Preprint"], "ages": [[5.5, 1.0], [10, 0.2]], "as_of": "2023-08", "rng_seed": 4,
}  # fmt: skip


def policy(**changes: object) -> EvidencePolicy:
    return EvidencePolicy.model_validate({**FIELDS, **changes})


@pytest.mark.parametrize(
    ("types", "date", "factor"),
    [
        ((), "", 1.0),
        (("Journal Article",), "", 1.0),
        (("Journal Article", "review", "GUIDELINE"), "", 3.0),  # the best of them, in any case
        (("Reviewed",), "", 1.0),  # whole types only
        (("Review",), "2020", 4.0),
        (("Review",), "2014-01-31", 2.4),
        (("Review",), "2013-08", 2.0),  # ten years to the month: no longer younger than ten
        (("Review",), "1990", 2.0),
        (("Review", "preprint"), "2020", 0.0),
    ],
)
def test_points_of_type_and_age_are_added_and_scaled(types, date, factor):
    assert policy().factor("pubmed", types, date) == pytest.approx(factor)
    assert policy(sources=[]).factor("anything", types, date) == pytest.approx(factor)
    assert policy().factor("notes", types, date) == 1.0


def test_copies_are_the_factor_on_average_and_a_function_of_seed_and_name():
    for factor in (0.0, 0.25, 1.0, 1.4, 3.0):
        chosen = policy(base=factor, types={}, ages=[])
        copies = [chosen.copies("pubmed", str(i), (), "") for i in range(4000)]
        assert set(copies) <= {int(factor), int(factor) + 1}
        assert sum(copies) / 4000 == pytest.approx(factor, abs=0.03)
        assert copies == [chosen.copies("pubmed", str(i), (), "") for i in range(4000)]
    chosen = policy(base=0.5, types={}, ages=[])
    copies, others = (
        [some.copies("pubmed", str(i), (), "") for i in range(100)] for some in (chosen, policy(base=0.5, rng_seed=5))
    )
    assert copies != others
    # the more points, the more copies, of each single document
    assert all(
        policy(base=low).copies("pubmed", str(i), (), "") <= policy(base=low + 0.3).copies("pubmed", str(i), (), "")
        for i in range(200) for low in (0.1, 0.6, 0.9)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("citations", "factor"), [(None, 1.0), (0.0, 1.0), (24.9, 1.0), (25.0, 2.0), (74.9, 2.0), (75.0, 3.0), (99.0, 3.0)]
)
def test_citations_give_the_points_of_the_first_number_that_they_reach(citations, factor):
    chosen = policy(citations=QUARTILES)
    assert chosen.factor("pubmed", (), "", citations) == factor
    assert chosen.copies("pubmed", "1", (), "", citations) == factor
    assert chosen.factor("pubmed", ("Review",), "2020", citations) == factor + 3  # all points are added
    assert policy().factor("pubmed", (), "", citations) == chosen.factor("notes", (), "", citations) == 1.0


def test_numbers_of_citations_fall():
    with pytest.raises(ValidationError, match="numbers of citations fall from pair to pair"):
        policy(citations=((25, 0.5), (75, 1.0)))


def test_negative_points_leave_documents_out():
    chosen = policy(types={"Editorial": -0.4})
    copies = [chosen.copies("pubmed", str(i), ("Editorial",), "") for i in range(2000)]
    assert set(copies) == {0, 1} and sum(copies) / 2000 == pytest.approx(0.2, abs=0.03)
    assert policy(types={"Editorial": -9}).factor("pubmed", ("Editorial",), "") == 0.0


def test_dates_are_years():
    assert years("2020") == 2020 and years("2020-07") == 2020.5
    assert years("2020-07-31") == pytest.approx(2020.582, abs=0.001)


def test_meditron_gives_its_published_points():
    chosen = meditron(("pubmed",), 1.0, "2023-08", 42)
    expected = {"Meta-Analysis": 2, "Clinical Trial, Phase IV": 1.8, "Randomized Controlled Trial": 1.5, "Letter": 1}
    assert {name: chosen.factor("pubmed", (name,), "1999") for name in expected} == pytest.approx(expected)
    assert chosen.factor("pubmed", ("Meta-Analysis",), "2022-01") == 3
    assert meditron(("pubmed",), 1.0, "2023-08", 42, QUARTILES).factor("pubmed", ("Letter",), "1999", 80) == 2
    assert chosen.factor("pubmed", ("Meta-Analysis", "Retracted Publication"), "2022") == 0


def test_a_policy_is_read_from_json_or_yaml(tmp_path):
    (tmp_path / "policy.json").write_text(json.dumps(FIELDS))
    (tmp_path / "policy.yaml").write_text(
        "sources: [pubmed]\nbase: 1\nupfold: 2\ntypes:\n  Guideline: 1\n  Review: 0.5\nexcluded_types: [Preprint]\n"
        "ages: [[5.5, 1], [10, 0.2]]\nas_of: 2023-08\nrng_seed: 4\n"
    )
    assert read_policy(tmp_path / "policy.json") == read_policy(tmp_path / "policy.yaml") == policy()
    (tmp_path / "dated.yaml").write_text((tmp_path / "policy.yaml").read_text().replace("2023-08", "2023-08-15"))
    assert read_policy(tmp_path / "dated.yaml").as_of == "2023-08-15"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gone.json", None, r"gone.json: no such file, expected one of JSON or YAML"),
        ("torn.json", '{"base": 1', r"torn.json: not JSON \(.*: mend it"),
        ("torn.yaml", "base: [1", r"torn.yaml: not YAML \(.*: mend it"),
        ("more.json", json.dumps({**FIELDS, "journals": 1}), r"more.json.journals: got 1, extra inputs"),
        ("date.json", json.dumps({**FIELDS, "as_of": "August"}), r"date.json.as_of: got 'August'"),
        ("list.yaml", "- 1\n", r"list.yaml.*got \[1\], input should be a valid dict"),
    ],
)
def test_a_bad_policy_is_one_line_that_names_file_and_field(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_policy(tmp_path / name)
    assert "\n" not in str(error.value)
