"""A preference round as separate scripts do it: each a process that loads its model, works, and writes a file.

    python -m benchmarks.round_scripts sample|judge|train --directory D --round N

vLLM, transformers and TRL as their documentation sets them up, on a CPU; nothing of medray but the prompts' file, and
the seeds and settings of sampling, so that the work is the same. Models: D/plain-0 (then what TRL saves: plain-1 ...)
and D/reward_model.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}


def sample(directory: Path, number: int, how: dict[str, Any]) -> None:
    """K completions of every prompt of the round, by vLLM."""
    from transformers import AutoTokenizer
    from vllm import LLM, SamplingParams
    from vllm.inputs import TokensPrompt

    model = str(directory / f"plain-{number}")
    tokenizer = AutoTokenizer.from_pretrained(model)
    # chunked prefill crashes seeded requests on a CPU; compiling costs 20 to 50 s there and gains nothing
    llm = LLM(
        model=model, dtype="float32", max_model_len=how["max_model_len"], enforce_eager=True,
        enable_chunked_prefill=False,
    )  # fmt: skip
    prompts = json.loads((directory / f"prompts-{number}.json").read_text())
    asked, requests = [], []
    for prompt in prompts:
        text = tokenizer.apply_chat_template(prompt["messages"], add_generation_prompt=True, tokenize=False)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        for seed in prompt["seeds"]:
            asked.append(TokensPrompt(prompt_token_ids=ids))
            requests.append(SamplingParams(temperature=1.0, max_tokens=how["max_tokens"], seed=seed))
    outputs = iter([request.outputs[0] for request in llm.generate(asked, requests, use_tqdm=False)])
    answered = []
    for prompt in prompts:
        made = [next(outputs) for _ in prompt["seeds"]]
        answered.append({**prompt, "texts": [o.text for o in made], "cut": [o.finish_reason == "length" for o in made]})
    (directory / f"completions-{number}.json").write_text(json.dumps(answered))


def judge(directory: Path, number: int, how: dict[str, Any]) -> None:
    """The best and the worst of each prompt by the reward model, batches of 8 as they come, padded.

    By medray's rule, so that both train on as many pairs: the best is one that was not cut, where there is one.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(2)
    model = directory / "reward_model"
    tokenizer = AutoTokenizer.from_pretrained(model)
    reward_model = AutoModelForSequenceClassification.from_pretrained(model, dtype=torch.float32).eval()
    prompts = json.loads((directory / f"completions-{number}.json").read_text())
    texts = [
        tokenizer.apply_chat_template([*p["messages"], {"role": "assistant", "content": text}], tokenize=False)
        for p in prompts
        for text in p["texts"]
    ]
    rewards: list[float] = []
    for start in range(0, len(texts), 8):
        batch = tokenizer(texts[start : start + 8], return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.no_grad():
            rewards += reward_model(**batch).logits[:, 0].tolist()
    found, pairs = iter(rewards), []
    for prompt in prompts:
        judged = [(next(found), text, cut) for text, cut in zip(prompt["texts"], prompt["cut"], strict=True)]
        usable = [each for each in judged if each[1].strip()]
        if not usable:
            continue
        best = max([each for each in usable if not each[2]] or usable)
        worst = min(usable)
        if worst[0] < best[0] and worst[1].strip() != best[1].strip():
            sides = {"chosen": best[1], "rejected": worst[1]}
            answers = {side: [{"role": "assistant", "content": text}] for side, text in sides.items()}
            pairs.append({"prompt": prompt["messages"], **answers})
    (directory / f"pairs-{number}.json").write_text(json.dumps(pairs))


def train(directory: Path, number: int, how: dict[str, Any]) -> None:
    """One epoch of DPO by TRL with its defaults, its reference the model it starts from."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    torch.set_num_threads(2)
    model = directory / f"plain-{number}"
    arguments = DPOConfig(
        output_dir=str(directory / f"trl-{number}"), num_train_epochs=1, beta=0.1, learning_rate=how["learning_rate"],
        lr_scheduler_type="constant", bf16=False, use_cpu=True, report_to="none", save_strategy="no",
        disable_tqdm=True,
    )  # fmt: skip
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32), args=arguments,
        train_dataset=Dataset.from_list(json.loads((directory / f"pairs-{number}.json").read_text())),
        processing_class=AutoTokenizer.from_pretrained(model),
    )  # fmt: skip
    trainer.train()
    trainer.save_model(str(directory / f"plain-{number + 1}"))


SCRIPTS = {"sample": sample, "judge": judge, "train": train}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("script", choices=SCRIPTS)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--round", type=int, required=True)
    given = parser.parse_args()
    settings = json.loads((given.directory / "settings.json").read_text())
    SCRIPTS[given.script](given.directory, given.round, settings)
