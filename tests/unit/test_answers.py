"""Reading answers out of completions: the traps of the papers' code, one by one."""

import pytest

from medray.text.answers import extract_choice, extract_option

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


def test_unknown_is_not_no():
    assert extract_option("unknown", ["yes", "no"]) is None
    assert extract_option("Nothing is known", ["yes", "no"]) is None
    assert extract_option("No.", ["yes", "no"]) == 1


def test_options_that_cannot_be_told_apart_are_unparsed():
    assert extract_option("The answer is A-B", ["A-B", "A B", "C"]) is None
    assert extract_option("C", ["A-B", "A B", "C"]) == 2


def test_options_without_words_never_match():
    assert extract_option("+ -", ["+", "-"]) is None


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
        ("The answer is a rash", None),
        ("A patient with fever", None),
        ("The answer is Asthma", None),
        ("unknown", None),
        ("", None),
    ],
)
def test_choice(completion, expected):
    assert extract_choice(completion) == expected
