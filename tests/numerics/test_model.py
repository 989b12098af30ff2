"""Model directories: what is saved is what loads, in transformers too, and rewards do not see their company."""

import hashlib
import json
import shutil
import subprocess
import sys

import pytest
import torch

from medray.core.config import UserError
from medray.model.base import check_model_dir, convert_gguf, make_tiny
from medray.model.export import NOTICE, save_model
from medray.model.held import hold, rewards_after
from medray.model.load import load_policy, load_reward_model, load_tokenizer, pooled_rewards
from medray.model.render import render
from medray.model.tokenizer import open_backend, tokenizer_digest

TEXTS = ["A fever is a high temperature."]


def digests(directory):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.iterdir())}


def test_tiny_is_equal_across_processes_seeds_differ_and_the_global_rng_is_left_alone(tmp_path):
    here, there, other = (tmp_path / name for name in ("here", "there", "other"))
    state = torch.random.get_rng_state()
    make_tiny(here, TEXTS, vocab_size=400)
    make_tiny(other, TEXTS, vocab_size=400, rng_seed=1)
    assert torch.equal(state, torch.random.get_rng_state())
    code = f"from medray.model.base import make_tiny; make_tiny({str(there)!r}, {TEXTS!r}, vocab_size=400)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert digests(here) == digests(there)
    assert digests(here)["model.safetensors"] != digests(other)["model.safetensors"]
    assert tokenizer_digest(here) == tokenizer_digest(other)


def test_export_reloads_with_plain_transformers(tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    policy, tokenizer = load_policy(tiny_model, "fp32"), load_tokenizer(tiny_model)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.01)
    for name in ("first", "second"):
        save_model(policy, tokenizer, tmp_path / name, {"title": "A round", "beta": 0.1, "data": ["x"]})
    assert digests(tmp_path / "first") == digests(tmp_path / "second")
    other = AutoModelForCausalLM.from_pretrained(tmp_path / "first", dtype=torch.float32)
    ids = torch.arange(3, 40)[None]
    with torch.inference_mode():
        assert torch.equal(other(ids).logits, policy(ids).logits)
    assert other.generation_config.eos_token_id == [tokenizer.eos_token_id]
    assert other.generation_config.pad_token_id == tokenizer.pad_token_id == 0
    messages = [{"role": "user", "content": "What is a fever?"}, {"role": "assistant", "content": "A temperature."}]
    reloaded = AutoTokenizer.from_pretrained(tmp_path / "first")
    assert render(reloaded, messages) == render(tokenizer, messages)
    assert tokenizer_digest(tmp_path / "first") == tokenizer_digest(tiny_model)
    card = (tmp_path / "first" / "README.md").read_text()
    assert NOTICE in card and "# A round" in card and "- **beta**: 0.1" in card


def test_reward_model_starts_with_the_same_head_and_survives_a_save(tiny_model, tmp_path):
    model, twin = (load_reward_model(tiny_model, "fp32", from_policy=True) for _ in range(2))
    assert torch.equal(model.score.weight, twin.score.weight)
    assert model.score.weight.std().item() == pytest.approx((model.score.in_features + 1) ** -0.5, rel=0.2)
    save_model(model, load_tokenizer(tiny_model), tmp_path, {"title": "reward model"})
    again = load_reward_model(tmp_path, "fp32")
    sequences = [[5, 6, 7, 2], [9, 2]]
    assert torch.equal(pooled_rewards(again, [sequences]), pooled_rewards(model, [sequences]))
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["LlamaForSequenceClassification"]
    # transformers' own pooling agrees, because no sequence ends with the pad token
    with torch.inference_mode():
        own = torch.cat([again(torch.tensor([ids])).logits[0] for ids in sequences])
    assert torch.allclose(own, pooled_rewards(again, [sequences]), atol=1e-5)
    for directory, from_policy in ((tiny_model, False), (tmp_path, True)):
        with pytest.raises(UserError, match="expected the other kind"):
            load_reward_model(directory, "fp32", from_policy=from_policy)


def test_rewards_do_not_depend_on_padding_or_company(tiny_model):
    model = load_reward_model(tiny_model, "fp32", from_policy=True)
    pad = load_tokenizer(tiny_model).pad_token_id
    sequences = [[5, 6, 7, 2], [9, 2], list(range(3, 60)), [8, pad, pad]]
    together = pooled_rewards(model, [[ids] for ids in sequences])
    alone = torch.cat([pooled_rewards(model, [[ids]]) for ids in sequences])
    assert torch.allclose(together, alone, atol=1e-5) and len(set(together.tolist())) == 4
    siblings = [[5, 6, 7, 2], [5, 6, 9, 2], [5, 6]]
    shared = pooled_rewards(model, [siblings, sequences])
    assert torch.allclose(
        shared, torch.cat([pooled_rewards(model, [[ids]]) for ids in siblings + sequences]), atol=1e-5
    )
    together.sum().backward()
    assert model.score.weight.grad.abs().sum() > 0


def test_rewards_do_not_depend_on_what_is_held(tiny_model):
    model = load_reward_model(tiny_model, "fp32", from_policy=True)
    start, prompts = [5, 6, 7], [[8, 9], list(range(10, 30))]
    completions, which = [[40, 2], [41], list(range(42, 60)), [61, 62, 2]], [1, 0, 1, 0]
    whole = pooled_rewards(model, [[start + prompts[i] + ids] for i, ids in zip(which, completions, strict=True)])
    held = hold(model, prompts, hold(model, [start]))
    assert held.num_tokens == [5, 23]
    for _ in range(2):  # what is held is not used up
        assert torch.allclose(rewards_after(model, completions, held, which), whole, atol=1e-5)
    rest = [start + prompts[i] + ids for i, ids in zip(which, completions, strict=True)]
    assert torch.allclose(rewards_after(model, rest, None, [0] * 4), whole, atol=1e-5)
    with pytest.raises(AssertionError, match="empty"):
        rewards_after(model, [[]], held, [0])


def test_pad_is_never_eos(tiny_model, tmp_path):
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.pad_token = tokenizer.eos_token  # as SmolLM2 ships
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).pad_token == "<|endoftext|>"
    assert tokenizer_digest(tmp_path) == tokenizer_digest(tiny_model)
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert tokenizer_digest(tmp_path) != tokenizer_digest(tiny_model)


def test_the_backend_is_the_tokenizers_and_needs_no_torch(tiny_model, tmp_path):
    text = "A fever, <|im_start|>user\nédème<|im_end|> 39.5 \u00b0C  "
    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": "LlamaTokenizer"}))
    found = []
    for directory in (tiny_model, tmp_path):
        whole = load_tokenizer(directory)
        found.append(whole(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
        backend, eos = open_backend(directory)
        assert eos == whole.eos_token_id and eos not in found[-1]
        assert backend.encode_batch_fast([text], add_special_tokens=False)[0].ids == found[-1]
    assert found[0] != found[1]  # transformers builds a tokenizer of its own for such a class
    code = (
        "import sys; from medray.model.tokenizer import open_backend; "
        f"open_backend({str(tiny_model)!r}); assert not {{'torch', 'transformers'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "eos_token": "<|nowhere|>"}))
    with pytest.raises(UserError, match="nowhere.*not in the vocabulary"):
        open_backend(tmp_path)


@pytest.mark.parametrize(
    "missing", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]
)
def test_model_directories_are_checked(tiny_model, tmp_path, missing):
    check_model_dir(tiny_model)
    for path in tiny_model.iterdir():
        if path.name != missing:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=missing.replace("model.", "")) as caught:
        check_model_dir(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_directories_and_files(tmp_path):
    with pytest.raises(UserError, match="no such directory"):
        check_model_dir(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no such GGUF"):
        convert_gguf(tmp_path / "x.gguf", tmp_path / "out")


def test_incomplete_weights_are_refused(tiny_model, tmp_path):
    from safetensors.torch import load_file, save_file

    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="1 weights are missing"):
        load_policy(tmp_path, "fp32")


def test_a_base_without_a_template_gets_one_by_name_and_keeps_it(tiny_model, tmp_path):
    from medray.corpus.base import _check, _copy
    from medray.model.render import render_prompt
    from medray.model.tokenizer import tokenizer_digest

    bare = tmp_path / "bare"
    shutil.copytree(tiny_model, bare)
    (bare / "chat_template.jinja").unlink()
    files = sorted(bare.glob("*.json")) + sorted(bare.glob("*.safetensors"))
    with pytest.raises(UserError, match="no chat template.*or name one in base.chat_template"):
        _copy(files, tmp_path / "refused", None)
    _copy(files, tmp_path / "model", "alpaca")
    assert _check(tmp_path / "model", "alpaca") > 0
    tokenizer = load_tokenizer(tmp_path / "model")
    prompt = tokenizer.decode(render_prompt(tokenizer, [{"role": "user", "content": "Which organ makes bile?"}]))
    assert prompt.startswith("Below is an instruction") and prompt.endswith("makes bile?\n\n### Response:")
    assert tokenizer_digest(tmp_path / "model") != tokenizer_digest(bare)
    with pytest.raises(UserError, match="ends an answer with .* expected a stop token"):
        _copy(files, tmp_path / "other", "gemma")  # whose special tokens this vocabulary lacks
