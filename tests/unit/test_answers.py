"""Reading answers out of completions: the traps of the papers' code, one by one."""

import pytest

from medray.text.answers import extract_choice, extract_label, extract_number, extract_option, extract_span

ORGANS = ["Heart", "Heart valve", "Kidney", "Abnormality of the eye"]


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("Heart", 0),
        ("heart.", 0),
        ("- Kidney", 2),
        ("  KIDNEY!\n", 2),
        ("The answer is the kidney.", 2),
        ("**Abnormality-of the eye**", 3),
        ("The answer is: abnormality of the   eye", 3),
        ("It affects the heart valve.", 1),  # the heart inside it is no second mention
        ("Heart valve, because the heart pumps", None),  # here the heart is named on its own as well
        ("Heart or kidney", None),
        ("Heart or kidney? The answer is kidney.", 2),
        ("The answer is heart. No: the correct answer is the kidney.", 2),
        ("Answer: Heart valve (not the kidney)", 1),
        ("It is not the kidney", None),
        ("It isn't the heart but the kidney", 2),
        ("The answer is not the heart. Kidney.", 2),
        ("hearts and kidneys", None),
        ("eyebrow", None),
        ("", None),
        ("liver", None),
    ],
)
def test_option(completion, expected):
    assert extract_option(completion, ORGANS) == expected


def test_a_long_completion_names_what_it_says_the_answer_is():
    talk = "These medicines are given for many reasons, and a doctor weighs what the patient has had before. " * 2
    assert extract_option(talk + "The first choice here would be the kidney.", ORGANS) == ORGANS.index("Kidney")
    assert extract_option("Kidney: " + talk, ORGANS) == ORGANS.index("Kidney")
    for aside in ("One has kidney-like organs.", "Conditions include the kidney,", "The kidney matters."):
        assert extract_option(talk + aside, ORGANS) is None
        assert extract_option(aside, ORGANS) == ORGANS.index("Kidney")


def test_unknown_is_not_no():
    assert extract_option("unknown", ["yes", "no"]) is None
    assert extract_option("Nothing is known", ["yes", "no"]) is None
    assert extract_option("No.", ["yes", "no"]) == 1


def test_options_that_cannot_be_told_apart_are_unparsed():
    assert extract_option("The answer is A-B", ["A-B", "A B", "C"]) is None
    assert extract_option("C", ["A-B", "A B", "C"]) == 2


def test_options_without_words_never_match():
    assert extract_option("+ -", ["+", "-"]) is None


OPTIONS = {"A": "Asthma", "B": "Pneumonia", "C": "Pulmonary embolism", "D": "None of these", "I": "Iron"}


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("The Answer is C", "C"),  # not the A of Answer
        ("C", "C"),
        (" (B) because", "B"),
        ("D. text", "D"),
        ("Answer: A\nNo, the answer is (D).", "D"),
        (r"The answer is \boxed{B}", "B"),
        ("The answer is **B**", "B"),
        ("Fever and cough.\n\nTherefore, the most likely diagnosis is **(C) Pulmonary embolism**.", "C"),
        ("Fever and cough.\n\n**B)** Pneumonia", "B"),
        ("The best option would be most likely (C).", "C"),
        ("The correct answer is:\n\n**(I) Iron**", "I"),
        ("A. Asthma\nB. Pneumonia\nI would go with (B).", "B"),  # the options, repeated, state nothing
        ("A. Asthma\nB. Pneumonia\nHard to say", None),
        ("- (A) fits badly\n- (B) fits: fever\n\nThe answer is B, not A", "B"),
        ("It is pneumonia.", "B"),
        ("Pneumonia or asthma", None),
        ("The answer is A or C", None),
        ("The answer is (A) and (C)", None),
        ("The answer is (A) Pulmonary embolism", None),
        ("The answer is not B", None),
        ("The answer cannot be (B).", None),
        ("The answer is a rash", None),
        ("The answer is A rash", None),
        ("The answer is vitamin D", None),
        ("The answer is Z", None),
        ("I think it is hard", None),
        ("A patient with fever", None),
        ("The answer is Asthmatic", None),
        ("unknown", None),
        ("", None),
    ],
)
def test_choice(completion, expected):
    assert extract_choice(completion, OPTIONS) == expected


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("Yes", "yes"),
        ("No, since there is no difference and yes-men wrote it", "no"),
        ("**Maybe**, not yes", "maybe"),
        ("The data say yes at first. The answer is no.", "no"),
        ("The answer is yes. On reflection the answer is: maybe", "maybe"),
        ("There is no clear yes", None),
        ("Hence it must be yes.", "yes"),
        ("unknown", None),
        ("", None),
    ],
)
def test_label(completion, expected):
    assert extract_label(completion) == expected


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("12.5 mg", 12.5),
        ("3 tablets of 5 mg, so the answer is 15 mg", 15),
        ("2 + 2 = 4. 4 * 1,000 = 4,000 ml", 4000),
        (r"\boxed{-7}", -7),
        ("The answer is **−3**", -3),
        ("about 1e-3", 0.001),
        ("between 3 and 5", None),
        ("grade3 tumour", None),
        ("none", None),
    ],
)
def test_number(completion, expected):
    assert extract_number(completion) == expected


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("Final answer: **acute renal failure**.", "acute renal failure"),
        ("The answer is asthma.\nNo.\nThe answer is COPD", "COPD"),
        ("aspirin", "aspirin"),
        ("It could be this.\nOr that.", None),
        ("", None),
    ],
)
def test_span(completion, expected):
    assert extract_span(completion) == expected
