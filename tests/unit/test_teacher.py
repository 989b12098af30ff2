"""The client of an OpenAI-compatible endpoint: what is sent, kept, paid for, tried again and refused."""

import json
import threading

import httpx
import pytest

from medray.core.config import UserError
from medray.generate.config import Budget, Endpoint, EndpointPlacement
from medray.generate.replies import Question
from medray.generate.teacher import Teacher, TeacherError

BUDGET = Budget(max_tokens=1_000_000, max_cost=10.0, price_per_million_in=1.0, price_per_million_out=2.0)


def endpoint(*, access="public", budget=BUDGET, **place):
    place = {"base_url": "https://teacher.example/v1", "requests_per_minute": 1e9} | place
    return Endpoint(model="big", access=access, temperature=0.5, top_p=0.9, max_tokens=100, rng_seed=3, budget=budget,
                    placement=EndpointPlacement(**place))  # fmt: skip


def questions(count, text="Which organ makes bile?"):
    return [Question(f"q{i}", [{"role": "user", "content": f"{text} {i}"}], "v1") for i in range(count)]


class Server:
    """Answers with the last word of the question; `faults` come first."""

    def __init__(self, *faults):
        self.faults, self.asked, self.lock = list(faults), [], threading.Lock()

    def __call__(self, request):
        body = json.loads(request.content)
        with self.lock:
            self.asked.append((request, body))
            fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        if fault:
            return fault
        text = body["messages"][-1]["content"].split()[-1]
        return httpx.Response(200, json={
            "model": "big-2026", "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 50, "completion_tokens": 10}})  # fmt: skip


def teacher(tmp_path, server, sleeps=None, **fields):
    return Teacher(endpoint(**fields), tmp_path / "replies", "public", transport=httpx.MockTransport(server),
                   sleep=(sleeps if sleeps is not None else []).append)  # fmt: skip


def test_replies_come_in_order_with_everything_that_made_them(tmp_path):
    server = Server()
    with teacher(tmp_path, server) as asked:
        replies = asked.ask(questions(20))
    assert [(r.id, r.text) for r in replies] == [(f"q{i}", str(i)) for i in range(20)]
    first = replies[0]
    assert (first.model, first.served_model, first.prompt_version, first.finish_reason) == (
        "big",
        "big-2026",
        "v1",
        "stop",
    )
    assert first.parameters == {"temperature": 0.5, "top_p": 0.9, "max_tokens": 100, "seed": 3}
    assert (first.tokens_in, first.tokens_out, first.cost) == (50, 10, pytest.approx(70e-6))
    assert (asked.tokens, asked.cost) == (1200, pytest.approx(20 * 70e-6))
    assert str(server.asked[0][0].url) == "https://teacher.example/v1/chat/completions"


def test_nothing_is_asked_twice_not_even_after_a_kill(tmp_path):
    server = Server()
    with teacher(tmp_path, server) as asked:
        asked.ask(questions(3))
    path = tmp_path / "replies/part-00000.jsonl"
    path.write_bytes(path.read_bytes()[:-40])  # killed in the middle of the last line
    with teacher(tmp_path, server) as asked:
        assert asked.tokens == 120
        assert [r.text for r in asked.ask(questions(4))] == ["0", "1", "2", "3"]
    assert len(server.asked) == 5
    assert [len(p.read_text().splitlines()) for p in sorted(path.parent.iterdir())] == [2, 2]
    same = [Question("a", questions(1)[0].messages, "v1"), Question("b", questions(1)[0].messages, "v1")]
    with teacher(tmp_path, server) as asked:
        assert [r.id for r in asked.ask(same)] == ["a", "b"]
    assert len(server.asked) == 5


def test_another_prompt_version_or_parameter_is_another_question(tmp_path):
    server = Server()
    with teacher(tmp_path, server) as asked:
        asked.ask(questions(1))
        asked.ask([questions(1)[0]._replace(prompt_version="v2")])
    assert len(server.asked) == 2


def test_the_budget_is_never_exceeded_and_what_was_paid_is_kept(tmp_path):
    """A request of 40 bytes may take 156 tokens, and takes 60."""
    budget = BUDGET.model_copy(update={"max_tokens": 500})
    with (
        teacher(tmp_path, Server(), budget=budget) as asked,
        pytest.raises(UserError, match=r"endpoint big: 360 of 500 tokens.*q6.*6 replies are kept.*raise the budget"),
    ):
        asked.ask(questions(20))
    assert asked.tokens == 360
    with teacher(tmp_path, Server(), budget=BUDGET.model_copy(update={"max_cost": 0.0005})) as asked:
        assert asked.cost == pytest.approx(360 / 60 * 70e-6)
        with pytest.raises(UserError, match="0.00 of 0.00 are spent"):
            asked.ask(questions(20))


def test_it_tries_again_and_waits_as_asked(tmp_path):
    sleeps = []
    faults = [httpx.Response(429, headers={"retry-after": "7"}), httpx.ConnectError("refused"), httpx.Response(500),
              httpx.Response(200, text="<html>")]  # fmt: skip
    with teacher(tmp_path, Server(*faults), sleeps) as asked:
        assert asked.ask(questions(1))[0].text == "0"
    assert [s for s in sleeps if s > 0.01] == [7.0, 2.0, 4.0, 8.0]


def test_it_gives_up_with_the_last_problem_and_keeps_the_others(tmp_path):
    server = Server(*[httpx.Response(503, text="busy")] * 2)
    with (
        teacher(tmp_path, server, max_attempts=2, concurrency=1) as asked,
        pytest.raises(TeacherError, match="no reply to 'q0' in 2 attempts; last: 503: busy"),
    ):
        asked.ask(questions(2))
    with teacher(tmp_path, server, max_attempts=2) as asked:
        assert [r.text for r in asked.ask(questions(2))] == ["0", "1"]


def test_a_refusal_is_not_tried_again(tmp_path):
    server = Server(httpx.Response(400, text="bad model"))
    with teacher(tmp_path, server) as asked, pytest.raises(UserError, match="refused 'q0': 400: bad model"):
        asked.ask(questions(1))
    assert len(server.asked) == 1


def test_requests_keep_their_distance(tmp_path):
    sleeps = []
    with teacher(tmp_path, Server(), sleeps, requests_per_minute=60, concurrency=1) as asked:
        asked.ask(questions(4))
    assert sleeps == [pytest.approx(i, abs=0.5) for i in (1, 2, 3)]  # the clock stands still where sleeping is faked


@pytest.mark.parametrize(
    ("rows", "limit"), [("credentialed", "public"), ("credentialed", "restricted"), ("restricted", "public")]
)
def test_rows_never_go_where_they_must_not(tmp_path, rows, limit):
    with pytest.raises(UserError, match=f"needs data of class {limit} or freer, got {rows}"):
        Teacher(endpoint(access=limit), tmp_path / "replies", rows)
    with pytest.raises(UserError, match="plain http to another machine, expected https"):
        teacher(tmp_path, Server(), base_url="http://teacher.example/v1")


def test_the_key_is_sent_and_never_written(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    server = Server()
    with teacher(tmp_path, server, key_variable="MY_KEY") as asked:
        asked.ask(questions(1))
    assert server.asked[0][0].headers["authorization"] == "Bearer secret"
    assert "secret" not in (tmp_path / "replies/part-00000.jsonl").read_text()
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(UserError, match="MY_KEY is not set, expected its key"):
        teacher(tmp_path, server, key_variable="MY_KEY")


def test_a_damaged_line_is_named(tmp_path):
    (tmp_path / "replies").mkdir()
    (tmp_path / "replies/part-00000.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="part-00000.jsonl, line 1: not a reply"):
        teacher(tmp_path, Server())
