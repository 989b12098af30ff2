"""Teachers and judges behind an OpenAI-compatible endpoint, within a budget."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel, Field, ValidationError

from medray.core.access import Access, require_at_most
from medray.core.config import UserError
from medray.generate.config import Endpoint, EndpointPlacement
from medray.generate.replies import Question, Replies, Reply

_RETRY_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_LONGEST_BACK_OFF_S = 60.0
_ENVELOPE_TOKENS = 16
"""What a chat format adds to a message, at most."""


class TeacherError(RuntimeError):
    """The endpoint did not give a usable reply within the attempts."""


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Body(BaseModel):
    model: str = ""
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage


class Teacher(Replies):
    """Asks an endpoint.

    replies: a directory of replies; those that lie there count for the budget. access: of the rows that the questions
    are made of. Raises UserError when the endpoint may not receive them, or has no key.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        replies: Path,
        access: Access,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ):
        place = endpoint.placement
        require_at_most(access, endpoint.access, f"endpoint {place.base_url}", [endpoint.model])
        host = httpx.URL(place.base_url).host
        if place.base_url.startswith("http:") and host not in ("127.0.0.1", "localhost", "::1"):
            raise UserError(f"endpoint {place.base_url}: plain http to another machine, expected https: use https")
        super().__init__(replies)
        self.endpoint, self._sleep = endpoint, sleep
        self._http = httpx.Client(
            base_url=place.base_url,
            headers=_authorization(place),
            timeout=place.timeout_s,
            transport=transport,
            trust_env=False,  # a proxy of the environment must never see the rows
        )
        self._pace, self._next_at = threading.Lock(), 0.0

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def model(self) -> str:
        """The endpoint's name of it."""
        return self.endpoint.model

    def parameters(self) -> dict[str, Any]:
        """As they are sent."""
        found = self.endpoint
        sent = {"temperature": found.temperature, "top_p": found.top_p, "max_tokens": found.max_tokens}
        return sent if found.rng_seed is None else {**sent, "seed": found.rng_seed}

    def answer(self, todo: Mapping[str, Question], keep: Callable[[Reply], None]) -> None:
        """Ask `concurrency` at a time."""
        running: dict[Future[Reply], tuple[int, float]] = {}
        with ThreadPoolExecutor(self.endpoint.placement.concurrency) as pool:
            try:
                for key, question in todo.items():
                    most = self._most(question)
                    while running and (
                        len(running) >= self.endpoint.placement.concurrency or not self._affords(running, most)
                    ):
                        _settle(running, keep)
                    if not self._affords(running, most):
                        raise UserError(self._spent(len(todo), question, most))
                    running[pool.submit(self._reply, key, question)] = most
                while running:
                    _settle(running, keep)
            finally:  # what is under way is paid for: keep it, whatever happened to the others
                for future in running:
                    future.cancel()
                for future in wait(running).done:
                    if not future.cancelled() and future.exception() is None:
                        keep(future.result())

    def _most(self, question: Question) -> tuple[int, float]:
        """Tokens and cost that a request cannot exceed: a token has at least one byte."""
        tokens_in = sum(len(m["content"].encode()) + _ENVELOPE_TOKENS for m in question.messages)
        tokens_out = self.endpoint.max_tokens
        return tokens_in + tokens_out, self.endpoint.budget.cost(tokens_in, tokens_out)

    def _affords(self, running: dict[Future[Reply], tuple[int, float]], most: tuple[int, float]) -> bool:
        tokens = self.tokens + sum(tokens for tokens, _ in running.values()) + most[0]
        cost = self.cost + sum(cost for _, cost in running.values()) + most[1]
        return tokens <= self.endpoint.budget.max_tokens and cost <= self.endpoint.budget.max_cost

    def _spent(self, num_todo: int, question: Question, most: tuple[int, float]) -> str:
        budget = self.endpoint.budget
        return (
            f"endpoint {self.endpoint.model}: {self.tokens:,} of {budget.max_tokens:,} tokens and {self.cost:.2f} of "
            f"{budget.max_cost:.2f} are spent, the request for {question.id!r} may take {most[0]:,} tokens and "
            f"{most[1]:.4f} more; {len(self._known):,} replies are kept in {self._directory}: raise the budget, "
            "run again"
        )

    def _reply(self, key: str, question: Question) -> Reply:
        body = {"model": self.endpoint.model, "messages": list(question.messages), **self.parameters()}
        problem = ""
        for attempt in range(self.endpoint.placement.max_attempts):
            self._await_turn()
            begun, wait_s = time.monotonic(), min(2.0**attempt, _LONGEST_BACK_OFF_S)
            try:
                reply = self._http.post("chat/completions", json=body)
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                if reply.status_code == 200:
                    try:
                        return self._made(key, question, _Body.model_validate_json(reply.content), begun)
                    except ValidationError as error:
                        problem = f"not a chat completion ({error.errors()[0]['msg']}): {reply.text[:200]}"
                else:
                    problem = f"{reply.status_code}: {reply.text[:300]}"
                    if reply.status_code not in _RETRY_STATUS:
                        raise UserError(
                            f"endpoint {self.endpoint.placement.base_url}: refused {question.id!r}: {problem}"
                        )
                    wait_s = _asked_wait(reply) or wait_s
            self._sleep(min(wait_s, _LONGEST_BACK_OFF_S))
        raise TeacherError(
            f"endpoint {self.endpoint.placement.base_url}: no reply to {question.id!r} in "
            f"{self.endpoint.placement.max_attempts} attempts; last: {problem}"
        )

    def _made(self, key: str, question: Question, body: _Body, begun: float) -> Reply:
        usage, choice = body.usage, body.choices[0]
        return Reply(
            key=key, id=question.id, model=self.endpoint.model, served_model=body.model,
            prompt_version=question.prompt_version, parameters=self.parameters(), text=choice.message.content or "",
            finish_reason=choice.finish_reason or "", tokens_in=usage.prompt_tokens, tokens_out=usage.completion_tokens,
            cost=self.endpoint.budget.cost(usage.prompt_tokens, usage.completion_tokens),
            seconds=time.monotonic() - begun,
        )  # fmt: skip

    def _await_turn(self) -> None:
        """Requests begin at least 60 / requests_per_minute seconds apart, those tried again too."""
        with self._pace:
            now = time.monotonic()
            turn = max(now, self._next_at)
            self._next_at = turn + 60 / self.endpoint.placement.requests_per_minute
        if turn > now:
            self._sleep(turn - now)


def _settle(running: dict[Future[Reply], tuple[int, float]], keep: Callable[[Reply], None]) -> None:
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        reply = future.result()
        del running[future]
        keep(reply)


def _authorization(place: EndpointPlacement) -> dict[str, str]:
    if not place.key_variable:
        return {}
    name = place.key_variable
    if not (key := os.environ.get(name)):
        raise UserError(f"endpoint {place.base_url}: {name} is not set, expected its key: export {name}=...")
    return {"Authorization": f"Bearer {key}"}


def _asked_wait(reply: httpx.Response) -> float | None:
    try:
        return max(0.0, float(reply.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
