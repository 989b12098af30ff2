"""What goes over the wire to the reward service and back. Light: clients import it without Ray Serve."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_ROWS = 256
MAX_MESSAGES = 64
MAX_BODY_BYTES = 64 * 2**20  # of a request: MAX_ROWS of MAX_CHARACTERS in UTF-8, four bytes each
MAX_CHARACTERS = 64_000  # of one row, prompt and completion together: far above any max_tokens in use


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Message(_Strict):
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=MAX_CHARACTERS)


class RewardRow(_Strict):
    """A prompt (its messages) and one completion of it. An empty completion is allowed: models do sample them."""

    messages: tuple[Message, ...] = Field(min_length=1, max_length=MAX_MESSAGES)
    completion: str = Field(max_length=MAX_CHARACTERS)

    @model_validator(mode="after")
    def _check(self) -> RewardRow:
        num_characters = len(self.completion) + sum(len(m.content) for m in self.messages)
        if num_characters > MAX_CHARACTERS:
            raise ValueError(f"row: expected at most {MAX_CHARACTERS} characters, got {num_characters}")
        if self.messages[-1].role != "user":
            raise ValueError(f"messages: expected a user message last, got {self.messages[-1].role!r}")
        return self


class RewardRequest(_Strict):
    """Rows to judge; one request is one deterministic unit of work."""

    rows: tuple[RewardRow, ...] = Field(min_length=1, max_length=MAX_ROWS)


class RewardReply(_Strict):
    """Rewards in the order of the request's rows; `num_truncated` rows lost the end of their prompt."""

    rewards: tuple[float, ...]
    model_id: str
    num_truncated: int = 0


class RewardEndpoint(NamedTuple):
    """Where a reward model answers. Picklable; `token` is a secret of the run: never log or store it."""

    url: str
    token: str
    model_id: str

    def __repr__(self) -> str:
        return f"RewardEndpoint(url={self.url!r}, model_id={self.model_id!r})"
