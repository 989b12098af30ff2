"""Multiple choice as text: options below a question, read again, and named in a completion."""

import pytest

from medray.text.options import named_option, parted, stem, with_options

OPTIONS = ["Liver", "Spleen", "Kidney"]


def asked(text: str, options=OPTIONS) -> dict:
    return {"messages": [{"role": "user", "content": text}], "options": options}


def test_options_stand_below_the_question():
    assert with_options("Which?", OPTIONS) == "Which?\n- Liver\n- Spleen\n- Kidney"
    lettered = with_options("Which?", OPTIONS, "letters")
    assert lettered == "Which?\nA. Liver\nB. Spleen\nC. Kidney"
    assert parted(lettered) == ("Which?", tuple(OPTIONS))
    assert {stem(with_options("Which?", OPTIONS, form), OPTIONS) for form in ("dashes", "letters")} == {"Which?"}
    assert stem("Which?", []) == "Which?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Q?\n\nA. one\n\nB. two\nAnswer with a letter.", ("Q?\n\nAnswer with a letter.", ("one", "two"))),
        ("Q?\n(A) one\n(B) two", ("Q?", ("one", "two"))),
        ("Q?\nA) one\nB: two\nC. three", ("Q?", ("one", "two", "three"))),
        ("A. first list\nB. of facts\nWhich?\nA. x\nB. y\nC. z",
         ("A. first list\nB. of facts\nWhich?", ("x", "y", "z"))),
        ("Hepatitis A. What now?", ("Hepatitis A. What now?", ())),
        ("Q?\nA. only one", ("Q?\nA. only one", ())),
        ("Q?\nB. two\nC. three", ("Q?\nB. two\nC. three", ())),
        ("", ("", ())),
    ],
)  # fmt: skip
def test_options_in_a_text_are_read(text, expected):
    assert parted(text) == expected


def test_letters_count_only_where_they_are_shown():
    dashes, letters = (asked(with_options("Which?", OPTIONS, form)) for form in ("dashes", "letters"))
    assert named_option("The answer is B.", letters) == 1
    assert named_option("The answer is B.", dashes) is None
    assert [named_option("It is the kidney.", prompt) for prompt in (dashes, letters)] == [2, 2]
    assert named_option("The answer is A or C.", letters) is None
    assert named_option("Anything", asked("Open?", [])) is None
