"""Preference rounds by medray against the same work by separate processes, start-up and reloading included; on a CPU.

    python -m benchmarks.round [--quick] [--data ../shared/data/instruct]

Questions of MedQuAD; SmolLM2-135M (--quick: a 25M shape, one round), a reward model with a random head; fp32. A round:
K samples of each prompt, rewards, the best against the worst, reference log-probs, one epoch of DPO.

- medray: a driver in a fresh process with its Ray: answer, pairs, reference, dpo for each round; engines and reward
  service stay up in between;
- scripts (benchmarks/round_scripts.py): three processes for each round, one after the other;
- pure (benchmarks/round_pure.py): what medray's rounds compute and nothing else, part by part in plain warm processes
  without Ray: sampling of the same shards, rewards of the same completions, choosing the pairs, reference log-probs,
  optimizer steps. Their sum is what the rounds would take without start-up, loading, files, waiting and overlap;
  work_fraction is the wall clock of medray's driver, from its start to its end, over that sum;
- stand-ins (benchmarks/round_stand_ins.py) for engine and reward service that only wait: overlap is the wall clock of
  the answer stage, its start included, over the longer of its two halves (30 s with --quick, else 120 s).

Prints a table and, last, one JSON line: ratio_wall, the scripts' wall clock over medray's (aim 2), work_fraction (aim
1.05) and overlap (aim 1.15). Wants a quiet machine.
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

from benchmarks.sft_vs_trl import SEED, conversations, write_model
from medray.core.config import Config, Placement
from medray.core.files import link
from medray.core.schema import PROMPT, write_table
from medray.core.stage import Stage, execute
from medray.core.workspace import Root, Workspace
from medray.generate.config import EnginePlacement, Sampling
from medray.generate.sampling import completion_seeds
from medray.preference import answer, dpo, pairs, reference
from medray.preference.answer import AnswerConfig
from medray.preference.dpo import DPOConfig
from medray.preference.judge import JudgeConfig
from medray.preference.pairs import PairsConfig
from medray.preference.reference import ReferenceConfig
from medray.preference.sample import SampleConfig
from medray.serve.config import RewardServing, ServingPlacement
from medray.train.config import Optimization, PreferenceLoss, TrainPlacement

MAX_TOKENS = 512
LEARNING_RATE = 1e-6
"""TRL's default."""
SIZES = {
    "quick": {
        "shape": "25M", "rounds": 1, "prompts": 24, "completions": 4, "tokens": 64, "shards": 60, "timeout_s": 290,
    },
    "full": {
        "shape": "135M", "rounds": 2, "prompts": 48, "completions": 4, "tokens": 128, "shards": 240, "timeout_s": 7200,
    },
}  # fmt: skip


class Place(Placement):
    """Where the inputs were written."""

    directory: str


class Given(Config):
    """A file or a directory of the inputs."""

    name: str
    placement: Place


def _link(config: Given, inputs: dict[str, Any], workspace: Workspace) -> dict[str, int]:
    source = Path(config.placement.directory) / config.name
    for path in [source] if source.is_file() else source.iterdir():
        link(path, workspace.data / ("" if source.is_file() else "model") / path.name)
    return {}


def sample_config(number: int, size: dict[str, Any]) -> SampleConfig:
    """Of round `number`."""
    return SampleConfig(
        sampling=Sampling(
            num_completions=size["completions"], temperature=1.0, top_p=1.0, max_tokens=size["tokens"], rng_seed=SEED,
            dtype="fp32", max_model_len=MAX_TOKENS,
        ),
        splits=(f"round_{number}",), num_prompts=None, salt=f"round_{number}",
        placement=EnginePlacement(prompts_per_shard=8),
    )  # fmt: skip


SERVING = RewardServing(dtype="fp32", max_tokens=MAX_TOKENS, placement=ServingPlacement(threads=2))
REFERENCE = ReferenceConfig(dtype="fp32", max_tokens=MAX_TOKENS, oversize="drop")
DPO = DPOConfig(
    loss=PreferenceLoss(name="dpo", beta=0.1),
    optimization=Optimization(
        learning_rate=LEARNING_RATE, schedule="constant", warmup_fraction=0.0, min_learning_rate_fraction=0.0,
        optimizer="adamw", betas=(0.9, 0.999), weight_decay=0.0, gradient_clip=1.0, global_batch=8, epochs=1.0,
        dtype="fp32", rng_seed=SEED,
    ),
    placement=TrainPlacement(micro_batch=2, zero_stage=0),
)  # fmt: skip


def stages(directory: Path, size: dict[str, Any]) -> list[Stage]:
    """The rounds' stages and, first, what is given to them."""
    place = Place(directory=str(directory))
    names = ("policy", "reward_model", "prompts.parquet")
    policy, reward_model, prompts = (Stage(n, n.split(".")[0], 1, Given(name=n, placement=place), _link) for n in names)
    found = [policy, reward_model, prompts]
    for number in range(size["rounds"]):
        how = AnswerConfig(sample=sample_config(number, size), judge=JudgeConfig(serving=SERVING))
        answers = Stage.of("answer", answer, how, policy=policy, reward_model=reward_model, prompts=prompts)
        rule = PairsConfig(min_margin=0.0, unparsed_is_wrong=True, source=f"round_{number}")
        chosen = Stage.of("pairs", pairs, rule, completions=answers, rewards=answers, prompts=prompts)
        ready = Stage.of("reference", reference, REFERENCE, reference=policy, pairs=chosen)
        policy = Stage.of("dpo", dpo, DPO, model=policy, reference=ready)
        found += [answers, chosen, ready, policy]
    return found


def prepare(directory: Path, data: Path, size: dict[str, Any]) -> None:
    """Write both models, and each round's prompts with the seeds of their completions."""
    import torch

    from medray.model.export import save_model
    from medray.model.load import load_reward_model, load_tokenizer

    write_model(directory / "policy", size["shape"])
    tokenizer = load_tokenizer(directory / "policy")
    torch.manual_seed(SEED)
    reward_model = load_reward_model(directory / "policy", "fp32", from_policy=True)
    torch.nn.init.normal_(reward_model.score.weight)
    save_model(reward_model, tokenizer, directory / "reward_model", {"title": "random head"})
    (directory / "plain-0").symlink_to(directory / "policy")
    asked = (turns[0] for turns in conversations(data) if len(turns[0]["content"]) < 400)
    rows = []
    for number in range(size["rounds"]):
        split = f"round_{number}"
        ours = [
            {"id": f"{split}-{i}", "task": "open", "messages": [next(asked)], "options": [], "gold": -1,
             "reference": "", "group": "", "split": split}
            for i in range(size["prompts"])
        ]  # fmt: skip
        rows += ours
        seeds = [completion_seeds(SEED, split, row["id"], size["completions"]) for row in ours]
        plain = [{"messages": row["messages"], "seeds": each} for row, each in zip(ours, seeds, strict=True)]
        (directory / f"prompts-{number}.json").write_text(json.dumps(plain))
    write_table(directory / "prompts.parquet", rows, PROMPT)
    settings = {"max_model_len": MAX_TOKENS, "max_tokens": size["tokens"], "learning_rate": LEARNING_RATE}
    (directory / "settings.json").write_text(json.dumps(settings))


def run_rounds(directory: Path, size: dict[str, Any]) -> dict[str, Any]:
    """medray's rounds in this process: seconds of each stage, and the number of pairs of each round."""
    from medray.session import SessionPlacement, ray_session

    took: dict[str, float] = {}
    num_pairs = []
    with ray_session(SessionPlacement()):
        for index, stage in enumerate(stages(directory, size)):
            began = time.perf_counter()
            artifact = execute(stage, Root(str(directory / "runs")))
            took[f"{(index - 3) // 4} {stage.label}"] = time.perf_counter() - began  # what is given: -1
            num_pairs += [artifact.manifest.counters["num_pairs"]] if stage.label == "pairs" else []
    return {"took": took, "num_pairs": num_pairs}


def timed(command: list[str], stop_at: float, environment: dict[str, str] | None = None) -> float:
    """Wall seconds of a process, which must succeed and end before the benchmark's time is up."""
    began = time.perf_counter()
    left_s = max(1.0, stop_at - time.monotonic())
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, timeout=left_s,
        env=os.environ | (environment or {}),
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:2])}: {done.stderr[-3000:]}")
    return time.perf_counter() - began


def measure(directory: Path, name: str, size: dict[str, Any]) -> dict[str, float]:
    """Run everything in turn, print it, and return the line's figures."""
    from medray.generate.fleet import _environment

    stop_at = time.monotonic() + size["timeout_s"]

    def told(which: str) -> dict[str, Any]:
        return json.loads((directory / f"{which}.json").read_text())

    ours = timed(["benchmarks.round", "--driver", str(directory), "--size", name], stop_at)
    facts = told("rounds")
    print(f"medray {ours:7.1f} s: {', '.join(f'{k} {v:.1f}' for k, v in facts['took'].items())}", flush=True)
    plain = {}
    for number in range(size["rounds"]):
        for script in ("sample", "judge", "train"):
            command = ["benchmarks.round_scripts", script, "--directory", str(directory), "--round", str(number)]
            plain[f"{number} {script}"] = timed(command, stop_at, {"OMP_NUM_THREADS": "2"})
        chosen = len(json.loads((directory / f"pairs-{number}.json").read_text()))
        assert number or chosen == facts["num_pairs"][0], f"{chosen} pairs, medray {facts['num_pairs'][0]}: other work"
    theirs = sum(plain.values())
    print(f"scripts {theirs:6.1f} s: {', '.join(f'{k} {v:.1f}' for k, v in plain.items())}", flush=True)
    timed(["benchmarks.round_pure", "sampling", str(directory), name], stop_at, _environment(EnginePlacement()))
    timed(["benchmarks.round_pure", "rest", str(directory), name], stop_at, {"OMP_NUM_THREADS": "2"})
    pure = told("pure_sampling") | told("pure_rest")
    work = sum(pure.values())
    print(f"pure   {work:7.1f} s: {', '.join(f'{k} {v:.1f}' for k, v in pure.items())}", flush=True)
    timed(["benchmarks.round_stand_ins", str(directory), str(size["shards"])], stop_at)
    stood = told("stand_ins")
    print(f"stand-ins: wall {stood['wall']:.1f} s, sampling {stood['sampling']:.1f}, judging {stood['judging']:.1f}")
    return {
        "ratio_wall": round(theirs / ours, 3), "work_fraction": round(ours / work, 3),
        "overlap": round(stood["overlap"], 3),
    }  # fmt: skip


def main() -> None:
    """Prepare, measure in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the 25M shape, one round; under 5 minutes")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/instruct"))
    parser.add_argument("--driver", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--size", choices=SIZES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.driver:
        found = run_rounds(arguments.driver, SIZES[arguments.size])
        (arguments.driver / "rounds.json").write_text(json.dumps(found))
        return
    name = "quick" if arguments.quick else "full"
    with tempfile.TemporaryDirectory() as directory:
        prepare(Path(directory), arguments.data, SIZES[name])
        print(json.dumps(measure(Path(directory), name, SIZES[name])))


if __name__ == "__main__":
    main()
