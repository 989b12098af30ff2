"""A replica's rewards, without Ray: those of whole sequences one by one, whatever rows share."""

import json
import os
import subprocess
import sys

import pytest
import torch

from medray.core.config import UserError
from medray.model.base import make_tiny
from medray.model.export import save_model
from medray.model.load import load_reward_model, load_tokenizer, pooled_rewards
from medray.model.render import render
from medray.serve.config import RewardServing, ServingPlacement
from medray.serve.rewarding import Rewarder
from medray.serve.schema import RewardRow


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory):
    root = tmp_path_factory.mktemp("rewarding")
    make_tiny(root / "policy", ["What is disease 1? word1 word2 Heart Kidney"])
    model = load_reward_model(root / "policy", "fp32", from_policy=True)
    torch.nn.init.normal_(model.score.weight, generator=torch.Generator().manual_seed(0))
    save_model(model, load_tokenizer(root / "policy"), root / "model", {"title": "tiny reward"})
    return root / "model"


def row(question, completion, system=""):
    messages = [{"role": "system", "content": system}] if system else []
    return RewardRow.model_validate(
        {"messages": [*messages, {"role": "user", "content": question}], "completion": completion}
    )


ROWS = [
    row("What is disease 1?", "word1"),
    row("What is disease 2? " * 4, "word1 word2 Heart"),
    row("What is disease 1?", "word2 " * 9),
    row("What is disease 1?", "word1", system="Kidney"),
    row("What is disease 1?", "word1"),  # equal to the first
    row("What is disease 3?", "Heart"),
    row("What is disease 3?", "Kidney"),
    row("Heart", "word2", system="Kidney"),
    row("Heart", "word1", system="Kidney"),
]


@pytest.mark.parametrize("tokens_per_forward", [1, 64, 4096])
def test_rewards_are_those_of_whole_sequences_one_by_one(reward_model, tokens_per_forward):
    placement = ServingPlacement(tokens_per_forward=tokens_per_forward)
    rewarder = Rewarder(reward_model, RewardServing(dtype="fp32", max_tokens=160, placement=placement))
    tokenizer, model = load_tokenizer(reward_model), load_reward_model(reward_model, "fp32")
    expected = []
    for asked in ROWS:
        messages = [*(m.model_dump() for m in asked.messages), {"role": "assistant", "content": asked.completion}]
        with torch.inference_mode():
            expected.append(float(pooled_rewards(model, [[render(tokenizer, messages).ids]])))
    found, cut = rewarder.rewards(ROWS)
    assert not any(cut) and found == pytest.approx(expected, abs=1e-5)
    assert found[0] == pytest.approx(found[4], abs=1e-6) and len({round(value, 4) for value in found}) == len(ROWS) - 1
    assert rewarder.rewards(ROWS) == (found, cut), "equal requests must give bitwise-equal rewards"
    assert rewarder.facts["batch_difference"] <= 1e-4


@pytest.mark.parametrize(
    ("dtype", "factor", "refused_above"),
    [("fp32", 1e6, None), ("fp32", float("nan"), "0.0001"), ("bf16", 1.0, None), ("bf16", float("nan"), "0.5")],
)
def test_the_self_test_measures_by_the_size_of_the_rewards(reward_model, tmp_path, dtype, factor, refused_above):
    scaled = load_reward_model(reward_model, "fp32")
    with torch.no_grad():
        scaled.score.weight *= factor
    save_model(scaled, load_tokenizer(reward_model), tmp_path / "model", {"title": "scaled"})
    serving = RewardServing(dtype=dtype, max_tokens=160)
    if refused_above is None:
        assert 1e-4 < Rewarder(tmp_path / "model", serving).facts["batch_difference"] < 0.1 * factor
    else:
        with pytest.raises(UserError, match=f"rewards move by nan with the batch, expected at most {refused_above}"):
            Rewarder(tmp_path / "model", serving)


IN_VLLM = """
import json, sys
from vllm import LLM
from vllm.config import PoolerConfig
how = PoolerConfig(task="classify", use_activation=False)
llm = LLM(sys.argv[1], runner="pooling", convert="classify", pooler_config=how, dtype="float32", max_model_len=320,
          enforce_eager=True, kv_cache_memory_bytes=2**28)
prompts = [{"prompt_token_ids": ids} for ids in json.loads(sys.argv[2])]
print(json.dumps([output.outputs.probs[0] for output in llm.classify(prompts, use_tqdm=False)]))
"""


@pytest.mark.full
@pytest.mark.timeout(300)
def test_vllm_loads_what_is_exported(tmp_path):
    """Its pooling runner gives the rewards of transformers' own model."""
    pytest.importorskip("vllm")
    make_tiny(tmp_path / "policy", ["What is disease 1? word1 word2 Heart Kidney"], hidden_size=128)
    model, tokenizer = (
        load_reward_model(tmp_path / "policy", "fp32", from_policy=True),
        load_tokenizer(tmp_path / "policy"),
    )
    torch.nn.init.normal_(model.score.weight, generator=torch.Generator().manual_seed(0))
    save_model(model, tokenizer, tmp_path / "model", {"title": "tiny reward"})
    told = [[*(m.model_dump() for m in r.messages), {"role": "assistant", "content": r.completion}] for r in ROWS]
    ids = [render(tokenizer, messages).ids for messages in told]
    with torch.inference_mode():
        expected = pooled_rewards(load_reward_model(tmp_path / "model", "fp32"), [[row] for row in ids]).tolist()
    done = subprocess.run(
        [sys.executable, "-c", IN_VLLM, str(tmp_path / "model"), json.dumps(ids)], capture_output=True, text=True,
        timeout=280, env=os.environ | {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(expected, abs=1e-4)


def test_long_prompts_that_are_cut_alike_give_equal_rewards(reward_model):
    rewarder = Rewarder(reward_model, RewardServing(dtype="fp32", max_tokens=160))
    long, longer = row("word1 " * 200, "Heart"), row("word1 " * 220, "Heart")
    together, cut = rewarder.rewards([long, longer, row("word1", "Heart")])
    assert cut == [True, True, False] and together[0] == pytest.approx(together[1], abs=1e-6)
    assert together[:1] == pytest.approx(rewarder.rewards([long])[0], abs=1e-5)
