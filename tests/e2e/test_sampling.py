"""Real vLLM engines through Ray: seeds, K, resuming by shard, new weights, bitwise equality, death of an engine."""

import os
import signal

import psutil
import pyarrow as pa
import pytest

from medray.core.config import UserError
from medray.core.identity import digest_table
from medray.core.schema import COMPLETION, PROMPT, read_table
from medray.core.workspace import Root, Workspace
from medray.generate.config import EnginePlacement, Sampling

pytest.importorskip("vllm")
pytestmark = pytest.mark.timeout(300)

K = 3
SAMPLING = Sampling(
    num_completions=K, temperature=1.0, top_p=0.95, max_tokens=8, rng_seed=3, dtype="fp32", max_model_len=320
)
PLACEMENT = EnginePlacement(threads=1, kv_cache_gib=0.25, max_num_seqs=16, prompts_per_shard=2, call_timeout_s=240)
LONG = "fever, cough and a rash that comes and goes " * 18  # well past the 128 tokens that hide a stale prefix cache


def prompt_rows(num_prompts):
    rows = [
        {
            "id": f"p{i}",
            "task": "open",
            "messages": [{"role": "system", "content": LONG}, {"role": "user", "content": f"What is disease {i}?"}],
            "options": [],
            "gold": -1,
            "reference": "",
            "group": "",
            "split": "round_1",
        }
        for i in range(num_prompts)
    ]
    return pa.Table.from_pylist(rows, schema=PROMPT)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    from medray.model.base import make_tiny

    root = tmp_path_factory.mktemp("models")
    for name, rng_seed in (("a", 0), ("b", 1)):
        make_tiny(root / name, [LONG, "What is disease 1?"], hidden_size=128, rng_seed=rng_seed)
    return root


@pytest.fixture(scope="module")
def session():
    from medray.session import SessionPlacement, ray_session

    with ray_session(SessionPlacement(logical_cpus=4, object_store_bytes=128 * 2**20)):
        yield


@pytest.fixture
def draw(models, session, tmp_path):
    """draw(model, workspace id): sample and return (workspace, counters)."""
    from medray.generate.engine import sample

    def run(name, id, prompts=None, placement=PLACEMENT, **changes):
        workspace = Workspace(Root(str(tmp_path)), "sample", id, "sample")
        counters = sample(
            model=models / name,
            model_id=name,
            prompts=prompt_rows(5) if prompts is None else prompts,
            sampling=SAMPLING.model_copy(update=changes),
            placement=placement,
            workspace=workspace,
            salt="round_1",
        )
        return workspace, counters

    return run


def parts(workspace):
    return sorted((workspace.data / "completions").glob("*.parquet"))


def engine_facts():
    import ray

    (name,) = [n for n in ray.util.list_named_actors() if n.startswith("medray-engine")]
    return ray.get(ray.get_actor(name).facts.remote(), timeout=120)


def test_completions_are_whole_seeded_and_reproducible(draw, models):
    workspace, counters = draw("b", "first")
    rows = read_table(workspace.data / "completions", COMPLETION).to_pylist()
    assert counters["num_completions"] == len(rows) == 5 * K and len(parts(workspace)) == 3
    assert len({row["seed"] for row in rows}) == 5 * K
    assert len({tuple(row["token_ids"]) for row in rows}) > 4 * K, "equal completions: equal seeds"
    check_against_renderer(rows, models / "b")

    again, _ = draw("b", "again")
    assert digest_table(parts(again)) == digest_table(parts(workspace))

    pid = engine_facts()["pid"]
    other, _ = draw("a", "other")
    assert digest_table(parts(other)) != digest_table(parts(workspace)), "the new weights were not used"
    back, _ = draw("b", "back")
    assert digest_table(parts(back)) == digest_table(parts(workspace)), "reloaded weights differ from a fresh engine's"
    assert engine_facts() == {"pid": pid, "model_id": "b", "num_reloads": 2}, "the engine was not kept"

    from medray.generate.engine import shutdown_engines

    shutdown_engines()
    fresh, _ = draw("a", "fresh")
    assert digest_table(parts(fresh)) == digest_table(parts(other)), (
        "weights loaded second differ from a fresh engine's"
    )


def check_against_renderer(rows, model):
    from medray.model.load import load_tokenizer
    from medray.model.render import render_prompt

    tokenizer = load_tokenizer(model)
    for row in rows:
        messages = prompt_rows(5).to_pylist()[int(row["prompt_id"][1:])]["messages"]
        assert row["prompt_token_ids"] == render_prompt(tokenizer, messages)
        assert 128 < len(row["prompt_token_ids"])
        assert 1 <= len(row["token_ids"]) <= SAMPLING.max_tokens
        assert row["finish_reason"] in ("stop", "length")
        assert row["id"] == f"{row['prompt_id']}/{row['index']}"


def test_resumes_by_shard(draw):
    whole, counters = draw("b", "whole")
    digest, files = digest_table(parts(whole)), parts(whole)
    files[1].unlink()
    (whole.local / "marks" / "completions-00001.json").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in parts(whole)}
    resumed, again = draw("b", "whole")
    assert digest_table(parts(resumed)) == digest and again == counters
    assert all(path.stat().st_mtime_ns == before.get(path.name, path.stat().st_mtime_ns) for path in parts(resumed))


def test_over_long_prompt_is_named_before_anything_is_sampled(draw):
    with pytest.raises(UserError, match="'p0' has .* tokens"):
        draw("b", "long", max_tokens=300)


def test_missing_model_is_a_user_error(draw):
    with pytest.raises(UserError, match="config.json"):
        draw("none", "none")


def test_heads_that_cannot_be_divided_are_a_user_error(draw):
    with pytest.raises(UserError, match=r"num_attention_heads is 4, expected a multiple of placement.tensor_parallel"):
        draw("b", "three", placement=PLACEMENT.model_copy(update={"tensor_parallel": 3}))


@pytest.mark.full
def test_a_prompt_that_no_engine_survives_costs_no_other_its_completions(draw, monkeypatch):
    """A token that the model does not have, behind the prompts' own: vLLM fails on it, alone and among others."""
    from medray.generate import engine

    whole, _ = draw("b", "sound")
    rendered = engine._rendered

    def poisoned(*arguments):
        ids = rendered(*arguments)
        return {name: found + [10**6] if name == "p2" else found for name, found in ids.items()}

    monkeypatch.setattr(engine, "_rendered", poisoned)
    monkeypatch.setitem(PLACEMENT.__dict__, "max_restarts", 0)
    hurt, counters = draw("b", "poisoned")
    rows, sound = (
        {row["id"]: row for row in read_table(each.data / "completions", COMPLETION).to_pylist()}
        for each in (hurt, whole)
    )
    assert (counters["num_completions"], counters["num_failed"]) == (5 * K, K)
    assert [row["where"] for row in hurt.quarantined()] == ["p2"] and not whole.quarantined()
    for name, row in rows.items():
        if row["prompt_id"] == "p2":
            assert (row["text"], row["finish_reason"], len(row["token_ids"])) == ("", "failed", 1)
        else:
            assert row == sound[name]


@pytest.mark.full
def test_two_processes_hold_one_model(draw):
    """Its completions, but for a token where rounding decides; new weights, and nothing left of them at the end."""
    from medray.generate.engine import shutdown_engines

    divided = PLACEMENT.model_copy(update={"tensor_parallel": 2})
    said = {}
    for placement in (PLACEMENT, divided):
        for name in ("a", "b"):
            workspace, _ = draw(name, f"{name}-{placement.tensor_parallel}", placement=placement)
            rows = read_table(workspace.data / "completions", COMPLETION).to_pylist()
            said[name, placement.tensor_parallel] = {(row["id"], tuple(row["token_ids"])) for row in rows}
    assert all(len(said[name, 1] & said[name, 2]) > 4 * K for name in "ab") and len(said["a", 2] & said["b", 2]) < 2 * K
    children = psutil.Process(engine_facts()["pid"]).children(recursive=True)
    assert len([child for child in children if "Worker" in " ".join([child.name(), *child.cmdline()])]) >= 2
    shutdown_engines()
    gone, alive = psutil.wait_procs(children, timeout=30)
    assert gone and not alive, f"left behind: {alive}"


@pytest.mark.full
def test_a_merged_adapter_says_what_the_adapted_model_says(draw, models):
    import torch

    from medray.model.adapter import Adapter, load_adapted, merge
    from medray.model.export import save_model
    from medray.model.load import load_policy, load_tokenizer
    from medray.model.render import render_prompt

    adapter = Adapter(rank=4, alpha=8, dropout=0.0, targets=("q_proj", "v_proj", "down_proj"))
    model, tokenizer = load_adapted(models / "a", "fp32", adapter), load_tokenizer(models / "a")
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    prompts = {row["id"]: render_prompt(tokenizer, row["messages"]) for row in prompt_rows(5).to_pylist()}

    def greedy(model, prompt):
        with torch.no_grad():
            whole = model.generate(
                input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                do_sample=False, max_new_tokens=SAMPLING.max_tokens, eos_token_id=tokenizer.eos_token_id,
            )  # fmt: skip
        return whole[0, len(prompt) :].tolist()

    said = {key: greedy(model, prompt) for key, prompt in prompts.items()}
    base = load_policy(models / "a", "fp32")
    assert any(greedy(base, prompt) != said[key] for key, prompt in prompts.items()), "the adapter changes nothing"
    save_model(merge(model), tokenizer, models / "merged", {"title": "merged"})
    workspace, _ = draw("merged", "merged", num_completions=1, temperature=0.0)
    rows = read_table(workspace.data / "completions", COMPLETION).to_pylist()
    assert {row["prompt_id"]: row["token_ids"] for row in rows} == said


@pytest.mark.full
def test_a_killed_engine_costs_a_retry(draw):
    whole, _ = draw("b", "unhurt")
    os.kill(engine_facts()["pid"], signal.SIGKILL)
    hurt, _ = draw("b", "hurt")
    assert digest_table(parts(hurt)) == digest_table(parts(whole))
    assert engine_facts()["num_reloads"] == 0
