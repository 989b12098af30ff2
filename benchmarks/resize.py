"""How long training stands still when the pool changes, and how much of its time checkpoints take.

    python -m benchmarks.resize [--quick] [--plot FILE.png]

A tiny model on a Ray cluster of one-CPU nodes in this machine: a node comes, a worker gets SIGKILL, a node goes (its
raylet gets SIGKILL); each timed until the next optimizer step has ended, so process start, imports, DeepSpeed and
reading the checkpoint are in it. Nobody else trains on such a pool, so there is no peer; the same run without events in
one plain process is compared with (rows exactly, losses; `--plot` draws both). Checkpoints are timed with a
25M-parameter model, one every 10 steps of 2,048 tokens: what the steps wait for them. Wants a quiet machine.

Prints, last, {"kill_s", "add_s", "lose_s", "save_stall_fraction"}: aims <= 15, 20, 30 and < 0.05.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.elastic_cluster import ElasticRun, plain_run, write_inputs

_SETTLED_S = 20


def time_events(directory: Path, num_rounds: int, plot: Path | None) -> dict[str, float]:
    """Medians of the rounds, seconds."""
    inputs = write_inputs(directory, 180 + 720 * num_rounds)
    found: dict[str, list[float]] = {"kill_s": [], "add_s": [], "lose_s": []}
    with ElasticRun(directory / "run", inputs, num_nodes=1) as run:
        run.start()
        for name in ("add_s", "kill_s", "lose_s") * num_rounds:
            before = run.wait_steps(6, 1 if name == "add_s" else 2)
            if name == "add_s":  # a group is left alone at first
                time.sleep(max(0.0, before.steps[0].at + _SETTLED_S - time.time()))
            node = run.add_node() if name == "add_s" else run.nodes[-1]
            began_at = time.time()
            if name == "kill_s":
                run.kill(1)
            elif name == "lose_s":
                run.lose_node(node)
            after = run.next_group(before)
            found[name].append(after.steps[0].at - began_at)
            print(f"{name:7} {found[name][-1]:6.1f}  {before.world_size} -> {after.world_size} workers", flush=True)
        counters = run.finish(600)
        rows, losses, _ = plain_run(inputs, directory / "plain")
        assert run.rows() == rows, "the rows differ from the undisturbed run's"
        apart = max(abs(one - other) for one, other in zip(run.losses(), losses, strict=True))
        shown = {name: counters[name] for name in ("num_restarts", "num_resizes", "restart_lost_s", "goodput")}
        print(f"{len(rows)} steps, rows equal to those of the undisturbed run, losses within {apart:.1e}; {shown}")
        if plot:
            draw(run, losses, plot)
    return {name: round(statistics.median(values), 1) for name, values in found.items()}


def draw(run: ElasticRun, undisturbed: list[float], path: Path) -> None:
    """The ledger over time, and the loss curve against the undisturbed run's."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (ledger, loss, apart) = plt.subplots(3, 1, figsize=(8, 9), constrained_layout=True)
    groups = run.groups()
    begin = groups[0].session_at
    for group, following in zip(groups, [*groups[1:], None], strict=True):
        colour = {1: "tab:orange", 2: "tab:blue"}[group.world_size]
        for is_kept, marker in ((True, "."), (False, "x")):
            steps = [s for s in group.steps if (following is None or s.number <= following.after_step) == is_kept]
            points = [s.at - begin for s in steps], [s.number for s in steps]
            ledger.plot(*points, marker, color=colour if is_kept else "tab:red", markersize=4)
    ledger.set(xlabel="seconds", ylabel="optimizer step")
    ledger.set_title("ledger: 2 workers (blue), 1 worker (orange), taken back (red x)", fontsize=10)
    steps = range(1, len(undisturbed) + 1)
    loss.plot(steps, undisturbed, color="0.6", linewidth=4, label="one process, undisturbed")
    loss.plot(steps, run.losses(), color="black", linewidth=1, label="elastic")
    loss.set(xlabel="optimizer step", ylabel="loss (nats a token)")
    loss.legend(frameon=False)
    apart.plot(steps, [one - other for one, other in zip(run.losses(), undisturbed, strict=True)], color="black")
    apart.set(xlabel="optimizer step", ylabel="difference of the losses")
    figure.savefig(path, dpi=100)


def save_stall(directory: Path, num_steps: int) -> float:
    """Part of the time that steps wait for checkpoints, one every 10 steps."""
    import torch

    from benchmarks.bare_loop import Shape, _store
    from medray.train.config import Optimization, TrainPlacement
    from medray.train.loop import Ranks, train
    from medray.train.objective import CausalLM

    torch.set_num_threads(2)
    shape = Shape(49_152, 384, 1024, 4, 6, 2, rows=4, tokens=512)
    optimization = Optimization(
        learning_rate=1e-4, schedule="constant", warmup_fraction=0.0, min_learning_rate_fraction=0.0, optimizer="adamw",
        betas=(0.9, 0.95), weight_decay=0.1, gradient_clip=1.0, global_batch=4, epochs=1.0, dtype="fp32", rng_seed=0,
    )  # fmt: skip
    spent: list[tuple[float, float]] = []

    def on_step(done: int, total: int, metrics: dict[str, Any]) -> None:
        spent.append((metrics["save_s"], shape.rows * shape.tokens / metrics["tokens_per_s"]))

    train(
        shape.model("cpu", "fp32"), _store(directory / "store", shape, num_steps), objective=CausalLM(),
        optimization=optimization, placement=TrainPlacement(micro_batch=4, checkpoint_every_steps=10),
        checkpoints=directory / "checkpoints", ranks=Ranks.alone(), on_step=on_step,
    )  # fmt: skip
    steady = spent[10:]
    saved_s, all_s = (sum(column) for column in zip(*steady, strict=True))
    print(f"{len(steady)} steps of {all_s / len(steady):.2f} s with 25M parameters, {saved_s:.2f} s waited for saves")
    return round(saved_s / all_s, 4)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round instead of three; under 5 minutes")
    parser.add_argument("--plot", type=Path, help="draw ledger and losses there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = time_events(Path(directory) / "events", 1 if arguments.quick else 3, arguments.plot)
        found["save_stall_fraction"] = save_stall(Path(directory), 30 if arguments.quick else 60)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
