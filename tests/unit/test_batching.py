"""Calls computed together: who waits is merged, nobody gets another's rewards, errors and absences stay alone."""

import asyncio
import threading

import pytest

from medray.core.config import UserError
from medray.serve.batching import Batcher
from medray.serve.schema import RewardRow

pytestmark = pytest.mark.timeout(30)


def rows(*completions):
    return tuple(
        RewardRow.model_validate({"messages": [{"role": "user", "content": "?"}], "completion": text})
        for text in completions
    )


class Judge:
    """Rewards are lengths; "bad" cannot be judged; the first call waits until it is let go."""

    def __init__(self):
        self.batches, self.go = [], threading.Event()

    def __call__(self, asked):
        self.batches.append([row.completion for row in asked])
        assert self.go.wait(20)
        if any(row.completion == "bad" for row in asked):
            raise UserError("rows.0.completion: too long")
        if any(row.completion == "broken" for row in asked):
            raise RuntimeError("no memory")
        return [float(len(row.completion)) for row in asked], [row.completion == "cut" for row in asked]


def run(merge_rows, *calls, leaves=None):
    """What each call got, and the batches; all but the first wait while the first is computed."""
    judge = Judge()

    async def all_calls():
        batcher = Batcher(judge, merge_rows)
        tasks = []
        for call in calls:
            tasks.append(asyncio.create_task(batcher.judged(call)))
            while not judge.batches:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        if leaves is not None:
            tasks[leaves].cancel()
        judge.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(all_calls()), judge.batches


def test_waiting_calls_are_computed_together_and_each_gets_its_own():
    found, batches = run(3, rows("a"), rows("bb"), rows("cut", "dddd"), rows("eeeee"))
    assert found == [([1.0], [False]), ([2.0], [False]), ([3.0, 4.0], [True, False]), ([5.0], [False])]
    assert batches == [["a"], ["bb", "cut", "dddd"], ["eeeee"]]


def test_alone_unless_told_and_a_large_call_is_never_divided():
    _, batches = run(0, rows("a"), rows("b"), rows("c", "d"))
    assert batches == [["a"], ["b"], ["c", "d"]]
    _, batches = run(2, rows("a"), rows("b", "c", "d"), rows("e"))
    assert batches == [["a"], ["b", "c", "d"], ["e"]]


def test_a_call_that_cannot_be_judged_fails_alone():
    found, batches = run(8, rows("a"), rows("bb"), rows("bad"), rows("ccc"))
    assert [type(one) for one in found] == [tuple, tuple, UserError, tuple] and found[3] == ([3.0], [False])
    assert batches[1:] == [["bb", "bad", "ccc"], ["bb"], ["bad"], ["ccc"]]


def test_a_fault_reaches_every_caller_and_the_next_is_served():
    found, _ = run(2, rows("a"), rows("broken"), rows("bb"), rows("ccc"))
    assert [type(one) for one in found] == [tuple, RuntimeError, RuntimeError, tuple]


def test_who_has_gone_is_not_computed():
    found, batches = run(8, rows("a"), rows("bb"), rows("ccc"), leaves=1)
    assert isinstance(found[1], asyncio.CancelledError) and batches == [["a"], ["ccc"]]
