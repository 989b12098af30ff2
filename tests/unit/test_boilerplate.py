"""Boilerplate: every rule cuts what it names and leaves what looks like it; spans stay right."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medray.text.boilerplate import _PATTERNS, _RULES, BoilerplateRules, without_boilerplate
from medray.text.boilerplate import ALL_BOILERPLATE as ALL
from medray.text.normalize import CleanRules, clean

LOOSE = CleanRules(
    min_words=1, max_words=10_000, max_symbol_fraction=1, max_repeated_line_fraction=1, max_repeated_ngram_fraction=1
)


@pytest.mark.parametrize(
    ("rule", "text", "rest"),
    [
        # PubMed abstracts, as they lie in the Hallmarks of Cancer corpus
        ("abstract_truncated", "predictors of survival.(ABSTRACT TRUNCATED AT 250 WORDS )", "predictors of survival."),
        ("abstract_truncated", "receiving the drug. (ABSTRACT TRUNCATED)\nNext.", "receiving the drug.\nNext."),
        ("copyright", "adenomas in Apc(min/+) . © 2012 Wiley Periodicals , Inc .", "adenomas in Apc(min/+) . "),
        # the notices that publishers send to PubMed
        ("copyright", "They grew. Copyright © 2019 Elsevier. All rights reserved.", "They grew. "),
        ("copyright", "They grew. Copyright (c) 2010 John Wiley & Sons, Ltd.", "They grew. "),
        ("copyright", "They grew. Copyright 2003 S. Karger AG, Basel", "They grew. "),
        ("copyright", "They grew. Crown Copyright © 2014. Published by Elsevier Ltd.", "They grew. "),
        ("copyright", "They grew. © The Author(s) 2020. Published by Oxford University Press.", "They grew. "),
        ("copyright", "They grew. Published by Elsevier B.V.", "They grew. "),
        ("copyright", "Ends. This article is protected by copyright. All rights reserved.\nMore.", "Ends. \nMore."),
        ("copyright", "They grew. (PsycINFO Database Record (c) 2016 APA, all rights reserved).", "They grew. "),
        # MedQuAD: sites of the NIH
        ("click_here", "It may ache. Click here to view a diagram of the foot.\nWhat now?", "It may ache. \nWhat now?"),
        ("click_here", "It may blur. Click here to view a diagram of the eye. Even so", "It may blur. Even so"),
        ("click_here", "Ask. To view the contact information for these laboratories, click here. Then", "Ask. Then"),
        ("click_here", "Ask.\n- Click here to see trials on melanoma at www.cancer.gov today.\nb", "Ask.\n\nb"),
        ("site_notice", "a\nThis information is not copyrighted. The NIDDK encourages people to share it.\nb", "a\nb"),
        ("site_notice", "a\n  This graphic notice means that you are leaving an HHS Web site. See the policy.", "a\n"),
        # web text, as in C4 and RefinedWeb
        ("javascript", "a\nPlease enable JavaScript to view the comments.\nb", "a\nb"),
        ("site_policy", "a\nThis site uses cookies to improve your experience.\nb", "a\nb"),
        ("site_policy", "a\nSee our Privacy Policy\nb", "a\nb"),
        ("lorem_ipsum", "Lorem ipsum dolor sit amet.\nb", "b"),
        ("navigation", "a\nSign in to save searches\nb", "a\nb"),
        ("navigation", "a\nNew drug approved Read more...\nb", "a\nb"),
        ("navigation", "a\n3 items in cart\nb", "a\nb"),
        ("navigation", "a\nSubscribe to our newsletter\nb", "a\nb"),
    ],
)  # fmt: skip
def test_each_rule_cuts_what_it_names_and_is_counted(rule, text, rest):
    only = BoilerplateRules(rules=(rule,), max_characters=500)
    assert without_boilerplate(text, (), only) == (rest, [], Counter({rule: 1}))
    assert without_boilerplate(text, (), ALL) == (rest, [], Counter({rule: 1}))
    others = ALL.model_copy(update={"rules": tuple(name for name in _RULES if name != rule)})
    assert without_boilerplate(text, (), others)[0] == text


@pytest.mark.parametrize(
    "text",
    [
        "The colonic temperature ( T(c) ) responses in 2001 were lower.",
        "criteria were (a) 1990 onset, (b) 1995 onset and (c) 2010 onset.",
        "Grisar v. Copyright Office, and the Copyright Act of 1976, are cited.",
        "The guideline was published by Elsevier and the society.",
        "The trial was truncated at 250 words. abstract truncated at last",
        "High-grade tumors usually grow and spread more quickly than others.",
        "To read more about the different types, see the list below.",
        "foods made with hydrogenated oils, such as cookies, cakes and pies",
        "The children did subscribe to the study and could sign in with a code.",
        "Patients sign in to the ward with a nurse, who reads the consent form to them before the study begins.",
        "They click heretofore unseen.",
    ],
)
def test_what_looks_like_it_stays(text):
    assert without_boilerplate(text, (), ALL) == (text, [], Counter())


def test_a_long_paragraph_stays():
    text = "The app was written in JavaScript. " + "We asked patients how they used it. " * 20
    assert without_boilerplate(text, (), ALL) == (text, [], Counter())
    assert without_boilerplate(text, (), ALL.model_copy(update={"max_characters": 5000}))[0] == ""
    line = "Please enable JavaScript."
    assert without_boilerplate(line, (), ALL.model_copy(update={"max_characters": len(line)}))[0] == ""
    assert without_boilerplate(line, (), ALL.model_copy(update={"max_characters": len(line) - 1}))[0] == line


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece",
    ["a. ", "word ", "read more ", ". copyright by the authors, ", "javascript ", ". psycinfo database record ", "\n",
     "sign in ", ". Published by ", ". click here and ", "(abstract truncated "],
)  # fmt: skip
def test_a_megabyte_of_almost_boilerplate_takes_no_time(piece):
    """Quadratic patterns would take minutes."""
    text = piece * (1_000_000 // len(piece)) + "copyright (abstract truncated click here read more"
    without_boilerplate(text, (), ALL)


@pytest.mark.parametrize("name", _RULES)
@given(st.data())
def test_the_search_for_words_misses_no_match(name, data):
    """What the pattern finds holds, in small letters, one of the words that a text is searched for first."""
    text = data.draw(st.from_regex(_PATTERNS[name]))
    for match in _PATTERNS[name].finditer(text):
        assert any(word in text.lower() for word in _RULES[name].words), match.group()


def test_clean_cuts_before_it_judges_and_tidies_up():
    title, body = "Melanoma", "Cells grew.  (ABSTRACT TRUNCATED AT 250 WORDS)"
    text = f"{title}\n\n{body}\n\nPlease enable JavaScript.\n\nThe end."
    spans = [(0, 8), (10, 10 + len(body)), (len(text) - 8, len(text))]
    rules = LOOSE.model_copy(update={"boilerplate": ALL})
    found = clean([text, "Please enable JavaScript."], [spans, []], rules)
    assert found.texts == ["Melanoma\n\nCells grew.\n\nThe end.", ""]
    assert [found.texts[0][start:stop] for start, stop in found.spans[0]] == ["Melanoma", "Cells grew.", "The end."]
    assert found.reasons == ["", "too_short"]
    assert found.removed == [Counter(abstract_truncated=1, javascript=1), Counter(javascript=1)]
    plain = clean([text], [spans], LOOSE)
    assert plain.texts == [text.replace("  (", " (")] and plain.removed == [Counter()]


@given(
    st.lists(st.sampled_from(["Click here now. ", "© 2012 Wiley", "a b. ", "\n", "Privacy policy", "x"]), max_size=9)
)
def test_spans_stay_inside_and_off_means_untouched(pieces):
    text = "".join(pieces)
    spans = [(0, len(text)), (len(text) // 2, len(text))]
    rest, moved, cut = without_boilerplate(text, spans, ALL)
    assert moved[0] == (0, len(rest)) and 0 <= moved[1][0] <= moved[1][1] == len(rest)
    assert (rest == text) == (not cut)
    again = without_boilerplate(text, (), ALL)
    assert (again[0], again[2]) == (rest, cut)
