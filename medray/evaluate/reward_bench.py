"""Stage: the reward model on benchmarks of pairs, by their own rules -> data/{pairs.parquet,metrics.json}."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, ValidationError

from medray.core.access import Access, combined_licences, strictest
from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.journal import Journal
from medray.core.schema import write_table
from medray.core.workspace import Workspace
from medray.evaluate import pair_benchmarks
from medray.evaluate.pair_benchmarks import BenchFile, BenchPair
from medray.math.ensemble import EnsembleRule, combined, members
from medray.train.config import ForwardPlacement

NAME = "evaluate_reward_bench"
VERSION = 1

BUILT = "built"
"""The name of the benchmark that the run itself has built."""
OUTCOMES = ("won", "tied", "lost", "left_out")
"""What can become of a pair; left_out: the model cannot read a side (it is longer than max_tokens, or spells a special
token), and the pair is in no figure."""

OUTCOME = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("bench", "id", "column", "outcome", "reason")),
        *(pa.field(name, pa.float64()) for name in ("margin", "disagreement")),
    ]
)
"""margin: chosen minus rejected reward, null where left out for the reason; disagreement: std of the members' margins,
0 of one."""

Sides = tuple[float, float] | str
"""(chosen, rejected) reward, or why there is none."""


class RewardBenchConfig(Config):
    """Which benchmarks, and how the reward model reads them."""

    files: tuple[BenchFile, ...]
    """Beside what the run has built, if it has."""
    dtype: Literal["bf16", "fp32"]
    max_tokens: int = Field(ge=16)
    """Of prompt and completion; a longer prompt loses its end, a completion that is too long leaves the pair out."""
    ensemble: EnsembleRule | None = None
    """The judge's rule, where there are several reward models."""
    rng_seed: int
    """Seed of the bootstrap."""
    placement: ForwardPlacement = ForwardPlacement()


def resolve(config: RewardBenchConfig) -> RewardBenchConfig:
    """The config with every empty digest taken from the files. Raises UserError for a file that is missing."""
    return config.model_copy(update={"files": tuple(map(pair_benchmarks.resolve, config.files))})


def terms(config: RewardBenchConfig) -> tuple[Access, tuple[str, ...]]:
    """Strictest access class and all licences of the files."""
    return strictest(file.access for file in config.files), combined_licences(file.licence for file in config.files)


def run(config: RewardBenchConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """inputs: reward_model (or several, reward_model_<name>: data/model); built (data/bench.jsonl), if there is one.

    Counters: num_pairs, num_<outcome>, overall_<bench> where all of its sections are there.
    """
    from medray.tables.shards import run_remote

    benches = {file.name: (file.layout, pair_benchmarks.read_file(file)) for file in config.files}
    if built := inputs.get(BUILT):
        benches[BUILT] = ("medical", pair_benchmarks.read_pairs(built.data / "bench.jsonl", BUILT, "medical"))
    if not benches:
        raise UserError(f"{workspace.label}: no benchmark, expected files or one that is built: name some in files")
    pairs = [pair for _, found in benches.values() for pair in found]
    models = [artifact.data / "model" for artifact in members(inputs).values()]
    gpus = 1 if config.placement.use_gpu else 0
    rewards, num_cut = run_remote(measure, models, pairs, config, workspace.journal, num_gpus=gpus)
    rows, metrics, start = [], {}, 0
    for name, (layout, found) in benches.items():
        judged = [judge(sides, config.ensemble) for sides in rewards[start : start + len(found)]]
        start += len(found)
        rows += [
            {"bench": name, "id": pair.id, "column": pair.column} | row for pair, row in zip(found, judged, strict=True)
        ]
        fit = [(pair, row) for pair, row in zip(found, judged, strict=True) if row["outcome"] != "left_out"]
        if not fit:
            raise UserError(f"{workspace.label}: no pair of {name} can be read: {judged[0]['reason']}")
        won_N = np.array([float(row["outcome"] == "won") for _, row in fit])
        counts = {outcome: sum(row["outcome"] == outcome for row in judged) for outcome in OUTCOMES}
        metrics[name] = {
            "layout": layout, "outcomes": counts,
            **pair_benchmarks.figures(won_N, [pair for pair, _ in fit], layout, config.rng_seed),
        }  # fmt: skip
    write_table(workspace.data / "pairs.parquet", rows, OUTCOME)
    (workspace.data / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n")
    whole = {f"overall_{name}": found["overall"]["value"] for name, found in metrics.items() if found["overall"]}
    counts = {f"num_{outcome}": sum(found["outcomes"][outcome] for found in metrics.values()) for outcome in OUTCOMES}
    return {"num_pairs": len(rows), "num_prompts_cut": num_cut, **counts, **whole}


def judge(sides: Sequence[Sides], ensemble: EnsembleRule | None) -> dict[str, Any]:
    """{outcome, reason, margin, disagreement} of one pair by the (chosen, rejected) reward of each model.

    Source: rewardbench/rewardbench.py: won only where chosen is above rejected; a tie is not won.
    """
    if reasons := [side for side in sides if isinstance(side, str)]:
        return {"outcome": "left_out", "reason": reasons[0], "margin": None, "disagreement": None}
    rewards_M2 = np.array(sides)
    one_2 = combined(rewards_M2, ensemble)[0] if ensemble else rewards_M2[0]
    margin = float(one_2[0] - one_2[1])
    outcome = "won" if margin > 0 else "lost" if margin < 0 else "tied"
    disagreement = float((rewards_M2[:, 0] - rewards_M2[:, 1]).std())
    return {"outcome": outcome, "reason": "", "margin": margin, "disagreement": disagreement}


def measure(
    models: Sequence[Path], pairs: Sequence[BenchPair], config: RewardBenchConfig, journal: Journal
) -> tuple[list[list[Sides]], int]:
    """Every model's (chosen, rejected) reward of each pair; and how many pairs' prompts lost their end (for the last
    model: members share their tokenizer)."""
    from medray.serve.config import RewardServing, ServingPlacement
    from medray.serve.rewarding import Rewarder
    from medray.serve.schema import RewardRow

    place = ServingPlacement(threads=config.placement.threads, use_gpu=config.placement.use_gpu)
    serving = RewardServing(dtype=config.dtype, max_tokens=config.max_tokens, placement=place)
    found: list[list[Sides]] = [[] for _ in pairs]
    num_cut = 0
    for number, model in enumerate(models):
        rewarder, num_cut = Rewarder(model, serving), 0
        for index, pair in enumerate(pairs):
            journal.progress(number * len(pairs) + index, len(models) * len(pairs), "pairs")
            texts = list(dict.fromkeys((pair.chosen, pair.rejected)))  # equal ones are asked once, and tie exactly
            try:
                rows = [RewardRow.model_validate({"messages": pair.messages, "completion": text}) for text in texts]
                rewards, cut = rewarder.rewards(rows)
            except (UserError, ValidationError) as error:
                found[index].append(str(error).splitlines()[0])
                continue
            found[index].append((rewards[0], rewards[-1]))
            num_cut += any(cut)
    return found, num_cut
