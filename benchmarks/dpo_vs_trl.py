"""Direct preference optimization, medray against TRL's DPOTrainer: pairs a second on real answers, on a CPU.

    python -m benchmarks.dpo_vs_trl [--quick] [--data ../shared/data/preference] [--dtype fp32]

A patient's question with gpt-4's answer over PMC-LLaMA's or davinci's (icliniq, by AlpaCare), of at most 512 tokens
with the prompt (--quick: 320). Every contestant gets the same pairs in the same order, SmolLM2-135M's weights (--quick:
a 25M shape), AdamW, 8 pairs in an optimizer step, and the same environment, in which large tensors stay in one heap:

- documented: TRL as its documentation sets it up: its defaults, the reference model beside the policy;
- best: TRL with its reference log-probs taken before, 2 pairs a forward, without gradient checkpointing. It asks for
  padding_free too, which TRL 1.16 says it has disabled for the present and answers with padding;
- medray: reference log-probs taken before (its reference stage), the prompt of a pair computed once.

Taking reference log-probs before is not timed, for neither. The losses of all steps are compared with TRL's. Each
contestant is a process of its own, in turn, and tells its steps on stderr; its first step is left out. TRL's fused head
is Triton on a GPU; on a CPU it scores every position, prompts and padding too, with plain torch, which is much of its
time there. Prints a table and, last, one JSON line: medray's pairs a second over each of TRL's (aims 2 and 1.2), and
how far the losses are apart (aim: at most 1e-4).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.sft_vs_trl import SEED, write_model

# without it glibc maps and unmaps every large tensor, and TRL's of 1 GB cost more in page faults than in arithmetic
os.environ |= {
    "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(16 * 2**30), "MALLOC_TRIM_THRESHOLD_": str(16 * 2**30)
}  # fmt: skip

BATCH = 8
TIMEOUT_S = {True: 900, False: 3600}
"""Of one contestant, by --quick."""
BETA, LEARNING_RATE = 0.1, 5e-6
REJECTED = ("PMC_LLAMA_7B", "text-davinci-003")
"""In this order: the first of them whose answer is there and not chosen's."""


def prepare(directory: Path, data: Path, shape: str, num_pairs: int, max_tokens: int) -> None:
    """Write the model and the pairs as ids."""
    import zstandard

    from medray.core.config import UserError
    from medray.model.load import load_tokenizer
    from medray.model.render import render_pair

    write_model(directory / "model", shape)
    tokenizer = load_tokenizer(directory / "model")
    with zstandard.open(data / "icliniq_model_outputs.jsonl.zst", "rt") as stream:
        rows = [json.loads(line) for line in stream]
    pairs, num_left = [], 0
    for row in rows:
        answers = row["responses"]
        rejected = next((answers[name] for name in REJECTED if answers.get(name, "").strip()), None)
        messages = [{"role": "user", "content": row["prompt"]}]
        try:
            pair = {"messages": messages, "chosen": answers["gpt-4"], "rejected": rejected or ""}
            chosen, other = render_pair(tokenizer, pair)
        except UserError:
            num_left += 1
            continue
        if max(len(chosen.ids), len(other.ids)) > max_tokens:
            num_left += 1
            continue
        cut = chosen.prompt_length
        pairs.append({"prompt_ids": chosen.ids[:cut], "chosen_ids": chosen.ids[cut:], "rejected_ids": other.ids[cut:]})
    pairs = pairs[:num_pairs]
    (directory / "pairs.json").write_text(json.dumps(pairs))
    means = {name: sum(len(pair[name]) for pair in pairs) / len(pairs) for name in pairs[0]}
    print(f"{len(pairs)} pairs, {num_left} too long or empty; tokens on average: "
          f"{', '.join(f'{name} {mean:.0f}' for name, mean in means.items())}", flush=True)  # fmt: skip


def run_medray(directory: Path, num_steps: int, dtype: str) -> list[tuple[float, float, float]]:
    """(wall seconds, processor seconds, loss) of each step."""
    import torch

    from medray.model.load import load_policy
    from medray.model.tokenizer import tokenizer_digest
    from medray.tables.blocks import BlockStore, BlockWriter
    from medray.train.batches import step_rows
    from medray.train.config import Optimization, PreferenceLoss, TrainPlacement
    from medray.train.forward import Forward, ForwardRow
    from medray.train.loop import Ranks, train
    from medray.train.objective import Preference

    torch.set_num_threads(2)
    pairs = json.loads((directory / "pairs.json").read_text())[: num_steps * BATCH]
    rows = [ForwardRow(p["prompt_ids"], [p["chosen_ids"], p["rejected_ids"]]) for p in pairs]
    reference = Forward(directory / "model", dtype=dtype, threads=2).sequence_logprobs(rows)
    store_directory = directory / "store"
    writer = BlockWriter(store_directory, "pairs", tokenizer_digest(directory / "model"), 0, 1024)
    for pair, logprobs in zip(pairs, reference, strict=True):
        sides = [pair["prompt_ids"] + pair[name] for name in ("chosen_ids", "rejected_ids")]
        mask = [[0] * len(pair["prompt_ids"]) + [1] * len(pair[name]) for name in ("chosen_ids", "rejected_ids")]
        writer.add(sum(sides, []), [len(ids) for ids in sides], sum(mask, []), [value for value, _ in logprobs])
    writer.close()
    store = BlockStore(store_directory)
    optimization = Optimization(
        learning_rate=LEARNING_RATE, schedule="constant", warmup_fraction=0.0, min_learning_rate_fraction=0.0,
        optimizer="adamw", betas=(0.9, 0.999), weight_decay=0.0, gradient_clip=1.0, global_batch=BATCH, epochs=1.0,
        dtype=dtype, rng_seed=SEED,
    )  # fmt: skip
    order = [row for step in range(num_steps) for row in step_rows(step, store, optimization)]
    (directory / "order.json").write_text(json.dumps(order))
    found: list[tuple[float, float, float]] = []
    clocks = [time.perf_counter(), time.process_time()]

    def on_step(done: int, total: int, metrics: dict[str, float]) -> None:
        now = [time.perf_counter(), time.process_time()]
        found.append((now[0] - clocks[0], now[1] - clocks[1], metrics["loss"]))
        tell("medray", found)
        clocks[:] = now

    train(
        load_policy(directory / "model", dtype), store, optimization=optimization,
        objective=Preference(terms=PreferenceLoss(name="dpo", beta=BETA)),
        placement=TrainPlacement(micro_batch=2, zero_stage=0 if dtype == "fp32" else 1),
        checkpoints=directory / "checkpoints", ranks=Ranks.alone(), on_step=on_step,
    )  # fmt: skip
    return found


def run_trl(directory: Path, num_steps: int, dtype: str, kind: str) -> list[tuple[float, float, float]]:
    """The same of TRL, on medray's order of the pairs."""
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import DPOConfig, DPOTrainer

    from medray.model.load import load_policy, load_tokenizer

    torch.set_num_threads(2)
    pairs = json.loads((directory / "pairs.json").read_text())
    pairs = [pairs[row] for row in json.loads((directory / "order.json").read_text())]
    found: list[tuple[float, float, float]] = []
    losses: list[float] = []
    clocks = [time.perf_counter(), time.process_time()]

    class Ordered(DPOTrainer):
        """On the ids as they are, in the order of the data set; keeps the losses unrounded."""

        def _prepare_dataset(self, dataset: Any, *args: Any) -> Any:
            return dataset

        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().compute_loss(*args, **kwargs)
            losses.append(float(loss.detach()))
            return loss

        def _get_train_sampler(self, *args: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    class Clock(TrainerCallback):
        """What each step took, and its loss."""

        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            if not found:  # reference log-probs are taken before the first step
                clocks[:] = [time.perf_counter(), time.process_time()]

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            now = [time.perf_counter(), time.process_time()]
            found.append((now[0] - clocks[0], now[1] - clocks[1], sum(losses) / len(losses)))
            tell(kind, found)
            clocks[:] = now
            losses.clear()

    best = {
        "padding_free": True, "precompute_ref_log_probs": True, "gradient_checkpointing": False,
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": BATCH // 2,
    }  # fmt: skip
    arguments = DPOConfig(
        output_dir=str(directory / f"trl-{kind}"), max_length=None, max_steps=num_steps, beta=BETA,
        learning_rate=LEARNING_RATE, lr_scheduler_type="constant", bf16=dtype == "bf16", use_cpu=True,
        report_to="none", save_strategy="no", disable_tqdm=True, seed=SEED, logging_steps=1,
        **(best if kind == "best" else {"per_device_train_batch_size": BATCH}),
    )  # fmt: skip
    policy, reference = (load_policy(directory / "model", "fp32") for _ in range(2))
    trainer = Ordered(
        model=policy, ref_model=None if kind == "best" else reference, args=arguments, callbacks=[Clock()],
        train_dataset=Dataset.from_list(pairs), processing_class=load_tokenizer(directory / "model"),
    )  # fmt: skip
    trainer.train()
    return found


def tell(contestant: str, steps: list[tuple[float, float, float]]) -> None:
    """The newest step, on stderr."""
    wall, cpu, loss = steps[-1]
    print(f"{contestant} step {len(steps)}: {wall:.1f} s, {cpu:.1f} s of processors, loss {loss:.6f}", file=sys.stderr,
          flush=True)  # fmt: skip


def measured(directory: Path, contestant: str, num_steps: int, dtype: str, timeout_s: float) -> list[list[float]]:
    """The steps of a contestant, in a process of its own."""
    result = directory / "result.json"
    result.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.dpo_vs_trl", "--contestant", contestant, "--directory", str(directory)]
    try:
        subprocess.run(
            [*command, "--steps", str(num_steps), "--dtype", dtype], stdout=subprocess.DEVNULL, timeout=timeout_s,
            check=True,
        )  # fmt: skip
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise SystemExit(f"{contestant}: {error}") from None
    return json.loads(result.read_text())


def main() -> None:
    """Prepare, measure in turn, compare losses, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a 25M shape, few steps; under 5 minutes")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/preference"))
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.contestant:
        given = arguments.directory, arguments.steps, arguments.dtype
        steps = run_medray(*given) if arguments.contestant == "medray" else run_trl(*given, arguments.contestant)
        (arguments.directory / "result.json").write_text(json.dumps(steps))
        return
    shape, num_steps, max_tokens = ("25M", 4, 320) if arguments.quick else ("135M", 8, 512)
    skipped, timeout_s = 1, TIMEOUT_S[arguments.quick]
    found: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        prepare(directory, arguments.data, shape, num_steps * BATCH, max_tokens)
        for contestant in ("medray", "documented", "best"):
            found[contestant] = measured(directory, contestant, num_steps, arguments.dtype, timeout_s)
    losses = {name: [step[2] for step in steps] for name, steps in found.items()}
    peers = ("documented", "best")
    apart = max(abs(a - b) for peer in peers for a, b in zip(losses["medray"], losses[peer], strict=True))
    rates = {
        name: [BATCH * (num_steps - skipped) / sum(step[clock] for step in steps[skipped:]) for clock in (0, 1)]
        for name, steps in found.items()
    }
    print(f"{shape}, {arguments.dtype}\ncontestant   pairs/s   medray/it   cpu      loss, first and last step")
    for name, (wall, cpu) in rates.items():
        print(f"{name:11}  {wall:7.3f}  {rates['medray'][0] / wall:10.3f}  {rates['medray'][1] / cpu:6.3f}   "
              f"{losses[name][0]:.5f} -> {losses[name][-1]:.5f}")  # fmt: skip
    ratios = {f"ratio_{peer}": round(rates["medray"][0] / rates[peer][0], 3) for peer in peers}
    print(json.dumps({**ratios, "max_loss_difference": float(f"{apart:.2g}")}))


if __name__ == "__main__":
    main()
