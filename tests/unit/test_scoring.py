"""The reward client: chunks, order, retries, deadlines, and what it refuses."""

import json

import httpx
import pytest
from pydantic import ValidationError

from medray.core.config import UserError
from medray.generate.scoring import CHUNK_ROWS, RewardClient, RewardError
from medray.serve.schema import MAX_CHARACTERS, RewardEndpoint, RewardRow

ENDPOINT = RewardEndpoint("http://reward.invalid/app", "secret", "model-1")


def row(number):
    return RewardRow.model_validate({"messages": [{"role": "user", "content": "q"}], "completion": str(number)})


def client(answer, **options):
    return RewardClient(ENDPOINT, transport=httpx.MockTransport(answer), sleep=lambda s: None, **options)


def echo(request):
    rows = json.loads(request.content)["rows"]
    return httpx.Response(200, json={"rewards": [float(r["completion"]) for r in rows], "model_id": "model-1"})


def test_order_chunks_and_token():
    seen = []

    def answer(request):
        assert request.headers["authorization"] == "Bearer secret"
        assert request.url.path == "/app/rewards"
        seen.append(len(json.loads(request.content)["rows"]))
        return echo(request)

    assert client(answer).rewards([row(i) for i in range(70)]) == list(map(float, range(70)))
    assert seen == [CHUNK_ROWS, CHUNK_ROWS, 6]
    assert client(answer).rewards([]) == []


def test_retries_what_passes():
    problems = [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut"), 500, 503]

    def answer(request):
        if not problems:
            return echo(request)
        problem = problems.pop(0)
        if isinstance(problem, int):
            return httpx.Response(problem, text="Internal Server Error")
        raise problem

    assert client(answer).rewards([row(3)]) == [3.0]
    assert problems == []


def test_is_ready_once_its_own_model_answers():
    answers = [httpx.ConnectError("refused"), httpx.Response(404, text="no route"), httpx.Response(500, text="died")]
    answers += [httpx.Response(200, json={"ok": True, "model_id": name}) for name in ("model-2", "model-1")]

    def answer(request):
        assert request.url.path == "/app/healthz"
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    asked = client(answer)
    assert [asked.is_ready() for _ in range(5)] == [False, False, False, False, True]


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_refusal_is_not_retried(status):
    calls = []

    def answer(request):
        calls.append(1)
        return httpx.Response(status, json={"detail": "no"})

    with pytest.raises(UserError, match=str(status)):
        client(answer).rewards([row(1)])
    assert len(calls) == 1


def test_deadline_ends_it():
    def answer(request):
        raise httpx.ConnectError("refused")

    with pytest.raises(RewardError, match="refused"):
        client(answer, deadline_s=0.2).rewards([row(1)])


@pytest.mark.parametrize("bad", ["NaN", "Infinity"])
def test_refuses_what_is_not_finite(bad):
    body = '{"rewards": [%s], "model_id": "model-1"}' % bad  # noqa: UP031
    with pytest.raises((RewardError, ValidationError)):
        client(lambda request: httpx.Response(200, text=body)).rewards([row(1)])


def test_refuses_another_model():
    answer = {"rewards": [1.0], "model_id": "model-2"}
    with pytest.raises(RewardError, match="model-2"):
        client(lambda request: httpx.Response(200, json=answer)).rewards([row(1)])


def test_token_is_not_printed():
    assert "secret" not in repr(ENDPOINT) and "secret" not in str(ENDPOINT)


def test_rows_are_bounded():
    message = {"role": "user", "content": "x" * MAX_CHARACTERS}
    with pytest.raises(ValidationError):
        RewardRow.model_validate({"messages": [message], "completion": "y"})
    with pytest.raises(ValidationError):
        RewardRow.model_validate({"messages": [{"role": "assistant", "content": "x"}], "completion": "y"})
