"""Calls that wait while others are computed, computed together: many small calls cost what few large ones do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from medray.core.config import UserError
from medray.serve.schema import RewardRow

Judged = tuple[list[float], list[bool]]
"""Rewards of rows, and whether each lost the end of its prompt."""
Call = tuple[tuple[RewardRow, ...], asyncio.Future[Judged]]


class Batcher:
    """Runs `judge` on one thread, on a call's rows or on those of all waiting calls up to `merge_rows`.

    With merge_rows = 0 a call is computed alone, so that its rewards depend on its rows and nothing else. A call whose
    caller has gone is not computed; a call that cannot be judged fails alone.
    """

    def __init__(self, judge: Callable[[Sequence[RewardRow]], Judged], merge_rows: int):
        self._judge, self._merge_rows = judge, merge_rows
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reward")
        self._waiting: deque[Call] = deque()
        self._work: asyncio.Task[None] | None = None

    async def judged(self, rows: tuple[RewardRow, ...]) -> Judged:
        """What `judge` says of these rows; raises what it raises for them."""
        found: asyncio.Future[Judged] = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, found))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._compute())
        return await found

    async def _compute(self) -> None:
        while calls := self._taken():
            await self._answer(calls)

    def _taken(self) -> list[Call]:
        calls: list[Call] = []
        while self._waiting:
            num_rows = sum(len(rows) for rows, _ in calls) + len(self._waiting[0][0])
            if calls and num_rows > self._merge_rows:
                break
            call = self._waiting.popleft()
            if not call[1].done():
                calls.append(call)
        return calls

    async def _answer(self, calls: list[Call]) -> None:
        rows = [row for asked, _ in calls for row in asked]
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._judge, rows)
        await asyncio.wait([work])
        error = work.exception()
        if isinstance(error, UserError) and len(calls) > 1:  # whose row it is, only each call by itself can tell
            for call in calls:
                await self._answer([call])
            return
        rewards, cut = ([], []) if error else work.result()
        start = 0
        for asked, found in calls:
            stop = start + len(asked)
            if not found.done():  # its caller is still there
                found.set_exception(error) if error else found.set_result((rewards[start:stop], cut[start:stop]))
            start = stop
