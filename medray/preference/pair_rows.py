"""Rows of preference sets as pairs: chosen and rejected, Human/Assistant transcripts, and models ranked by strength."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from medray.tables.adopted import AdoptedFile
from medray.tables.conversations import check_turns, turns, whole_text, with_system
from medray.tables.formats import BadRow, Fields

_TURN = re.compile(r"\n\n(Human|Assistant):")
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}


class PairFile(AdoptedFile):
    """One preference set, and how its rows become pairs."""

    format: Literal["pairs", "transcripts", "models"]
    """pairs: `chosen` and `rejected`, each an answer as text, or messages that end with it (UltraFeedback binarized,
    Snorkel-Mistral-PairRM-DPO, UltraMedical-Preference, preference_700K); transcripts: both as "\\n\\nHuman: ...
    \\n\\nAssistant: ..." (hh-rlhf); models: `responses`, an object of answers by model."""
    prompt_field: str = "prompt"
    """Text or messages of the question, where chosen is the answer alone."""
    chosen_reward_field: str = ""
    """What was given for the chosen answer, a number or text of one; dots lead into objects. "": nothing, and 1 and 0
    stand in the table."""
    rejected_reward_field: str = ""
    stronger: tuple[tuple[str, str], ...] = ()
    """Of the models: each (chosen, rejected) that makes a pair."""
    system: str = ""
    """A system message for every conversation that has none; empty: none."""
    task: str = ""
    """Empty: the file's name."""
    max_pairs: int | None = Field(default=None, ge=1)
    """So many are drawn in hash order, after all others have been left out; None: all."""

    @model_validator(mode="after")
    def _is_sound(self) -> PairFile:
        if (self.format == "models") != bool(self.stronger):
            raise ValueError('stronger belongs to the format "models": give both, or none')
        if bool(self.chosen_reward_field) != bool(self.rejected_reward_field):
            raise ValueError("chosen_reward_field and rejected_reward_field belong together: give both, or none")
        return self


def pairs_row(file: PairFile, fields: Fields) -> Fields:
    """The row as `messages` that end with the user's, and `pairs` of it, each with chosen, rejected, both rewards and
    source; `text` is all of the question.

    Answers may be blank. Raises BadRow for what is no pair: a field that is missing, answers to two questions.
    """
    if file.format == "models":
        messages, pairs = _asked(file, fields), _by_model(file, fields)
    else:
        (messages, chosen), (others, rejected) = (_side(file, fields, name) for name in ("chosen", "rejected"))
        if messages != others:
            raise BadRow("chosen and rejected answer two questions, expected one")
        rewards = _rewards(file, fields)
        pairs = [{"chosen": chosen, "rejected": rejected, "source": file.name, **rewards}]
    messages = with_system(messages, file.system)
    check_turns(messages, "user")
    return {"messages": messages, "pairs": pairs, "text": whole_text(messages)}


def _asked(file: PairFile, fields: Fields) -> list[dict[str, str]]:
    found = fields.get(file.prompt_field)
    if isinstance(found, str):
        return [{"role": "user", "content": found.strip()}]
    return turns("messages", fields, file.prompt_field)


def _side(file: PairFile, fields: Fields, name: str) -> tuple[list[dict[str, str]], str]:
    """The question and the answer of one side."""
    found = fields.get(name)
    if file.format == "transcripts":
        messages = _transcript(found, name)
    elif isinstance(found, str):
        return _asked(file, fields), found.strip()
    else:
        messages = turns("messages", fields, name)
    if messages[-1]["role"] != "assistant":
        raise BadRow(f"{name} ends with {messages[-1]['role']}, expected the assistant's answer")
    return messages[:-1] or _asked(file, fields), messages[-1]["content"]


def _transcript(text: Any, name: str) -> list[dict[str, str]]:
    if not isinstance(text, str) or not (parts := _TURN.split(text))[1:] or parts[0].strip():
        raise BadRow(f'{name} is no transcript, expected "Human:" and "Assistant:" after blank lines')
    spoken = zip(parts[1::2], parts[2::2], strict=True)
    return [{"role": _SPEAKERS[speaker], "content": said.strip()} for speaker, said in spoken]


def _rewards(file: PairFile, fields: Fields) -> dict[str, float]:
    if not file.chosen_reward_field:
        return {"chosen_reward": 1.0, "rejected_reward": 0.0}
    names = {"chosen_reward": file.chosen_reward_field, "rejected_reward": file.rejected_reward_field}
    found = {key: _inside(fields, name.split(".")) for key, name in names.items()}
    try:
        rewards = {key: float(value) for key, value in found.items()}
    except (TypeError, ValueError):
        rewards = {"": float("nan")}
    if any(value != value or value in (float("inf"), -float("inf")) for value in rewards.values()):
        raise BadRow(f"{' and '.join(names.values())} are {', '.join(map(repr, found.values()))}, expected numbers")
    return rewards


def _inside(value: Any, names: Sequence[str]) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _by_model(file: PairFile, fields: Fields) -> list[dict[str, Any]]:
    answers = fields.get("responses")
    if not isinstance(answers, dict):
        raise BadRow("no responses, expected an object of answers by model")
    if missing := [name for name in dict.fromkeys(sum(file.stronger, ())) if not isinstance(answers.get(name), str)]:
        raise BadRow(f"no answer of {', '.join(missing)}, found {', '.join(answers) or 'none'}")
    return [
        {"chosen": answers[a].strip(), "rejected": answers[b].strip(), "source": f"{a}>{b}", "chosen_reward": 1.0,
         "rejected_reward": 0.0}
        for a, b in file.stronger
    ]  # fmt: skip
