"""A reward model that only loves length, and one round of real learning from it: the observatory undoes the round."""

import json
import math
from types import SimpleNamespace

import pytest

from medray.core.schema import COMPLETION, PAIR, PROMPT, REWARD, read_table, write_table
from medray.core.workspace import Root, Workspace
from medray.evaluate import fresh, observe
from medray.evaluate.observe import ObserveConfig, ObserveRules
from medray.preference.pairs import Candidate, PairsConfig, choose_pairs

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(300)

NUM_PROMPTS, K, MAX_NEW = 24, 6, 40
WORDS = "the heart moves blood and the kidney clears it while lungs take air".split()


def question(number):
    return [{"role": "user", "content": f"What does organ {number} do?"}]


def prompts():
    return [
        {"id": f"p{i:02d}", "task": "describe", "messages": question(i), "options": [], "gold": -1, "reference": "",
         "group": "", "split": "fresh"} for i in range(NUM_PROMPTS)
    ]  # fmt: skip


def steps(model, losses, learning_rate):
    """A step of AdamW on each loss."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    for loss in losses:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


def logprob(model, prompt, completion):
    logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
    return logits.float().log_softmax(-1)[range(len(completion)), completion].sum()


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """A tiny model tuned on answers of 1 to 12 words, so that its own are short or long."""
    from medray.model.base import make_tiny
    from medray.model.export import save_model
    from medray.model.load import load_policy, load_tokenizer
    from medray.model.render import render

    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("policy")
    make_tiny(root / "base", [" ".join(WORDS), "What does organ 1 do?"])
    tokenizer, model = load_tokenizer(root / "base"), load_policy(root / "base", "fp32")
    rows = [
        render(tokenizer, [*question(n % 24), {"role": "assistant", "content": " ".join(WORDS[: 1 + n * 5 % 12])}])
        for n in range(96)
    ]
    batches = [rows[start : start + 8] for start in range(0, 96, 8)] * 5
    steps(
        model,
        [lambda some=some: -sum(logprob(model, r.prompt, r.completion) for r in some) / 60 for some in batches],
        3e-3,
    )
    save_model(model, tokenizer, root / "sft" / "data" / "model", {"title": "sft"})
    return root / "sft" / "data"


def sampled(data, target, seed):
    """Completions of a policy, judged by their length and nothing else, as `sample` and `judge` write them."""
    from medray.model.load import load_policy, load_tokenizer
    from medray.model.render import render_prompt, stop_ids

    torch.manual_seed(seed)
    tokenizer, model = load_tokenizer(data / "model"), load_policy(data / "model", "fp32")
    stop, rows = stop_ids(tokenizer)[0], []
    for prompt in prompts():
        asked = render_prompt(tokenizer, prompt["messages"])
        made = model.generate(
            torch.tensor([asked] * K), do_sample=True, max_new_tokens=MAX_NEW, top_k=0, eos_token_id=stop,
            pad_token_id=tokenizer.pad_token_id,
        )[:, len(asked) :].tolist()  # fmt: skip
        for index, ids in enumerate(made):
            ids, reason = (ids[: ids.index(stop) + 1], "stop") if stop in ids else (ids, "length")
            text = tokenizer.decode([id for id in ids if id != stop])
            rows.append(
                {"id": f"{prompt['id']}/{index}", "prompt_id": prompt["id"], "index": index, "text": text,
                 "token_ids": ids, "prompt_token_ids": asked, "finish_reason": reason, "seed": index}
            )  # fmt: skip
    rewards = [
        {"completion_id": row["id"], "prompt_id": row["prompt_id"], "index": row["index"], "correct": -1,
         "reward": 0.05 * len(row["token_ids"]), "num_tokens": len(row["token_ids"])} for row in rows
    ]  # fmt: skip
    write_table(target / "completions" / "part-00000.parquet", rows, COMPLETION)
    write_table(target / "rewards.parquet", rewards, REWARD)
    write_table(target / "prompts.parquet", prompts(), PROMPT)
    return rows, {row["completion_id"]: row["reward"] for row in rewards}


def paired(rows, rewards, target):
    """Pairs by medray's own rule, as `preference_pairs` writes them."""
    config, pairs = PairsConfig(min_margin=0.0, unparsed_is_wrong=False, source="round_1"), []
    for prompt in prompts():
        own = [row for row in rows if row["prompt_id"] == prompt["id"]]
        found = choose_pairs(
            [Candidate(r["index"], r["text"], rewards[r["id"]], -1, r["finish_reason"] == "length") for r in own],
            config, prompt["id"], has_gold=False,
        )  # fmt: skip
        pairs += [
            {"id": prompt["id"], "prompt_id": prompt["id"], "source": "round_1", "messages": prompt["messages"],
             "chosen": c.text, "rejected": r.text, "chosen_reward": c.reward, "rejected_reward": r.reward,
             "split": "train", "task": "describe"} for c, r in found.pairs
        ]  # fmt: skip
    write_table(target / "pairs.parquet", pairs, PAIR)
    return pairs


def tuned(data, pairs, target):
    """One epoch of DPO on the pairs, each by itself."""
    from medray.model.export import save_model
    from medray.model.load import load_policy, load_tokenizer
    from medray.model.render import render_pair

    tokenizer, model = load_tokenizer(data / "model"), load_policy(data / "model", "fp32")
    rendered = [render_pair(tokenizer, pair) for pair in pairs]
    with torch.no_grad():
        before = [[logprob(model, side.prompt, side.completion) for side in sides] for sides in rendered]

    def loss(i):
        (new_c, new_r), (old_c, old_r) = ([logprob(model, s.prompt, s.completion) for s in rendered[i]], before[i])
        return -torch.nn.functional.logsigmoid(0.1 * ((new_c - old_c) - (new_r - old_r)))

    steps(model, [lambda i=i: loss(i) for i in range(len(rendered))], 3e-4)
    save_model(model, tokenizer, target / "model", {"title": "round 1"})


def measured(root, name, data):
    """What `evaluate_fresh` seals of the judged completions."""
    inputs = {role: SimpleNamespace(data=data) for role in ("completions", "rewards", "prompts")}
    workspace = Workspace(root, fresh.NAME, name * 32, f"fresh.{name}")
    fresh.run(fresh.FreshConfig(rng_seed=1), inputs, workspace)
    return SimpleNamespace(data=workspace.data)


def test_one_round_of_a_lover_of_length_is_undone(policy, tmp_path, monkeypatch):
    from medray.tables import shards

    monkeypatch.setattr(shards, "run_remote", lambda fn, *a, num_gpus=0: fn(*a))
    pairs = paired(*sampled(policy, tmp_path / "round", 1), tmp_path / "pairs")
    assert len(pairs) > NUM_PROMPTS // 2 and all(len(p["chosen"]) > len(p["rejected"]) for p in pairs)
    tuned(policy, pairs, tmp_path / "dpo")
    unread = [pairs[0] | {"id": "long", "chosen": "heart " * 3000}, pairs[0] | {"id": "token", "chosen": "<|im_end|>"}]
    write_table(tmp_path / "pairs" / "pairs.parquet", pairs + unread, PAIR)
    root = Root(str(tmp_path / "root"))
    root.prepare()
    sampled(policy, tmp_path / "before", 2)
    sampled(tmp_path / "dpo", tmp_path / "after", 2)
    inputs = {
        "policy": SimpleNamespace(data=tmp_path / "dpo"), "previous": SimpleNamespace(data=policy),
        "initial": SimpleNamespace(data=policy), "completions": SimpleNamespace(data=tmp_path / "after"),
        "before": measured(root, "a", tmp_path / "before"), "after": measured(root, "b", tmp_path / "after"),
        "pairs": SimpleNamespace(data=tmp_path / "pairs"),
    }  # fmt: skip
    rules = ObserveRules(gold_lost="stop", only_longer="roll_back", length_growth=0.1, far_away="note", max_kl=1e6)
    workspace = Workspace(root, observe.NAME, "c" * 32, "round_1.observe")
    counters = observe.run(ObserveConfig(rules=rules, dtype="fp32", rng_seed=1), inputs, workspace)
    assert (counters["alarm_only_longer"], counters["accepted"]) == (1, 0)
    assert (workspace.data / "model" / "model.safetensors").samefile(policy / "model" / "model.safetensors")
    assert (workspace.data / "prompts.parquet").samefile(inputs["before"].data / "prompts.parquet")
    seen = json.loads((workspace.data / "observation.json").read_text())
    assert seen["changes"]["reward_mean"]["verdict"] == "better" != seen["reward_at_equal_length"]["verdict"]
    assert seen["levels"]["tokens_mean"]["after"]["value"] > 1.1 * seen["levels"]["tokens_mean"]["before"]["value"]
    assert seen["reward_per_token"]["value"] == pytest.approx(0.05) == seen["reward_per_token_after"]["value"]
    moved = seen["drift"]["since_previous"]
    assert moved == seen["drift"]["since_initial"], "the round starts from the initial policy"
    assert moved["chosen"]["value"] > moved["rejected"]["value"] and moved["chosen"]["count"] == len(pairs)
    assert (counters["num_pairs"], counters["num_pairs_left_out"]) == (len(pairs), 2)
    assert counters["kl"] > 0 and math.isfinite(counters["kl"])
    assert len(read_table(workspace.data / "samples.parquet", fresh.SAMPLES)) == NUM_PROMPTS * K
