"""The PHI gate: what is found, what stands in for it, what stays."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.phi import measure
from benchmarks.phi_notes import KINDS as PLANTED_KINDS
from benchmarks.phi_notes import make_notes
from medray.corpus.deidentify import deidentify_document
from medray.text.phi.dates import read_date, shift_date
from medray.text.phi.found import KINDS, Found, settle
from medray.text.phi.gate import PhiRules, deidentify, find_identifiers

RULES = PhiRules(rng_seed=7, max_shift_weeks=520, strict=False)
STRICT = PhiRules(rng_seed=7, max_shift_weeks=520, strict=True)


def found(text):
    return [(item.kind, text[item.start : item.stop]) for item in find_identifiers(text)]


def replaced(text, patient="p1", rules=RULES):
    return deidentify(text, patient, rules).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient: Okonkwo, Mary T.  seen", [("name", "Okonkwo, Mary T.")]),
        ("Discussed with Dr. Hamish Kwon.", [("name", "Hamish Kwon")]),
        ("pt's wife Mary called", [("name", "Mary")]),
        ("dr o'leary notified", [("name", "o'leary")]),
        ("SURGEON: KEONI FIELD, M.D.", [("name", "KEONI FIELD")]),
        ("Mr. de la Cruz slept. De la Cruz ate.", [("name", "de la Cruz"), ("name", "De la Cruz")]),
        ("12 Old Quarry Road, Tewksbury, MA 01876",
         [("location", "12 Old Quarry Road"), ("location", "Tewksbury"), ("location", "01876")]),
        ("transferred from St. Brendan's Medical Center", [("location", "St. Brendan's Medical Center")]),
        ("seen 03/04/2019 and on 3/9", [("date", "03/04/2019"), ("date", "3/9")]),
        ("born 4 March 1950, died the 5th of May", [("date", "4 March 1950"), ("date", "5th of May")]),
        ("a 93-year-old man, 89-year-old wife", [("age", "93")]),
        ("call (617) 555-0148, fax 617-555-0149", [("phone", "(617) 555-0148"), ("fax", "617-555-0149")]),
        ("a.b@example.org", [("email", "a.b@example.org")]),
        ("SSN 123-45-6789", [("ssn", "123-45-6789")]),
        ("MRN: 00123456", [("medical_record", "00123456")]),
        ("Member ID: XWP123456789", [("health_plan", "XWP123456789")]),
        ("Acct # 900-12345", [("account", "900-12345")]),
        ("DEA# BR1234563", [("licence", "BR1234563")]),
        ("plate 7ABC123, VIN 1HGCM82633A004352", [("vehicle", "7ABC123"), ("vehicle", "1HGCM82633A004352")]),
        ("pacemaker, serial number PJN123456S", [("device", "PJN123456S")]),
        ("see https://example.org/p/12.", [("url", "https://example.org/p/12")]),
        ("from 10.0.12.7", [("ip", "10.0.12.7")]),
        ("badge 44718", [("other", "44718")]),
        ("Kind regards,\nGrace Booker\n", [("name", "Grace Booker")]),
        ("Glass, 71 y/o, fell", [("name", "Glass")]),
        ("0910 md wanjohi paged", [("name", "wanjohi")]),
        ("seen Tuesday, March 5 and labs 02-09", [("date", "Tuesday, March 5"), ("date", "02-09")]),
        ("Member ID: 1234 5678 9012", [("health_plan", "1234 5678 9012")]),
        ("home at 410 Alder, Tewksbury, OH", [("location", "410 Alder"), ("location", "Tewksbury")]),
        ("her mother (97) is alive; he turned 94, father died at 91",
         [("age", "97"), ("age", "94"), ("age", "91")]),
        ("AGE ...... 99, ninety-four years old, F/93, at 95 she drives", 
         [("age", "99"), ("age", "ninety-four"), ("age", "93"), ("age", "95")]),
        ("RN lic. OH 448213, NPI 1234567893", [("licence", "OH 448213"), ("licence", "1234567893")]),
        ("SSN XXX-XX-1234, S.S. # 123 45 6789", [("ssn", "XXX-XX-1234"), ("ssn", "123 45 6789")]),
        ("seen 26.03.15 and 03Mar22 in Cedar Rapids",
         [("date", "26.03.15"), ("date", "03Mar22"), ("location", "Cedar Rapids")]),
        ("J. Bailey agreed. paged p4471, unit 40714-8952", 
         [("name", "J. Bailey"), ("phone", "4471"), ("other", "40714-8952")]),
        ("found at 6214 Spruce by police; sent to Tewksbury Regional.",
         [("location", "6214 Spruce"), ("location", "Tewksbury Regional")]),
        ("Discussed w/ renal (Frost) and handed off to Lamb.", [("name", "Frost"), ("name", "Lamb")]),
        ("SURGEON ROOT   CIRCULATOR PHOEBE", [("name", "ROOT"), ("name", "PHOEBE")]),
        ("Inmate KIRBY, RACHEL in cell", [("name", "KIRBY, RACHEL")]),
        ("seen with Jun Nakamura and R. Joiner.", [("name", "Jun Nakamura"), ("name", "R. Joiner")]),
        ("husband (Frank,\n90, hard of hearing); Grandma: 92.", [("name", "Frank"), ("age", "90"), ("age", "92")]),
        ("now in Liberty, formerly of The Pines at Prescott.",
         [("location", "Liberty"), ("location", "The Pines at Prescott")]),
        ("moved to KVMC; employer: Providence House", [("location", "KVMC"), ("location", "Providence House")]),
        ("parked her Kia (BXK-4410), reg. EH15 OPQ", [("vehicle", "BXK-4410"), ("vehicle", "EH15 OPQ")]),
        ("serial PJN 8821 K, MAC 00:1A:2B:3C:4D:5E", [("device", "PJN 8821 K"), ("device", "00:1A:2B:3C:4D:5E")]),
        ("K. Ramirez/76-ER-2417", [("name", "K. Ramirez"), ("other", "76-ER-2417")]),
        ("from 8/1 to 8/5, impounded 3/7. ADDENDUM 5/9: well", 
         [("date", "8/1"), ("date", "8/5"), ("date", "3/7"), ("date", "5/9")]),
        ("this is dr margaret marshall. her son arthur green was well. she was seen at fresno county hospital",
         [("name", "margaret marshall"), ("name", "arthur green"), ("location", "fresno county hospital")]),
        ("moved from St. Brendan's to Saint-Jean-sur-Richelieu",
         [("location", "St. Brendan's"), ("location", "Saint-Jean-sur-Richelieu")]),
    ],
)  # fmt: skip
def test_exact_spans(text, expected):
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Parkinson's disease, Crohn's disease, a Foley catheter, negative Babinski sign, Whipple procedure",
        "metoprolol 25 mg BID, Percocet 5/325 mg, insulin 70/30, 5-FU 400 mg/m2, heparin 5000 units",
        "GCS 15, BP 120/80, HR 92, 98% on room air, T 98.6, strength 5/5, 2/6 systolic murmur, pain 7/10",
        "Na 138, glucose 123-145-167, CK 1200-1340-1105, platelets 150-400, D-dimer 1,240",
        "L4-5 disc bulge, C5-C6 stenosis, T12 fracture, BRCA1, KRAS G12D, CD20, B12 1000 mcg",
        "He may go home. She may march with a walker. Influenza vaccine each October. Smoked until 2009, for 10 years.",
        "Lives in Ohio; emigrated from Haiti, then New York.",
        "HR 94, TSH was 91, glucose 95, wound 92 mm, platelets 93, sat at 93, 97% on 2 L, aged 89, weight 91.",
        "She takes Blorvane. Using a stiff Ramplatz, the Ommatec tip and Lipitor, Zolaxin and GelPort. 5. Zarbon.",
        "series #6 images #12-14, #000 Vicryl, 3-0 nylon, 1200-1340 mL, L4-5-S1, pages 123-145",
        "NDC 0002-8215-01, a T11-T12 fusion, CD34 positive, BiPAP 12/5, Hoehn and Yahr 2, glucose 98-143-167.",
        "Grace period over. Wall motion normal. Many thanks. A long day in the sage green room, 5/5 strength in both.",
        "Zolaxin 8/2 at night. To Whom It May Concern: ASA II, G3P2012. Blorvane was given; blorvane helps.",
    ],
)
def test_what_only_looks_like_an_identifier_stays(text):
    assert found(text) == []
    assert replaced(text) == text


@pytest.mark.parametrize(
    ("mark", "kind", "shape"),
    [
        ("[**Known lastname 1234**]", "name", r"[A-Z][a-z]+"),
        ("[**First Name8 (NamePattern2) **]", "name", r"[A-Z][a-z]+"),
        ("[**Last Name (STitle) 99**]", "name", r"[A-Z][a-z]+"),
        ("[**Initials (NamePattern4) **]", "name", r"[A-Z]"),
        ("[**Hospital1 18**]", "location", r"[A-Z]\w+ Hospital"),
        ("[**Hospital Ward Name 12**]", "location", r"[A-Z]\w+ Ward"),
        ("[**Location (un) 86**]", "location", r"[A-Z][a-z]+"),
        ("[**Street Address(2) 7**]", "location", r"\d+ [A-Z]\w+ Street"),
        ("[**2151-7-16**]", "date", r"21[45]\d-\d{1,2}-\d{1,2}"),
        ("[**7-16**]", "date", r"\d{1,2}/\d{1,2}"),
        ("[**2151**]", "date", r"21[45]\d"),
        ("[**Month/Day (2) 33**]", "date", r"[A-Z][a-z]+ \d{1,2}"),
        ("[**Age over 90 **]", "age", r"90"),
        ("[**Telephone/Fax (1) 123**]", "phone", r"\(\d{3}\) 555-\d{4}"),
        ("[**Medical Record Number **]", "medical_record", r"\d{7}"),
        ("[**MD Number(1) 5**]", "licence", r"\d{7}"),
        ("[**Serial Number 3**]", "device", r"\d{7}"),
        ("[**Numeric\nIdentifier 77**]", "other", r"\d{7}"),
        ("[**E-mail address 4**]", "email", r"\S+@example\.org"),
        ("[**URL 9**]", "url", r"https://example\.org/\w+"),
        ("[**Something new 9**]", "other", r"\d{7}"),
    ],
)
def test_marks_of_mimic(mark, kind, shape):
    assert found(f"x {mark} y") == [(kind, mark)]
    new = replaced(f"x {mark} y")
    assert re.fullmatch(f"x {shape} y", new), new
    assert replaced(f"x {mark} y") == new


def test_a_patient_keeps_the_surrogates_and_no_two_patients_share_them():
    first = replaced("Patient: Okonkwo, Mary\nMRN: 1234567\nCall (617) 555-0148.")
    second = replaced("Mrs. Okonkwo (MRN# 1234567) came from afar. Tel 555-0148, patient name: MARY OKONKWO")
    family, given = re.match(r"Patient: (\w+), (\w+)\n", first).groups()
    assert {family, given}.isdisjoint({"Okonkwo", "Mary"})
    assert f"Mrs. {family} (" in second and second.endswith(f"{given} {family}".upper())
    assert re.search(r"MRN: (\d{7})", first)[1] == re.search(r"MRN# (\d{7})", second)[1] != "1234567"
    assert re.search(r"555-\d{4}", first)[0] == re.search(r"Tel (555-\d{4})", second)[1]
    assert replaced("Patient: Okonkwo, Mary", "p2") not in first
    assert replaced("Patient: Okonkwo, Mary", rules=RULES.model_copy(update={"rng_seed": 8})) not in first


def test_formats_are_kept():
    new = replaced("SSN 123-45-6789, MRN: AB-12-345, plate 7ABC123, fax +1 617 555 0149, DOB 01/02/1950")
    assert re.fullmatch(
        r"SSN 9\d\d-\d\d-\d{4}, MRN: [A-Z]{2}-\d\d-\d{3}, plate \d[A-Z]{3}\d{3}, fax \+1 \d{3} 555 \d{4}, "
        r"DOB \d\d/\d\d/\d{4}",
        new,
    )


def test_intervals_survive_in_every_form():
    text = "On 03/04/2019, March 9th, 2019, 2019-04-01, 15-Mar-2020, 3/30/20, and on 4/2 she came."
    old, new = find_identifiers(text), deidentify(text, "p1", RULES)
    near = [read_date(text[i.start : i.stop], i.form, date(2020, 3, 30)) for i in old]
    after = [new.text[i.start : i.stop] for i in new.surrogates]
    forms = [i.form for i in old]
    moved = [read_date(t, form, read_date(after[4], forms[4])) for t, form in zip(after, forms, strict=True)]
    shifts = {(b - a).days for a, b in zip(near, moved, strict=True)}
    assert len(shifts) == 1
    assert (days := shifts.pop()) < 0 and days % 7 == 0, "weekdays stay true"


@given(st.dates(date(1931, 1, 1), date(2029, 12, 31)), st.integers(-3640, -7))
def test_a_date_moves_and_comes_back(day, days):
    forms = {
        "mdy": f"{day.month}/{day.day}/{day.year}",
        "ymd": day.isoformat(),
        "dby": f"{day.day} {day:%B} {day.year}",
    }
    for form, text in forms.items():
        moved = shift_date(text, form, days)
        assert (read_date(moved, form) - day).days == days
        assert read_date(shift_date(moved, form, -days), form) == day


def test_dates_keep_case_width_and_ordinals():
    assert shift_date("MARCH 1, 2019", "bdy", -28) == "FEBRUARY 1, 2019"
    assert shift_date("22nd of May", "db", -1, date(2019, 5, 1)) == "21st of May"
    assert shift_date("04MAR2019", "dby", -7) == "25FEB2019"
    assert shift_date("3/4/19", "mdy", -7) == "2/25/19"
    assert shift_date("03/2019", "my", -28) == "02/2019"
    assert shift_date("2/31/2019", "mdy", -28) == "1/31/2019"


def test_its_own_result_stays_as_it_is():
    text = "Dr. Kwon saw Mary Okonkwo on 03/04/2019, age 93, in Tewksbury, MA. [**Hospital1 18**] MRN: 1234567"
    once = deidentify(text, "p1", RULES)
    again = deidentify(once.text, "p1", RULES, surrogates=[(i.start, i.stop) for i in once.surrogates])
    assert again.text == once.text != text and again.counts == {}


def test_spans_are_carried_along():
    text = "Seen by Dr. Featherstonehaugh: anemia, stable."
    start = text.index("anemia")
    name = text.index("Feather")
    new = deidentify(text, "p1", RULES, [(start, start + 6), (0, len(text)), (name + 3, name + 5)])
    (a, b), whole, inside = new.spans
    assert new.text[a:b] == "anemia" and whole == (0, len(new.text))
    assert inside == (new.surrogates[0].start, new.surrogates[0].stop)


@given(st.text(max_size=80), st.text("[*]/-. \nDr@0123456789MayABz'", max_size=60))
@settings(max_examples=60)
def test_any_text_passes(start, middle):
    text = start + middle
    new = deidentify(text, "p", STRICT, [(0, len(text))])
    assert new.spans == [(0, len(new.text))]
    assert [i.start for i in new.surrogates] == sorted(i.start for i in new.surrogates)
    assert set(new.counts) <= set(KINDS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A note with half a mark [**Known last", "half a mark"),
        ("code 12345678-99999999x and so on", "a number"),
        ("reply to me @ home: a@b", "an email or url"),
        ("stable", ""),
        ("Mr. Okonkwo is well.", ""),
    ],
)
def test_strict_refuses_what_still_looks_identified(text, reason):
    refused = deidentify(text, "p1", STRICT).refused
    assert (reason in refused and refused.startswith("phi: ")) if reason else refused == ""
    assert deidentify(text, "p1", RULES).refused == ""


def test_the_first_of_two_overlapping_finds_stays_whole():
    items = [Found(2, 6, "date", "mdy"), Found(0, 4, "name"), Found(5, 9, "other")]
    assert settle(items, 10) == [Found(0, 2, "name"), Found(2, 6, "date", "mdy"), Found(6, 9, "other")]


def document(text, group="p1", **fields):
    return {"text": text, "group": group, "parts": [], "date": "2019-03-04", "synthetic": False, **fields}


def test_a_document_passes_the_gate_once():
    part = {"kind": "definition", "start": 13, "stop": 19}
    new, counts, refused = deidentify_document(document("Mr. Okonkwo: anemia", parts=[part]), STRICT)
    name, definition = new["parts"]
    assert name["kind"] == "phi.name" and new["text"][definition["start"] : definition["stop"]] == "anemia"
    assert counts == {"name": 1} and refused == "" and "Okonkwo" not in new["text"]
    assert deidentify_document(new, STRICT) == (new, {}, "")
    assert "half a mark" in deidentify_document(document("[**Known last"), STRICT)[2]


def test_what_a_document_states_beside_its_text_moves_with_it():
    new = deidentify_document(document("seen on 03/04/2019"), RULES)[0]
    month, day, year = new["text"].removeprefix("seen on ").split("/")
    assert new["date"] == f"{year}-{month}-{day}" != "2019-03-04"
    assert new["group"] == deidentify_document(document("well"), RULES)[0]["group"] != "p1"
    assert deidentify_document(document("well", date="2019-03"), RULES)[0]["date"] == "2019"
    made = deidentify_document(document("well", synthetic=True), RULES)[0]
    assert (made["group"], made["date"]) == ("p1", "2019-03-04"), "an invented patient is nobody"


def test_documents_without_a_patient_share_no_surrogate():
    texts = ["Mr. Okonkwo has anemia on 03/04/2019.", "Mr. Okonkwo has gout on 03/04/2019."]
    names = {g: {deidentify_document(document(t, g), RULES)[0]["text"].split()[1] for t in texts} for g in ("", "p")}
    assert len(names[""]) == 2 and len(names["p"]) == 1
    groups = {deidentify_document(document(t, ""), RULES)[0]["group"] for t in texts}
    assert len(groups) == 2, "what belongs to nobody belongs to no other"


@pytest.mark.parametrize("template_set", ["a", "f", "g", "h"])
def test_recall_and_precision_on_planted_identifiers(template_set):
    tally = measure(make_notes(template_set, 11, 50))
    assert PLANTED_KINDS == KINDS
    assert tally.recalled.total() >= 0.985 * tally.planted.total(), tally.missed
    assert tally.precise.total() >= 0.97 * tally.found.total(), tally.wrong
