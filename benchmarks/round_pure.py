"""What medray's rounds compute and nothing else: the parts in plain warm processes (benchmarks/round.py: pure).

python -m benchmarks.round_pure sampling|rest DIRECTORY SIZE
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ |= {"DS_ACCELERATOR": "cpu", "OMP_WAIT_POLICY": "PASSIVE"}  # as in medray's own workers

from benchmarks.round import DPO, MAX_TOKENS, REFERENCE, SERVING, SIZES, stages  # noqa: E402  the accelerator is set
from medray.core.schema import COMPLETION, PAIR, PROMPT, read_table  # noqa: E402
from medray.core.workspace import Root, Workspace  # noqa: E402
from medray.generate.config import EnginePlacement  # noqa: E402
from medray.preference import pairs  # noqa: E402


def pure_sampling(directory: Path, size: dict[str, Any]) -> dict[str, float]:
    """Seconds that a warm engine takes for the shards of all rounds."""
    from medray.generate.engine import _Engine
    from medray.generate.fleet import EngineSettings, architecture

    found = stages(directory, size)
    root, seconds, placement = Root(str(directory / "runs")), 0.0, EnginePlacement(prompts_per_shard=8)
    engine = _Engine(EngineSettings(architecture(directory / "policy", placement), "fp32", MAX_TOKENS, placement))
    for stage in found[3::4]:
        policy = stage.inputs["policy"]
        model = str(root.open(policy.kind, policy.id).data / "model")
        sampling = stage.config.sample.sampling
        engine.generate(model, policy.id, [[1, 2, 3]], [[1]], sampling)
        for part in sorted((root.open(stage.kind, stage.id).data / "completions").iterdir()):
            asked: dict[tuple[int, ...], list[int]] = {}
            for row in read_table(part, COMPLETION).to_pylist():
                asked.setdefault((row["prompt_id"], *row["prompt_token_ids"]), []).append(row["seed"])
            began = time.perf_counter()
            engine.generate(model, policy.id, [list(ids[1:]) for ids in asked], list(asked.values()), sampling)
            seconds += time.perf_counter() - began
    return {"sampling": seconds}


def pure_rest(directory: Path, size: dict[str, Any]) -> dict[str, float]:
    """Seconds of the other parts of all rounds, models loaded before."""
    from medray.generate.scoring import CHUNK_ROWS
    from medray.model.load import load_policy
    from medray.preference.reference import _shard_logprobs
    from medray.serve.rewarding import Rewarder
    from medray.serve.schema import RewardRow
    from medray.tables.blocks import BlockStore
    from medray.train.forward import Forward
    from medray.train.loop import Ranks, train
    from medray.train.objective import Preference

    root, found = Root(str(directory / "runs")), stages(directory, size)
    took = dict.fromkeys(("judging", "pairs", "reference", "training"), 0.0)
    rewarder = Rewarder(directory / "reward_model", SERVING)
    messages = {row["id"]: row["messages"] for row in read_table(directory / "prompts.parquet", PROMPT).to_pylist()}

    @contextmanager
    def clocked(part: str):
        began = time.perf_counter()
        yield
        took[part] += time.perf_counter() - began

    for answers, chosen, ready, trained in zip(*(found[3 + i :: 4] for i in range(4)), strict=True):
        inputs = {role: root.open(s.kind, s.id) for role, s in chosen.inputs.items()}
        for part in sorted((inputs["completions"].data / "completions").iterdir()):
            texts = dict.fromkeys((row["prompt_id"], row["text"]) for row in read_table(part, COMPLETION).to_pylist())
            rows = [RewardRow.model_validate({"messages": messages[name], "completion": text}) for name, text in texts]
            with clocked("judging"):
                for start in range(0, len(rows), CHUNK_ROWS):
                    rewarder.rewards(rows[start : start + CHUNK_ROWS])
        with clocked("pairs"):
            pairs.run(chosen.config, inputs, Workspace(Root(str(directory / "again")), "pairs", chosen.id, "pairs"))
        model = root.open(answers.inputs["policy"].kind, answers.inputs["policy"].id).data / "model"
        rendered = _rendered(root.open(chosen.kind, chosen.id).data / "pairs.parquet", model)
        forward = Forward.placed(model, REFERENCE.dtype, REFERENCE.placement)
        with clocked("reference"):
            _shard_logprobs(forward, rendered)
        clocks: list[float] = []
        store = BlockStore(root.open(ready.kind, ready.id).data / "store")
        train(
            load_policy(model, "fp32"), store, objective=Preference(terms=DPO.loss), optimization=DPO.optimization,
            placement=DPO.placement, checkpoints=directory / f"checkpoints-{trained.id}", ranks=Ranks.alone(),
            on_step=lambda *_, clocks=clocks: clocks.append(time.perf_counter()),
        )  # fmt: skip
        steps = len(clocks) - 1  # the first one's start is not seen
        took["training"] += (clocks[-1] - clocks[0]) * (steps + 1) / max(1, steps)
    return took


def _rendered(path: Path, model: Path) -> list[Any]:
    from medray.model.load import load_tokenizer
    from medray.model.render import render_pair

    tokenizer = load_tokenizer(model)
    return [render_pair(tokenizer, row) for row in read_table(path, PAIR).to_pylist()]


if __name__ == "__main__":
    which, where, size = sys.argv[1], Path(sys.argv[2]), SIZES[sys.argv[3]]
    found = {"sampling": pure_sampling, "rest": pure_rest}[which](where, size)
    (where / f"pure_{which}.json").write_text(json.dumps(found))
