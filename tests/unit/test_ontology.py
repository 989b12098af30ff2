"""Readers of the HPO, its annotations and ICD-10-CM, on small files with planted mistakes."""

from pathlib import Path

import pytest

from medray.core.config import UserError
from medray.synthesize.annotations import clean_disease_name, parse_frequency, read_annotations
from medray.synthesize.icd10cm import clean_text, read_categories
from medray.synthesize.ontology import read_obo, system_label

OBO = """format-version: 1.2

[Term]
id: HP:0000001
name: All

[Term]
id: HP:0000118
name: Phenotypic abnormality
is_a: HP:0000001 ! All

[Term]
id: HP:0000478
name: Abnormality of the eye
is_a: HP:0000118 ! Phenotypic abnormality

[Term]
id: HP:0001507
name: Growth abnormality
is_a: HP:0000118

[Term]
id: HP:0000545
name: Myopia
alt_id: HP:0000999
def: "The eye \\"grows\\" too\\nlong." [PMID:1, "x"]
synonym: "Near-sightedness" EXACT layperson []
synonym: "Nearsightedness" EXACT plural_form []
synonym: "Short sight" RELATED []
synonym: "Shortsighted" EXACT []
is_a: HP:0000478 {source="x"} ! Abnormality of the eye
a line without its colon

[Term]
id: HP:0000002
name: obsolete Thing
is_obsolete: true

[Term]
name: no id

[Term]
id: HP:0000777
name: Orphan
is_a: HP:0424242 ! nowhere

[Typedef]
id: part_of
name: part of
"""


@pytest.fixture
def ontology_file(tmp_path: Path) -> Path:
    path = tmp_path / "hp.obo"
    path.write_text(OBO, encoding="utf-8")
    return path


def test_terms_are_read_and_bad_lines_are_named(ontology_file):
    ontology, bad, num_terms = read_obo(ontology_file)
    assert num_terms == 8
    assert set(ontology.terms) == {"HP:0000001", "HP:0000118", "HP:0000478", "HP:0001507", "HP:0000545", "HP:0000777"}
    myopia = ontology.terms["HP:0000545"]
    assert myopia.definition == 'The eye "grows" too long.'
    assert myopia.synonyms == ("Near-sightedness", "Shortsighted")
    assert myopia.parents == ("HP:0000478",)
    line = OBO.splitlines().index("a line without its colon") + 1
    reasons = {row["where"]: row["reason"] for row in bad}
    assert reasons[f"hp.obo:{line}"] == "not a `tag: value` line"
    assert "unknown parent HP:0424242" in reasons["hp.obo:HP:0000777"]
    assert len(bad) == 3 and "term without id or name" in reasons.values()


def test_body_system_is_the_ancestor_below_the_root(ontology_file):
    ontology, _, _ = read_obo(ontology_file)
    assert ontology.systems("HP:0000545") == ["eye"]
    assert ontology.system_phrase("eye") == "the eye"
    assert ontology.system_phrase("growth") == "growth"
    assert ontology.resolve("HP:0000999").name == "Myopia"
    assert ontology.related("HP:0000545", "HP:0000118") and not ontology.related("HP:0000545", "HP:0001507")
    assert system_label("Abnormality of head or neck") == "head or neck"


def test_a_cycle_is_broken_and_reported(tmp_path):
    path = tmp_path / "hp.obo"
    path.write_text("[Term]\nid: A:1\nname: a\nis_a: A:2\n\n[Term]\nid: A:2\nname: b\nis_a: A:1\n", encoding="utf-8")
    ontology, bad, _ = read_obo(path)
    assert len(bad) == 1 and "cycle" in bad[0]["reason"]
    assert ontology.ancestors("A:1") | ontology.ancestors("A:2") == {"A:1", "A:2"}


@pytest.mark.parametrize(
    ("text", "fraction"),
    [("", None), ("HP:0040281", 0.9), ("HP:0040285", 0.0), ("3/4", 0.75), ("12.5%", 0.125), ("0/5", 0.0)],
)
def test_frequencies(text, fraction):
    assert parse_frequency(text) == fraction


@pytest.mark.parametrize("text", ["5/4", "1/0", "often", "120%", "HP:1"])
def test_a_bad_frequency_says_what_is_expected(text):
    with pytest.raises(ValueError, match="neither an HPO frequency term, n/m nor x%"):
        parse_frequency(text)


def test_disease_names_are_cleaned():
    assert clean_disease_name("#154700 MARFAN SYNDROME; MFS") == "Marfan syndrome"
    assert clean_disease_name("Norrie disease") == "Norrie disease"
    assert clean_disease_name("SERKAL syndrome") == "SERKAL syndrome"
    assert clean_disease_name("DDOST-CDG") == "DDOST-CDG"


def annotation(term="HP:0000545", frequency="", qualifier="", aspect="P", disease="ORPHA:1"):
    return "\t".join([disease, "A disease", qualifier, term, "PMID:1", "PCS", "", frequency, "", "", aspect, "x"])


def test_annotations_keep_present_phenotypes_and_report_bad_rows(ontology_file, tmp_path):
    ontology, _, _ = read_obo(ontology_file)
    rows = [
        "#version: 1",
        "database_id\tdisease_name\tqualifier\thpo_id\treference\tevidence\tonset\tfrequency\tsex\tmodifier\taspect\tb",
        annotation("HP:0000999", "1/2"),
        annotation("HP:0000545", "HP:0040283"),
        annotation("HP:0000478", qualifier="NOT"),
        annotation("HP:0001507", "HP:0040285"),
        annotation("HP:0000001", aspect="I"),
        annotation(disease="OMIM:7"),
        annotation("HP:7777777"),
        annotation(frequency="often"),
        "too\tfew",
    ]
    path = tmp_path / "phenotype.hpoa"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    diseases, bad, num_rows = read_annotations(path, ontology, "ORPHA")
    assert num_rows == 9
    assert [(d.id, d.phenotypes) for d in diseases] == [("ORPHA:1", (("HP:0000545", 0.5),))]
    assert [row["where"] for row in bad] == ["phenotype.hpoa:9", "phenotype.hpoa:10", "phenotype.hpoa:11"]
    assert "HP:7777777" in bad[0]["reason"] and "'often'" in bad[1]["reason"] and "2 columns" in bad[2]["reason"]


ICD = """<?xml version="1.0"?><ICD10CM.tabular><chapter><name>1</name><desc>x</desc>
<section id="A50-A64"><desc>Infections with a sexual mode of transmission (A50-A64)</desc>
<diag><name>A57</name><desc>Chancroid</desc><inclusionTerm><note>Ulcus molle NOS</note></inclusionTerm>
<excludes1><note>ulcer [sore] (L98.4-)</note></excludes1>
<diag><name>A57.0</name><desc>Chancroid of skin</desc></diag></diag>
<diag><name>A58</name></diag>
<diag><name>A59</name><desc>Other</desc><excludes1><note>due to:</note><note>gonococcus</note></excludes1></diag>
</section></chapter></ICD10CM.tabular>"""


def test_icd_categories_are_prose_without_codes(tmp_path):
    path = tmp_path / "icd.xml"
    path.write_text(ICD, encoding="utf-8")
    categories, bad, num_rows = read_categories(path)
    assert num_rows == 3 and [row["where"] for row in bad] == ["icd.xml:A58"]
    first, second = categories
    assert (first.code, first.title, first.inclusions) == ("A57", "Chancroid", ("Ulcus molle",))
    assert first.excludes == ("ulcer (sore)",) and first.subcategories == ("Chancroid of skin",)
    assert first.section == "Infections with a sexual mode of transmission"
    assert second.excludes == ()
    assert clean_text("Pneumonia, not elsewhere classified") == "Pneumonia"


def test_broken_xml_names_file_and_line(tmp_path):
    path = tmp_path / "icd.xml"
    path.write_text("<a>\n<b></a>", encoding="utf-8")
    with pytest.raises(UserError, match=r"icd\.xml:2: not well-formed XML"):
        read_categories(path)
