"""What a teacher or judge replies: one row per question, kept whole, never asked for twice.

Every reply is a line of a file: what was asked (by hash), which model said what under which parameters, and what it
cost. The files are the cache, the evidence and the account of the budget; a killed run goes on from them.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from medray.core.config import UserError
from medray.core.identity import content_id


class Question(NamedTuple):
    """One request. prompt_version names the template that made the messages."""

    id: str
    messages: Sequence[dict[str, str]]
    prompt_version: str


class Reply(BaseModel):
    """One line of a file."""

    key: str
    id: str
    model: str
    served_model: str
    prompt_version: str
    parameters: dict[str, Any]
    text: str
    finish_reason: str
    tokens_in: int
    tokens_out: int
    cost: float
    seconds: float


class Replies(ABC):
    """A model that is asked, each question once. Close it, or use it as a context manager.

    directory: with a file of replies for each call of `ask`; those that lie there are read first, and count for what
    was spent: tokens, and cost.
    """

    def __init__(self, directory: Path):
        self._directory = directory
        self._known = {reply.key: reply for path in sorted(directory.glob("*.jsonl")) for reply in _read(path)}
        self.tokens = sum(reply.tokens_in + reply.tokens_out for reply in self._known.values())
        self.cost = sum(reply.cost for reply in self._known.values())

    def __enter__(self) -> Replies:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Let go of what it was asked through."""

    @property
    @abstractmethod
    def model(self) -> str:
        """Who is asked."""

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """How it is asked: with the model, the question and its prompt version, all that decides a reply."""

    @abstractmethod
    def answer(self, todo: Mapping[str, Question], keep: Callable[[Reply], None]) -> None:
        """Keep a reply to each of the questions, by key, in any order; what was kept stays when it raises."""

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """A reply to each question, in order; those that were answered before are not asked again.

        Raises UserError when the budget does not hold the next request (what came is kept), or a request is refused;
        TeacherError when its attempts are used up. Questions with equal messages share one reply.
        """
        keys = [self._key(question) for question in questions]
        todo = {key: q for key, q in zip(keys, questions, strict=True) if key not in self._known}
        if todo:
            self._directory.mkdir(parents=True, exist_ok=True)
            path = self._directory / f"part-{len(list(self._directory.glob('*.jsonl'))):05d}.jsonl"
            with path.open("x") as file:

                def keep(reply: Reply) -> None:
                    file.write(reply.model_dump_json() + "\n")
                    file.flush()
                    self._known[reply.key] = reply
                    self.tokens += reply.tokens_in + reply.tokens_out
                    self.cost += reply.cost

                self.answer(todo, keep)
        return [self._known[key].model_copy(update={"id": q.id}) for key, q in zip(keys, questions, strict=True)]

    def _key(self, question: Question) -> str:
        return content_id(list(question.messages), question.prompt_version, self.model, self.parameters())


def _read(path: Path) -> list[Reply]:
    """The lines of a file; a last one that a kill has cut is removed. Raises UserError for any other bad one."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    replies = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            replies.append(Reply.model_validate(json.loads(line)))
        except (ValueError, ValidationError) as error:
            raise UserError(
                f"{path}, line {number}: not a reply ({error}), expected one row: mend or remove it"
            ) from error
    return replies
