"""A training run on a Ray cluster of one-CPU nodes in this machine, to which anything may be done meanwhile.

For `benchmarks/resize.py` and `tests/faults`. The Ray of this process is the cluster's, so one run at a time; nodes can
only be added on the main thread, so the training is driven by another.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from medray.core.workspace import Root, Workspace
from medray.tables.blocks import BlockWriter
from medray.train.config import Optimization, TrainPlacement
from medray.train.ledger import Group, surviving
from medray.train.objective import CausalLM
from medray.train.record import ledger_of

OPTIMIZATION = Optimization(
    learning_rate=1e-3, schedule="cosine", warmup_fraction=0.1, min_learning_rate_fraction=0.1, optimizer="adamw",
    betas=(0.9, 0.99), weight_decay=0.1, gradient_clip=1.0, global_batch=6, epochs=1.0, dtype="fp32", rng_seed=1,
)  # fmt: skip
PLACEMENT = TrainPlacement(
    num_workers=(1, 2), threads_per_worker=1, micro_batch=6, zero_stage=1, checkpoint_every_steps=4, keep_checkpoints=2,
    max_failures=10, step_timeout_s=60,
)  # fmt: skip
_NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
_EXIT_S = 60


class Paced(CausalLM):
    """Next-token prediction that takes at least `pause_s` a micro-step, and does what files in `directory` say:
    slow-RANK (a second more in the backbone), stuck-RANK (forever; once). Workers leave their pid there."""

    pause_s: float
    directory: str

    def load(self, model: Path, dtype: str) -> Any:
        """The model, with the pause in its first layer."""
        loaded = super().load(model, dtype)
        rank = os.environ.get("RANK", "0")
        (Path(self.directory) / f"pid-{rank}").write_text(str(os.getpid()))
        loaded.base_model.layers[0].register_forward_pre_hook(lambda *_: self._pause(rank))
        return loaded

    def _pause(self, rank: str) -> None:
        time.sleep(self.pause_s + (Path(self.directory) / f"slow-{rank}").exists())
        stuck = Path(self.directory) / f"stuck-{rank}"
        if stuck.exists():
            stuck.unlink()
            threading.Event().wait()


def write_inputs(directory: Path, num_rows: int) -> tuple[Path, Path]:
    """A tiny random model and a token store for it, both under `directory`."""
    from medray.model.base import make_tiny
    from medray.model.tokenizer import tokenizer_digest

    make_tiny(directory / "model", ["Renal failure leads to anaemia.", "Which organ makes bile?"] * 3, vocab_size=400)
    rng = np.random.default_rng(0)
    writer = BlockWriter(directory / "store", "causal_lm", tokenizer_digest(directory / "model"), 0, 64)
    for _ in range(num_rows):
        ids = np.cumsum(rng.integers(0, 3, rng.integers(40, 60))) % 250
        writer.add(ids, [len(ids)], np.ones(len(ids), int))
    writer.close()
    return directory / "model", directory / "store"


def plain_run(inputs: tuple[Path, Path], checkpoints: Path) -> tuple[list[list[int]], list[float], dict]:
    """Rows and losses of each step, and the final weights, of one process without Ray."""
    import torch

    from medray.tables.blocks import BlockStore
    from medray.train.checkpoint import CheckpointReader, newest_whole
    from medray.train.loop import Ranks, train

    torch.set_num_threads(1)
    rows, losses = [], []
    train(
        CausalLM().load(inputs[0], "fp32"), BlockStore(inputs[1]), objective=CausalLM(), optimization=OPTIMIZATION,
        placement=PLACEMENT, checkpoints=checkpoints, ranks=Ranks.alone(),
        on_rows=lambda done, consumed: rows.append(consumed),
        on_step=lambda done, num_steps, metrics: losses.append(metrics["loss"]),
    )  # fmt: skip
    reader = CheckpointReader(newest_whole(checkpoints))
    return rows, losses, {name: reader.read(name, 0, size, "fp32") for name, size in reader.sizes.items()}


class ElasticRun:
    """A cluster, and one training run on it."""

    def __init__(self, directory: Path, inputs: tuple[Path, Path], *, num_nodes: int, pause_s: float = 0.3) -> None:
        import ray
        from ray.cluster_utils import Cluster

        self.directory, self._inputs = directory, inputs
        directory.mkdir(parents=True)
        os.environ["RAY_AUTH_MODE"] = "disabled"
        os.environ["RAY_worker_niceness"] = "0"  # 15 more than its own otherwise: too little on a shared machine
        os.environ["DS_ACCELERATOR"] = "cpu"
        self._temporary = tempfile.mkdtemp(prefix=f"medray-ray-{os.getpid()}-", dir="/tmp")
        head = {**_NODE, "include_dashboard": False, "temp_dir": self._temporary}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self._cluster.add_node(**_NODE) for _ in range(num_nodes - 1)]
        ray.init(address=self._cluster.address, log_to_driver=False, logging_level="ERROR")
        self.objective = Paced(pause_s=pause_s, directory=str(directory))
        self.workspace = Workspace(Root(str(directory / "root")), "train", "one", "elastic")
        self.counters: dict[str, Any] | None = None
        self.error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> ElasticRun:
        return self

    def __exit__(self, *exception: object) -> None:
        import ray

        ray.shutdown()
        self._cluster.shutdown()
        if self._thread:
            self._thread.join(_EXIT_S)
        shutil.rmtree(self._temporary, ignore_errors=True)

    def start(self, **placement: Any) -> None:
        """Train in another thread."""

        def fit() -> None:
            from medray.train.launch import fit

            try:
                self.counters = fit(
                    objective=self.objective, model=self._inputs[0], store=self._inputs[1], optimization=OPTIMIZATION,
                    placement=PLACEMENT.model_copy(update=placement), workspace=self.workspace,
                )  # fmt: skip
            except BaseException as error:  # the main thread raises it in `finish` or `wait`
                self.error = error
                raise

        self._thread = threading.Thread(target=fit, daemon=True)
        self._thread.start()

    def finish(self, timeout_s: float) -> dict[str, Any]:
        """The run's counters, once it has ended."""
        assert self._thread is not None
        self._thread.join(timeout_s)
        if self.error:
            raise self.error
        assert self.counters is not None, f"not finished within {timeout_s} s: {self.said()}"
        return self.counters

    def wait(self, reached: Callable[[], Any], timeout_s: float = 240, every_s: float = 0.05) -> Any:
        """What `reached` returns once it is true."""
        deadline = time.time() + timeout_s
        while not (found := reached()):
            if self.error:
                raise self.error
            assert self.counters is None, "the run ended before what was waited for"
            assert time.time() < deadline, f"not reached within {timeout_s} s: {self.said()}"
            time.sleep(every_s)
        return found

    def said(self) -> str:
        """Where the run is, for messages."""
        groups = [(g.after_step, g.world_size, len(g.steps)) for g in self.groups()]
        return f"groups (after step, workers, steps) {groups}; events {self.events('grow', 'drain', 'hung')}"

    def groups(self) -> list[Group]:
        """The ledger's groups so far."""
        return ledger_of(self.workspace).groups()

    def events(self, *names: str) -> list[dict[str, Any]]:
        """What the journal holds of these kinds."""
        return [event for event in self.workspace.journal.events() if event["event"] in names]

    def rows(self) -> list[list[int]]:
        """Rows of each step of the surviving trajectory."""
        return [step.rows.tolist() for step in surviving(self.groups())[0]]

    def losses(self) -> list[float]:
        """Loss of each step."""
        return [record["loss"] for record in self.workspace.journal.history()]

    def wait_steps(self, num_steps: int, world_size: int | None = None, timeout_s: float = 240) -> Group:
        """The newest group, once it has taken `num_steps` steps (with so many workers)."""

        def newest() -> Group | None:
            groups = self.groups()
            fits = groups and len(groups[-1].steps) >= num_steps and world_size in (None, groups[-1].world_size)
            return groups[-1] if fits else None

        return self.wait(newest, timeout_s)

    def next_group(self, than: Group, timeout_s: float = 240) -> Group:
        """The group after a given one, once it has taken a step."""
        number = len(self.groups())
        assert self.groups()[-1].after_step == than.after_step
        return self.wait(lambda: self.groups()[number:] and self.groups()[-1], timeout_s)

    def pid(self, rank: int) -> int:
        """Of a worker."""
        return int((Path(self.directory) / f"pid-{rank}").read_text())

    def kill(self, rank: int, number: int = signal.SIGKILL) -> None:
        """Send a worker a signal."""
        os.kill(self.pid(rank), number)

    def add_node(self) -> Any:
        """One node more (on the main thread only)."""
        self.nodes.append(self._cluster.add_node(**_NODE))
        return self.nodes[-1]

    def lose_node(self, node: Any) -> None:
        """SIGKILL of a raylet, as when a machine goes."""
        self._cluster.remove_node(node, allow_graceful=False)

    def drain_node(self, node: Any, deadline_s: int) -> None:
        """`ray drain-node`, as a cloud's notice of pre-emption does."""
        subprocess.run(
            [
                str(Path(sys.executable).with_name("ray")), "drain-node", "--address", self._cluster.address,
                "--node-id", node.node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION",
                "--reason-message", "test", "--deadline-remaining-seconds", str(deadline_s),
            ],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
