"""Client of the reward service: HTTP with retries, in fixed chunks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import httpx

from medray.core.config import UserError
from medray.serve.schema import RewardEndpoint, RewardReply, RewardRequest, RewardRow

CHUNK_ROWS = 32  # the unit of determinism: rewards depend on what shares their request only through float order
_RETRY_STATUS = frozenset({408, 429, 500, 502, 503, 504})  # Serve answers 500 in text/plain when a replica dies
_BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class RewardError(RuntimeError):
    """The service did not give usable rewards within the deadline."""


class RewardClient:
    """Asks the reward service at `endpoint`. Close it, or use it as a context manager.

    deadline_s bounds one call of `rewards`, all its chunks together: it never waits longer, whatever the service does.
    """

    def __init__(
        self,
        endpoint: RewardEndpoint,
        *,
        deadline_s: float = 300.0,
        request_timeout_s: float = 120.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.endpoint = endpoint
        self.deadline_s = deadline_s
        self.request_timeout_s = request_timeout_s
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=endpoint.url,
            headers={"Authorization": f"Bearer {endpoint.token}"},
            transport=transport,
            trust_env=False,  # a proxy of the environment must never see the rows
        )
        self.num_truncated = 0

    def __enter__(self) -> RewardClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()

    def is_ready(self) -> bool:
        """Whether the service answers for its model; False while it is being started."""
        try:
            reply = self._http.get("/healthz", timeout=self.request_timeout_s)
        except httpx.TransportError:
            return False
        return reply.status_code == 200 and reply.json()["model_id"] == self.endpoint.model_id

    def rewards(self, rows: Sequence[RewardRow]) -> list[float]:
        """Rewards of `rows`, in order, all finite.

        Connection errors, timeouts and 5xx are tried again with back-off (judging is idempotent: a replica that is
        killed loses its requests, and Serve does not repeat them). 401 and 422 are not: UserError.
        Raises RewardError at the deadline, or when the service returns a reward that is not finite.
        """
        stop_at = time.monotonic() + self.deadline_s
        rewards: list[float] = []
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = rows[start : start + CHUNK_ROWS]
            rewards.extend(self._chunk_rewards(chunk, start, stop_at))
        return rewards

    def _chunk_rewards(self, rows: Sequence[RewardRow], start: int, stop_at: float) -> tuple[float, ...]:
        body = RewardRequest(rows=tuple(rows)).model_dump_json().encode()
        reply = RewardReply.model_validate_json(self._post(body, stop_at))
        if reply.model_id != self.endpoint.model_id:
            raise RewardError(
                f"{self.endpoint.url}: expected rewards of model {self.endpoint.model_id}, got {reply.model_id}; "
                "another reward model was deployed meanwhile, start the service again"
            )
        assert len(reply.rewards) == len(rows), f"sent {len(rows)} rows, got {len(reply.rewards)} rewards"
        for offset, reward in enumerate(reply.rewards):
            if not math.isfinite(reward):
                raise RewardError(f"row {start + offset}: reward is {reward}, expected a finite number")
        self.num_truncated += reply.num_truncated
        return reply.rewards

    def _post(self, body: bytes, stop_at: float) -> bytes:
        attempt, problem = 0, "not asked"
        while True:
            left_s = stop_at - time.monotonic()
            if left_s <= 0:
                raise RewardError(f"{self.endpoint.url}: no rewards within {self.deadline_s:g} s; last: {problem}")
            try:
                reply = self._http.post(
                    "/rewards",
                    content=body,
                    headers={"Content-Type": "application/json"},
                    timeout=max(0.05, min(self.request_timeout_s, left_s)),
                )
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                if reply.status_code == 200:
                    return reply.content
                problem = f"{reply.status_code}: {reply.text[:300]}"
                if reply.status_code not in _RETRY_STATUS:
                    raise UserError(f"{self.endpoint.url}: the reward service refused the request: {problem}")
            self._sleep(min(_BACK_OFF_S[min(attempt, len(_BACK_OFF_S) - 1)], max(0.0, stop_at - time.monotonic())))
            attempt += 1
