"""Ratings by a judge over real HTTP: what it is asked, how often, and what becomes of every prompt."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from medray.core.config import UserError
from medray.core.schema import COMPLETION, PAIR, PROMPT, read_table, write_table
from medray.core.workspace import Root, Workspace
from medray.generate.config import Budget, Endpoint, EndpointPlacement
from medray.preference import annotate
from medray.preference.annotate import OUTCOMES, RATING, AnnotateConfig

NUM_PROMPTS = 12


class Judge(ThreadingHTTPServer):
    """Rates an answer by the number in it; what it says first to TWICE, and always to NEVER, cannot be read."""

    def __init__(self):
        self.asked = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body)
        text = body["messages"][0]["content"]
        values = dict(re.findall(r"<answer (\w)>\nquality (\d)", text))
        ratings = {
            key: {"rating": int(v), "rank": 1 + sum(o > v for o in values.values())} for key, v in values.items()
        }
        reply = f"Here:\n{json.dumps(ratings)}"
        if '{"better": "A"}' in text:
            (a, b), first = values.values(), "FIRST" in text
            reply = json.dumps({"better": "A" if first or a > b else "B" if a < b else "tie"})
        if "NEVER" in text or ("TWICE" in text and len(body["messages"]) == 1):
            reply = "A is best."
        made = {"model": "j", "choices": [{"message": {"content": reply}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5}}  # fmt: skip
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(made).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def judge():
    server = Judge()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def config(judge, **changes):
    place = EndpointPlacement(base_url=f"http://127.0.0.1:{judge.server_port}/v1", requests_per_minute=1e6)
    budget = Budget(max_tokens=10**6, max_cost=1.0, price_per_million_in=1.0, price_per_million_out=1.0)
    access = changes.pop("access", "public")
    endpoint = Endpoint(model="judge", access=access, temperature=0.0, top_p=1.0, max_tokens=50, rng_seed=None,
                        budget=budget, placement=place)  # fmt: skip
    fields = {"reference_is_candidate": False, "both_orders_fraction": 0.5, "max_tries": 2,
              "max_unreadable_fraction": 0.5, "max_answer_characters": 1000, "rng_seed": 1} | changes  # fmt: skip
    return AnnotateConfig(judge=endpoint, **fields)


def inputs(directory, *, asked="Which?", access="public", texts=lambda model, i: f"quality {1 + (model + i) % 5}"):
    def artifact(name):
        return SimpleNamespace(id=name, data=directory / name, manifest=SimpleNamespace(access=access))

    made = {"prompts": artifact("prompts")}
    prompts = [
        {"id": f"p{i:02d}", "task": "t", "messages": [{"role": "user", "content": f"{asked} {i}"}], "options": [],
         "gold": -1, "reference": "quality 5 of gold", "group": "", "split": "reward_train"}
        for i in range(NUM_PROMPTS)
    ]  # fmt: skip
    write_table(made["prompts"].data / "prompts.parquet", prompts, PROMPT)
    for model in range(3):
        made[f"completions_m{model}"] = artifact(f"c{model}")
        rows = [{"id": f"p{i:02d}/0", "prompt_id": f"p{i:02d}", "index": 0, "text": texts(model, i), "token_ids": [1],
                 "prompt_token_ids": [1], "finish_reason": "stop", "seed": 1} for i in range(NUM_PROMPTS)]  # fmt: skip
        write_table(made[f"completions_m{model}"].data / "completions/part-00000.parquet", rows, COMPLETION)
    return made


def run(directory, judge, made=None, **changes):
    root = Root(str(directory / "root"))
    root.prepare()
    workspace = Workspace(root, "annotate", "0" * 32, "annotate")
    return annotate.run(config(judge, **changes), made or inputs(directory), workspace), workspace.data


def test_every_prompt_is_rated_and_every_pair_is_what_the_judge_said(tmp_path, judge):
    counters, data = run(tmp_path, judge)
    assert counters["num_prompts"] == NUM_PROMPTS == counters["rated"] == sum(counters[name] for name in OUTCOMES)
    assert counters["order_agreement"] == 1.0 and 0 < counters["num_both_orders"] < NUM_PROMPTS
    assert len(judge.asked) == NUM_PROMPTS + counters["num_both_orders"]
    assert counters["judge_tokens"] == 15 * len(judge.asked)
    rows = read_table(data / "ratings.parquet", RATING).to_pylist()
    quality = {(row["prompt_id"], row["model"]): row["rating"] for row in rows}
    assert quality == {(f"p{i:02d}", f"m{m}"): 1 + (m + i) % 5 for i in range(NUM_PROMPTS) for m in range(3)}
    assert {row["place"] for row in rows if row["model"] == "m0"} == {0, 1, 2}
    pairs = read_table(data / "pairs.parquet", PAIR).to_pylist()
    assert len(pairs) == 3 * NUM_PROMPTS == counters["num_pairs"]
    for pair in pairs:
        better, worse = pair["source"].split(">")
        assert pair["chosen_reward"] == quality[pair["prompt_id"], better] > quality[pair["prompt_id"], worse]
        assert pair["chosen"] == f"quality {quality[pair['prompt_id'], better]}"
    binarised = read_table(data / "binarised.parquet", PAIR).to_pylist()
    best = {i: max(1 + (m + i) % 5 for m in range(3)) for i in range(NUM_PROMPTS)}
    assert [pair["chosen_reward"] for pair in binarised] == [best[i] for i in range(NUM_PROMPTS)]
    replies = [json.loads(line) for path in (data / "replies").iterdir() for line in path.read_text().splitlines()]
    assert {row["reply"] for row in rows} <= {reply["key"] for reply in replies}


def test_run_again_it_asks_nothing_and_says_the_same(tmp_path, judge):
    once, data = run(tmp_path, judge)
    before, asked = (data / "pairs.parquet").read_bytes(), len(judge.asked)
    again, data = run(tmp_path, judge)
    assert (again, (data / "pairs.parquet").read_bytes(), len(judge.asked)) == (once, before, asked)


def test_a_judge_is_told_what_was_wrong(tmp_path, judge):
    counters, _ = run(tmp_path, judge, inputs(tmp_path, asked="TWICE"), both_orders_fraction=0.0)
    assert counters["rated"] == NUM_PROMPTS and len(judge.asked) == 2 * NUM_PROMPTS
    assert "no JSON object" in judge.asked[-1]["messages"][-1]["content"]


def test_what_stays_unreadable_is_counted_and_too_much_of_it_is_an_error(tmp_path, judge):
    made = inputs(tmp_path, texts=lambda model, i: f"quality {1 + (model + i) % 5}" + " NEVER" * (i < 3))
    counters, _ = run(tmp_path / "a", judge, made)
    assert (counters["rated"], counters["dropped_unreadable"]) == (NUM_PROMPTS - 3, 3)
    with pytest.raises(UserError, match="3 of 12 prompts got no reply that can be read, at most 10.0% expected"):
        run(tmp_path / "b", judge, made, max_unreadable_fraction=0.1)


def test_answers_are_ranked_by_what_they_win_two_by_two(tmp_path, judge):
    made = inputs(tmp_path, asked="TWICE", texts=lambda model, i: f"quality {[1, 4, 4][model]}" + " x" * model)
    counters, data = run(tmp_path, judge, made, method="pairwise", both_orders_fraction=1.0)
    assert (counters["rated"], counters["num_both_orders"]) == (NUM_PROMPTS, NUM_PROMPTS)
    assert len(judge.asked) == 2 * 2 * 3 * NUM_PROMPTS, "two tries of three questions, in both orders"
    assert "no JSON object" in judge.asked[-1]["messages"][-1]["content"] and counters["order_agreement"] == 1.0
    rows = read_table(data / "ratings.parquet", RATING).to_pylist()
    assert {(row["model"], row["rating"], row["rank"]) for row in rows} == {("m0", 0, 3), ("m1", 3, 1), ("m2", 3, 1)}
    assert {len(row["reply"].split(",")) for row in rows} == {3}
    pairs = read_table(data / "pairs.parquet", PAIR).to_pylist()
    assert {(p["source"], p["chosen_reward"], p["rejected_reward"]) for p in pairs} == {
        ("m1>m0", 3, 0),
        ("m2>m0", 3, 0),
    }
    firsts = [re.search(r"<answer A>\nquality (\d)", body["messages"][0]["content"])[1] for body in judge.asked]
    assert 0.1 < firsts.count("1") / len(firsts) < 0.6, "the order is drawn for each question"


def test_a_judge_that_likes_what_stands_first_is_seen(tmp_path, judge):
    counters, _ = run(tmp_path, judge, inputs(tmp_path, asked="FIRST"), method="pairwise", both_orders_fraction=1.0)
    assert counters["order_agreement"] < 0.5 and counters["rated"] == NUM_PROMPTS


def test_prompts_without_a_choice_are_counted(tmp_path, judge):
    def text(model, i):
        return ["same", " " * model, f"quality {model + 1}" * 2000][i] if i < 3 else f"quality {model + 1}"

    counters, _ = run(tmp_path, judge, inputs(tmp_path, texts=text))
    assert (counters["dropped_few_answers"], counters["dropped_oversize"], counters["rated"]) == (2, 1, NUM_PROMPTS - 3)


def test_the_reference_may_be_a_candidate(tmp_path, judge):
    counters, data = run(tmp_path, judge, reference_is_candidate=True)
    models = {row["model"] for row in read_table(data / "ratings.parquet", RATING).to_pylist()}
    assert models == {"m0", "m1", "m2", "reference"} and counters["num_binarised"] == NUM_PROMPTS
    assert all("<reference>" not in body["messages"][0]["content"] for body in judge.asked)


def test_credentialed_rows_do_not_leave(tmp_path, judge):
    with pytest.raises(UserError, match="needs data of class public or freer, got credentialed"):
        run(tmp_path, judge, inputs(tmp_path, access="credentialed"))
    assert (
        run(tmp_path, judge, inputs(tmp_path, access="credentialed"), access="credentialed")[0]["rated"] == NUM_PROMPTS
    )
