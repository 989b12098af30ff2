"""A real vLLM engine as a judge: reproducible replies, the annotation stage, and a kill of the engine."""

import os
import signal
from types import SimpleNamespace

import pytest

from medray.core.schema import COMPLETION, PROMPT, write_table
from medray.core.workspace import Root, Workspace
from medray.generate.config import EnginePlacement, LocalTeacher, Sampling
from medray.generate.replies import Question

pytest.importorskip("vllm")
pytestmark = pytest.mark.timeout(500)

SAMPLING = Sampling(
    num_completions=1, temperature=1.0, top_p=1.0, max_tokens=8, rng_seed=3, dtype="fp32", max_model_len=2048
)
CONFIG = LocalTeacher(
    sampling=SAMPLING,
    placement=EnginePlacement(threads=1, kv_cache_gib=0.25, max_num_seqs=8, prompts_per_shard=4, call_timeout_s=240),
)


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """The artifact of a random judge."""
    from medray.model.base import make_tiny

    data = tmp_path_factory.mktemp("judge")
    texts = ["Rate the answers from 1 to 5.", "Which organ makes bile? The liver."]
    make_tiny(data / "model", texts, hidden_size=128, max_positions=2048)
    return SimpleNamespace(id="judge-1", data=data, manifest=SimpleNamespace(access="credentialed"))


@pytest.fixture(scope="module")
def session():
    from medray.session import SessionPlacement, ray_session

    with ray_session(SessionPlacement(logical_cpus=4, object_store_bytes=128 * 2**20)):
        yield


def questions(count):
    return [Question(f"q{i}", [{"role": "user", "content": f"Which organ is number {i}?"}], "v1") for i in range(count)]


def test_replies_are_the_models_own_and_come_again(judge, session, tmp_path):
    import ray

    from medray.generate.local import LocalModel

    def ask(name, asked):
        with LocalModel(CONFIG, tmp_path / name, judge.data / "model", judge.id) as teacher:
            return {reply.id: (reply.text, reply.finish_reason, reply.tokens_out) for reply in teacher.ask(asked)}

    found = ask("a", questions(10))
    assert len(found) == 10 and len({text for text, *_ in found.values()}) > 5, "one seed for all"
    assert all(1 <= num_tokens <= 8 for *_, num_tokens in found.values())
    assert ask("b", questions(10)[::-1]) == found, "from the other end, so in other shards"
    [name] = [n for n in ray.util.list_named_actors() if n.startswith("medray-engine")]
    os.kill(ray.get(ray.get_actor(name).facts.remote(), timeout=120)["pid"], signal.SIGKILL)
    assert ask("c", questions(10)) == found, "a killed engine costs another try"
    long = questions(1)[0]._replace(messages=[{"role": "user", "content": "bile " * 3000}])
    [(text, reason, _)] = ask("d", [long]).values()
    assert text == "" and reason.startswith("refused: sampling.max_model_len")


def test_prompts_are_judged_by_a_model_of_our_own(judge, session, tmp_path):
    """What a random model says cannot be read: every prompt is asked max_tries times, counted, and never asked again.

    The rows are credentialed, and stay here.
    """
    from medray.preference import annotate

    made = {"judge": judge}
    for name in ("prompts", "completions_a", "completions_b"):
        made[name] = SimpleNamespace(id=name, data=tmp_path / name, manifest=SimpleNamespace(access="credentialed"))
    prompts = [
        {"id": f"p{i}", "task": "t", "messages": [{"role": "user", "content": f"Which organ is number {i}?"}],
         "options": [], "gold": -1, "reference": "", "group": "", "split": "reward_train"}
        for i in range(3)
    ]  # fmt: skip
    write_table(made["prompts"].data / "prompts.parquet", prompts, PROMPT)
    for name in ("a", "b"):
        rows = [
            {"id": f"p{i}/0", "prompt_id": f"p{i}", "index": 0, "text": f"The {name} liver.", "token_ids": [1],
             "prompt_token_ids": [1], "finish_reason": "stop", "seed": 1}
            for i in range(3)
        ]  # fmt: skip
        write_table(made[f"completions_{name}"].data / "completions" / "part-00000.parquet", rows, COMPLETION)
    config = annotate.AnnotateConfig(
        judge=CONFIG, reference_is_candidate=False, both_orders_fraction=0.0, max_tries=2, max_unreadable_fraction=1.0,
        max_answer_characters=1000, rng_seed=1,
    )  # fmt: skip
    root = Root(str(tmp_path / "root"))
    root.prepare()
    workspace = Workspace(root, "annotate", "0" * 32, "annotate")
    counters = annotate.run(config, made, workspace)
    assert (counters["num_prompts"], counters["dropped_unreadable"], counters["rated"]) == (3, 3, 0)
    assert counters["judge_tokens"] > 6 * 50 and counters["judge_cost"] == 0
    replies = {path.name: path.read_text() for path in (workspace.data / "replies").iterdir()}
    assert sum(text.count("\n") for text in replies.values()) == 6
    assert annotate.run(config, made, workspace) == counters
    assert {path.name: path.read_text() for path in (workspace.data / "replies").iterdir()} == replies
