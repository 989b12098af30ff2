"""Multiple choice as text: how options stand in a question, and which of them a completion names."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from medray.text.answers import extract_choice, extract_option

Form = Literal["dashes", "letters"]

_LINE = re.compile(r"^[ \t]*\(?([A-Z])[.):][ \t]+(\S.*?)[ \t]*$")


def with_options(question: str, options: Sequence[str], form: Form = "dashes") -> str:
    """The question and below it a line for each option: "- text", or "A. text"."""
    marks = [f"{letter}." for letter in string.ascii_uppercase] if form == "letters" else ["-"] * len(options)
    return "\n".join([question, *(f"{mark} {option}" for mark, option in zip(marks, options, strict=False))])


def parted(text: str) -> tuple[str, tuple[str, ...]]:
    """A question and the options that stand in it by letter ("A. text", "(B) text", a line each), else all and ().

    The last run of lines that starts at A and has two letters or more; what follows it belongs to the question.
    """
    lines = text.split("\n")
    best: tuple[int, list[int]] = (0, [])
    run: list[int] = []
    for number, line in enumerate(lines):
        found = _LINE.match(line)
        if found and found[1] == string.ascii_uppercase[len(run) % 26]:
            run.append(number)
        elif line.strip():
            run = [number] if found and found[1] == "A" else []
        if len(run) > 1:
            best = (run[0], list(run))
    start, chosen = best
    if not chosen:
        return text, ()
    options = tuple(_LINE.match(lines[number])[2] for number in chosen)
    return "\n".join([*lines[:start], *lines[chosen[-1] + 1 :]]).strip(), options


def named_option(completion: str, prompt: Mapping[str, Any]) -> int | None:
    """Index of the option that a completion commits to, by its letter too where the prompt shows letters; or None.

    prompt: a row of PROMPT.
    """
    options = prompt["options"]
    if not options or parted(prompt["messages"][-1]["content"])[1] != tuple(options):
        return extract_option(completion, options)
    letters = dict(zip(string.ascii_uppercase, options, strict=False))
    letter = extract_choice(completion, letters)
    return None if letter is None else list(letters).index(letter)


def stem(question: str, options: Sequence[str]) -> str:
    """The question without the options that `with_options` has put below it."""
    for form in ("dashes", "letters") if options else ():
        question = question.removesuffix(with_options("", options, form))
    return question
