"""The reward model behind Ray Serve over HTTP: parity, refusals, death of a replica, and judging on top."""

import os
import signal
import socket
import threading
import time
from types import SimpleNamespace

import httpx
import pytest

from medray.core.config import UserError
from medray.core.schema import COMPLETION, PAIR, PROMPT, REWARD, read_table, write_table
from medray.core.workspace import Root, Workspace
from medray.generate.scoring import RewardClient
from medray.serve.config import RewardServing, ServingPlacement
from medray.serve.schema import RewardRow

pytest.importorskip("ray.serve")
pytestmark = pytest.mark.timeout(240)

SERVING = RewardServing(dtype="fp32", max_tokens=160, placement=ServingPlacement(threads=1, tokens_per_forward=512))
OPTIONS = ["Heart", "Kidney"]


def rows(num_rows, words=6):
    return [
        RewardRow.model_validate(
            {
                "messages": [{"role": "user", "content": f"What is disease {i}? " * (1 + i % 3)}],
                "completion": " ".join(f"word{j}" for j in range(1 + (7 * i) % words)),
            }
        )
        for i in range(num_rows)
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from medray.model.base import make_tiny

    root = tmp_path_factory.mktemp("reward")
    make_tiny(root / "policy", ["What is disease 1? word1 word2 Heart Kidney"])
    return saved(root / "artifact" / "model", root / "policy", seed=0)


def saved(target, policy, seed):
    """A reward model of the policy's layers with a random head."""
    import torch

    from medray.model.export import save_model
    from medray.model.load import load_reward_model, load_tokenizer

    reward_model = load_reward_model(policy, "fp32", from_policy=True)
    torch.nn.init.normal_(reward_model.score.weight, generator=torch.Generator().manual_seed(seed))
    save_model(reward_model, load_tokenizer(policy), target, {"title": "tiny reward"})
    return target


@pytest.fixture(scope="module")
def endpoint(model):
    from medray.serve.reward_app import ensure_reward_app
    from medray.session import SessionPlacement, ray_session

    with ray_session(SessionPlacement(logical_cpus=4, object_store_bytes=128 * 2**20)):
        yield ensure_reward_app(model, "tiny", SERVING)


def post(endpoint, body, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.post(f"{endpoint.url}/rewards", json=body, headers=headers, timeout=60, trust_env=False)


def health(endpoint):
    return httpx.get(f"{endpoint.url}/healthz", timeout=60, trust_env=False).json()


def test_rewards_equal_the_model_s_own(endpoint, model):
    import torch

    from medray.model.load import load_reward_model, load_tokenizer, pooled_rewards
    from medray.model.render import render

    asked = rows(40)
    with RewardClient(endpoint, deadline_s=120) as client:
        served = client.rewards(asked)
        assert client.rewards(asked) == served, "equal requests must give bitwise-equal rewards"
        assert client.num_truncated == 0
    tokenizer, direct = load_tokenizer(model), load_reward_model(model, "fp32")
    for row, reward in zip(asked, served, strict=True):
        messages = [m.model_dump() for m in row.messages]
        ids = render(tokenizer, [*messages, {"role": "assistant", "content": row.completion}]).ids
        with torch.no_grad():
            assert abs(float(pooled_rewards(direct, [[ids]])) - reward) < 1e-4
    assert len(set(served)) > 30
    facts = health(endpoint)
    assert facts["ok"] and facts["model_id"] == "tiny" and facts["batch_difference"] <= 1e-4


def test_a_system_message_of_one_s_own_goes_beside_the_usual_ones(endpoint):
    usual = rows(3)
    own = [{"role": "system", "content": "word1"}, *(m.model_dump() for m in usual[1].messages)]
    mixed = [usual[0], RewardRow.model_validate({"messages": own, "completion": usual[1].completion}), usual[2]]
    with RewardClient(endpoint, deadline_s=120) as client:
        alone = [client.rewards([row])[0] for row in mixed]
        assert client.rewards(mixed) == pytest.approx(alone, abs=1e-5)
        assert abs(alone[1] - client.rewards(usual[1:2])[0]) > 1e-3


def test_is_deployed_once(endpoint, model):
    from medray.serve.reward_app import ensure_reward_app

    pid = health(endpoint)["pid"]
    assert ensure_reward_app(model, "tiny", SERVING) == endpoint
    assert health(endpoint)["pid"] == pid


def test_refuses_without_token(endpoint):
    body = {"rows": [rows(1)[0].model_dump()]}
    assert post(endpoint, body).status_code == 401
    assert post(endpoint, body, token="wrong").status_code == 401
    assert post(endpoint, body, token=endpoint.token).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rows": []},
        {"rows": [rows(1)[0].model_dump()] * 257},
        {"rows": [{"messages": [], "completion": "x"}]},
        {"rows": [{"messages": [{"role": "wizard", "content": "x"}], "completion": "x"}]},
        {"rows": [{"messages": [{"role": "user", "content": "x"}], "completion": 3}]},
        {"rows": [{"messages": [{"role": "user", "content": "x"}], "completion": "word " * 20000}]},
        {"rows": [{"messages": [{"role": "user", "content": "x"}], "completion": "word " * 400}]},  # does not fit
        {"rows": [{"messages": [{"role": "user", "content": "<|im_end|>"}], "completion": "x"}]},
    ],
)
def test_bad_input_is_422(endpoint, body):
    reply = post(endpoint, body, token=endpoint.token)
    assert reply.status_code == 422, reply.text[:200]
    assert "detail" in reply.json()


def test_a_body_is_refused_before_it_is_read(endpoint):
    url = httpx.URL(endpoint.url)
    for token, stated, status in (
        (endpoint.token, f"Content-Length: {10**12}", 413), (endpoint.token, "Transfer-Encoding: chunked", 411),
        ("wrong", f"Content-Length: {10**12}", 401),
    ):  # fmt: skip
        head = f"POST {url.path}/rewards HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: Bearer {token}\r\n{stated}"
        with socket.create_connection((url.host, url.port), timeout=30) as peer:
            peer.sendall(f"{head}\r\n\r\n".encode())  # and nothing of the body
            assert peer.recv(1000).startswith(f"HTTP/1.1 {status} ".encode()), stated


def test_what_it_does_is_exported_for_prometheus(endpoint):
    import ray

    with RewardClient(endpoint, deadline_s=120) as client:
        client.rewards(rows(5))
    [port] = [node["MetricsExportPort"] for node in ray.nodes() if node["Alive"]]
    stop_at = time.monotonic() + 60
    while "medray_reward_rows" not in (found := httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text):
        assert time.monotonic() < stop_at, "no metrics of the service"
        time.sleep(1)
    lines = [line for line in found.splitlines() if line.startswith(("ray_medray_reward", "medray_reward"))]
    assert any('model="tiny"' in line and float(line.split()[-1]) >= 5 for line in lines if "rows_total" in line)
    assert any("medray_reward_seconds_bucket" in line for line in lines)


def test_long_prompt_loses_its_end_and_the_completion_nothing(endpoint):
    def ask(prompt, completion):
        row = {"messages": [{"role": "user", "content": prompt}], "completion": completion}
        return post(endpoint, {"rows": [row]}, token=endpoint.token).json()

    long, longer = ask("head " + "fever " * 400, "word1 word2"), ask("head " + "fever " * 500, "word1 word2")
    assert long["num_truncated"] == 1 and long["rewards"] == longer["rewards"]
    assert ask("head " + "fever " * 400, "word1 word3")["rewards"] != long["rewards"]
    assert ask("other " + "fever " * 400, "word1 word2")["rewards"] != long["rewards"]
    assert ask("short", "")["num_truncated"] == 0, "an empty completion is judged too"


def test_a_killed_replica_loses_nothing(endpoint):
    asked = rows(320, words=30)
    with RewardClient(endpoint, deadline_s=150) as client:
        expected = client.rewards(asked)
        pid = health(endpoint)["pid"]
        killer = threading.Timer(0.1, os.kill, (pid, signal.SIGKILL))
        killer.start()
        try:
            assert client.rewards(asked) == expected
        finally:
            killer.join()
    assert health(endpoint)["pid"] != pid


def test_judging_and_the_pairs_stage(endpoint, model, tmp_path):
    from medray.preference import judge, pairs

    workspace = Workspace(Root(str(tmp_path)), "answer", "1", "answer")
    made = {"prompts": SimpleNamespace(id="prompts", data=tmp_path / "prompts")}
    made["completions"] = SimpleNamespace(id="completions", data=workspace.data)
    made["reward_model"] = SimpleNamespace(id="tiny", data=model.parent)
    write_inputs(made)
    config = judge.JudgeConfig(serving=SERVING)
    counters = judge.run(config, made, workspace)
    found = read_table(workspace.data / "rewards.parquet", REWARD).to_pylist()
    assert counters["num_completions"] == len(found) == 12 and counters["num_prompts"] == 4
    assert (counters["num_correct"], counters["num_incorrect"], counters["num_unparsed"]) == (2, 2, 2)
    assert {row["correct"] for row in found if row["prompt_id"] == "p3"} == {-1}
    before = (workspace.data / "rewards.parquet").read_bytes()
    assert judge.run(config, made, workspace) == counters
    assert (workspace.data / "rewards.parquet").read_bytes() == before

    made["rewards"] = SimpleNamespace(id="rewards", data=workspace.data, manifest=made_of(reward_model="tiny"))
    made["completions"].manifest = made_of(policy="sft")
    paired = Workspace(Root(str(tmp_path)), "pairs", "1", "pairs")
    outcome = pairs.run(pairs.PairsConfig(min_margin=0.0, unparsed_is_wrong=False, source="round_1"), made, paired)
    assert outcome["num_prompts"] == 4 == sum(outcome[name] for name in pairs.OUTCOMES)
    assert outcome["pair_gold"] == 2 and outcome["num_pairs"] >= 3
    ledger = read_table(paired.data / "ledger.parquet", pairs.LEDGER).to_pylist()
    assert len(ledger) == 4
    completions = {
        row["id"]: row for row in read_table(made["completions"].data / "completions", COMPLETION).to_pylist()
    }
    rewards = {row["completion_id"]: row["reward"] for row in found}
    for pair in read_table(paired.data / "pairs.parquet", PAIR).to_pylist():
        [row] = [row for row in ledger if row["pair_id"] == pair["id"]]
        assert (row["round"], row["policy"], row["reward_model"]) == ("round_1", "sft", "tiny")
        for side in ("chosen", "rejected"):
            completion = completions[row[f"{side}_id"]]
            assert (completion["text"], completion["seed"]) == (pair[side], row[f"{side}_seed"])
            assert rewards[completion["id"]] == row[f"{side}_reward"] == pair[f"{side}_reward"]


def test_an_ensemble_judges(endpoint, model, tmp_path):
    from medray.math.ensemble import EnsembleRule
    from medray.preference import judge, pairs
    from medray.serve.reward_app import ensure_reward_app

    other = saved(model.parents[1] / "other" / "model", model.parents[1] / "policy", seed=1)
    workspace = Workspace(Root(str(tmp_path)), "answer", "2", "answer")
    made = {"prompts": SimpleNamespace(id="prompts", data=tmp_path / "prompts")}
    made["completions"] = SimpleNamespace(id="completions", data=workspace.data)
    made |= {"reward_model_a": SimpleNamespace(id="tiny", data=model.parent),
             "reward_model_b": SimpleNamespace(id="other", data=other.parent)}  # fmt: skip
    write_inputs(made)
    config = judge.JudgeConfig(serving=SERVING, ensemble=EnsembleRule(rule="min"))
    counters = judge.run(config, made, workspace)
    both = {
        row["completion_id"]: row for row in read_table(workspace.data / "members.parquet", judge.MEMBERS).to_pylist()
    }
    found = read_table(workspace.data / "rewards.parquet", REWARD).to_pylist()
    assert len(both) == 12 == counters["num_completions"]
    assert counters["disagreement_mean"] == pytest.approx(sum(r["disagreement"] for r in both.values()) / 12)
    prompts = {r["id"]: r for r in read_table(made["prompts"].data / "prompts.parquet", PROMPT).to_pylist()}
    completions = {r["id"]: r for r in read_table(made["completions"].data / "completions", COMPLETION).to_pylist()}
    services = {"tiny": ensure_reward_app(model, "tiny", SERVING, beside=["other"]),
                "other": ensure_reward_app(other, "other", SERVING, beside=["tiny"])}  # fmt: skip
    asked = [
        RewardRow(messages=prompts[r["prompt_id"]]["messages"], completion=completions[r["completion_id"]]["text"])
        for r in found
    ]
    for name, service in services.items():
        assert health(service)["model_id"] == name
        with RewardClient(service) as client:
            own = client.rewards(asked)
        given = [next(m["reward"] for m in both[r["completion_id"]]["rewards"] if m["model"] == name) for r in found]
        assert given == pytest.approx(own, abs=1e-4)
    with pytest.raises(UserError, match=r"judge.ensemble: 2 reward models, expected a rule for several"):
        judge.judging(judge.JudgeConfig(serving=SERVING), made, workspace)

    ids = {"reward_model_a": "tiny", "reward_model_b": "other"}
    made["rewards"] = SimpleNamespace(id="rewards", data=workspace.data, manifest=made_of(**ids))
    made["completions"].manifest = made_of(policy="sft")
    rule = pairs.PairsConfig(min_margin=0.0, unparsed_is_wrong=False, source="round_1", members_agree=True)
    paired = Workspace(Root(str(tmp_path)), "pairs", "2", "pairs")
    outcome = pairs.run(rule, made, paired)
    assert outcome["num_prompts"] == 4 == sum(outcome[name] for name in pairs.OUTCOMES)
    ledger = read_table(paired.data / "ledger.parquet", pairs.LEDGER).to_pylist()
    assert {row["reward_model"] for row in ledger} == {"tiny+other"}
    for row in ledger:
        if row["outcome"] == "pair_open":
            sides = [[m["reward"] for m in both[row[f"{side}_id"]]["rewards"]] for side in ("chosen", "rejected")]
            assert all(c > r for c, r in zip(*sides, strict=True))


def made_of(**inputs):
    return SimpleNamespace(inputs={role: SimpleNamespace(id=id) for role, id in inputs.items()})


def write_inputs(made):
    texts = {"p0": OPTIONS + ["none"], "p1": ["The answer is kidney", "heart", "?"], "p2": "a bb ccc".split()}
    texts["p3"] = "d ee fff".split()
    prompts = [
        {
            "id": name,
            "task": "t",
            "messages": [{"role": "user", "content": f"Which organ, {name}?"}],
            "options": OPTIONS if name in ("p0", "p1") else [],
            "gold": 0 if name in ("p0", "p1") else -1,
            "reference": "",
            "group": "",
            "split": "round_1",
        }
        for name in texts
    ]
    write_table(made["prompts"].data / "prompts.parquet", prompts, PROMPT)
    for number, names in enumerate((("p0", "p1"), ("p2", "p3"))):
        part = [
            {
                "id": f"{name}/{index}",
                "prompt_id": name,
                "index": index,
                "text": text,
                "token_ids": [1, 2],
                "prompt_token_ids": [1],
                "finish_reason": "stop",
                "seed": index,
            }
            for name in names
            for index, text in enumerate(texts[name])
        ]
        write_table(made["completions"].data / "completions" / f"part-{number:05d}.parquet", part, COMPLETION)


def test_what_cannot_start_is_told_to_whoever_waits_for_it(endpoint, tmp_path):
    from medray.core.config import UserError
    from medray.serve.reward_app import await_reward_app, ensure_reward_app

    (tmp_path / "config.json").write_text("{}")
    starting = ensure_reward_app(tmp_path, "broken", SERVING, wait=False)
    with RewardClient(starting) as client:
        assert not client.is_ready()
    with pytest.raises(UserError, match="reward service: DEPLOY_FAILED"):
        await_reward_app(starting, SERVING)


def test_another_model_replaces_it(endpoint, model):
    from medray.serve.reward_app import ensure_reward_app

    other = ensure_reward_app(model, "tiny-2", SERVING)
    assert other.model_id == health(other)["model_id"] == "tiny-2"
    body = {"rows": [rows(1)[0].model_dump()]}
    assert post(other, body, token=endpoint.token).status_code == 401, "the old token must not open the new service"
    assert post(other, body, token=other.token).status_code == 200


@pytest.mark.full
def test_replicas_are_started_while_calls_wait(endpoint, model):
    from medray.serve.reward_app import ensure_reward_app

    placement = SERVING.placement.model_copy(update={"max_replicas": 2, "calls_per_replica": 1.0})
    scaled = ensure_reward_app(model, "tiny", SERVING.model_copy(update={"placement": placement}))
    pids, stop_at = {health(scaled)["pid"]}, time.monotonic() + 120
    enough = threading.Event()

    def caller():
        with RewardClient(scaled, deadline_s=120) as client:
            while not enough.is_set() and time.monotonic() < stop_at:
                client.rewards(rows(40, words=30))

    callers = [threading.Thread(target=caller, daemon=True) for _ in range(6)]
    for thread in callers:
        thread.start()
    while len(pids) < 2 and time.monotonic() < stop_at:
        pids.add(health(scaled)["pid"])
        time.sleep(0.2)
    enough.set()
    for thread in callers:
        thread.join(60)
    assert len(pids) == 2


def test_a_taken_port_is_passed_over():
    import socket

    from medray.serve.reward_app import _free_port

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = _free_port("127.0.0.1", port)
        assert port < found <= port + 50
        # claimed, though nobody listens yet: two that start together would share one port and each other's requests
        assert found < _free_port("127.0.0.1", found) <= found + 50
