"""Tiny models, stores and runs for the training tests, in this process or in several."""

from __future__ import annotations

import functools
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from medray.model.load import DTYPES
from medray.tables.blocks import BlockStore, BlockWriter
from medray.train.checkpoint import CheckpointReader, newest_whole
from medray.train.config import Optimization, TrainPlacement
from medray.train.marker import read_marker, step_directory
from medray.train.objective import CausalLM, Objective

OPTIMIZATION = Optimization(
    learning_rate=1e-2, schedule="cosine", warmup_fraction=0.2, min_learning_rate_fraction=0.1, optimizer="adamw",
    betas=(0.9, 0.99), weight_decay=0.1, gradient_clip=1.0, global_batch=8, epochs=2.0, dtype="fp32", rng_seed=1,
)  # fmt: skip
PLACEMENT = TrainPlacement(threads_per_worker=1, checkpoint_every_steps=1, keep_checkpoints=3)
_PHASE_TIMEOUT_S = 180


class Killed(Exception):
    """Raised by a test in place of SIGKILL."""


def tiny_model(*, dtype: str = "fp32", num_layers: int = 2) -> Any:
    """A random Llama with tied embeddings and odd sizes, so that ZeRO has to pad and to cut parameters in two."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=67, hidden_size=20, intermediate_size=27, num_hidden_layers=num_layers, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=256, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config).to(DTYPES[dtype])


def tiny_store(directory: Path, *, kind: str = "causal_lm", num_rows: int = 40) -> BlockStore:
    """Rows of learnable tokens: packed pairs of documents of uneven length, or preference pairs or labelled
    completions with references."""
    rng = np.random.default_rng(0)
    writer = BlockWriter(directory, kind, "digest", 0, 16)
    for _ in range(num_rows):
        lengths = rng.integers(2, 24, 2).tolist()
        ids = np.concatenate([np.cumsum(rng.integers(0, 3, n)) + rng.integers(0, 67) for n in lengths]) % 67
        has_references = kind in ("pairs", "labelled")
        if has_references:  # both begin alike, up to all of the shorter one
            shared = rng.integers(0, min(lengths) + 1)
            ids[lengths[0] : lengths[0] + shared] = ids[:shared]
        mask = (rng.random(len(ids)) < 0.7).astype(int)
        mask[np.cumsum(lengths) - 1] = 1
        if kind == "labelled":  # a policy that knows nothing is better than this reference: the mean ratio is above 0
            tokens = np.array([part.sum() for part in np.split(mask, lengths[:1])])
            writer.add(ids, lengths, mask, rng.normal(-4.5, 0.1, 2) * tokens, float(rng.integers(0, 2)))
        else:
            writer.add(ids, lengths, mask, rng.normal(-30, 3, 2) if has_references else ())
    writer.close()
    return BlockStore(directory)


def run(
    store: BlockStore,
    checkpoints: Path | str,
    *,
    rank: int = 0,
    world_size: int = 1,
    objective: Objective = CausalLM(),  # noqa: B008 (frozen)
    optimization: Optimization = OPTIMIZATION,
    placement: TrainPlacement = PLACEMENT,
    kill_after: int | None = None,
    model: Any = None,
    on_step: Callable[[int, int, dict[str, float]], None] = lambda done, num_steps, metrics: None,
    **hooks: Any,
) -> dict[int, float]:
    """Train until the end, or until after the loss of step `kill_after` (its checkpoint unwritten): losses by step."""
    from medray.train.loop import Ranks, train

    torch.set_num_threads(1)
    ranks = Ranks.alone() if world_size == 1 else Ranks(rank, world_size)
    losses: dict[int, float] = {}
    first = 0

    def record(done: int, num_steps: int, metrics: dict[str, float]) -> None:
        nonlocal first
        first = first or done
        losses[done] = metrics["loss"]
        on_step(done, num_steps, metrics)
        if done == kill_after:
            every = placement.checkpoint_every_steps or done
            if (last := (done - 1) // every * every) >= first:
                _await_checkpoint(checkpoints, last)  # a kill may come before it is written: not in these tests
            raise Killed

    try:
        train(
            model or tiny_model(dtype=optimization.dtype), store, objective=objective, optimization=optimization,
            placement=placement, checkpoints=checkpoints, ranks=ranks, on_step=record, **hooks,
        )  # fmt: skip
    except Killed:
        pass
    return losses


def _await_checkpoint(checkpoints: Path | str, step: int) -> None:
    until = time.monotonic() + _PHASE_TIMEOUT_S
    while read_marker(step_directory(checkpoints, step)) is None:
        assert time.monotonic() < until, f"{checkpoints}: no checkpoint of step {step}"
        time.sleep(0.01)


def parameters(checkpoints: Path | str) -> dict[str, torch.Tensor]:
    """fp32 parameters of the newest whole checkpoint."""
    reader = CheckpointReader(newest_whole(str(checkpoints)))
    return {name: reader.read(name, 0, size, "fp32") for name, size in reader.sizes.items()}


@functools.cache
def _processes() -> Any:
    """A server that has imported everything once and forks a clean process per rank."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["deepspeed", "medray.train.loop", "tests.numerics.tiny_training", "transformers"])
    return context


def _rank(queue: Any, rank: int, world_size: int, directory: Path, store: Path, arguments: dict[str, Any]) -> None:
    os.environ.update(arguments.pop("environment", {}))
    dist.init_process_group("gloo", init_method=f"file://{directory}", rank=rank, world_size=world_size)
    losses = run(BlockStore(store), rank=rank, world_size=world_size, **arguments)
    if rank == 0:
        queue.put(losses)
        queue.close()
        queue.join_thread()
    os._exit(0)


def run_ranks(world_size: int, store: BlockStore, scratch: Path, **arguments: Any) -> dict[int, float]:
    """`run` on several gloo processes, killed when rank 0 is done: losses by step."""
    context = _processes()
    queue = context.Queue()
    meeting = scratch / f"meeting-{len(list(scratch.glob('meeting-*')))}"
    processes = [
        context.Process(target=_rank, args=(queue, rank, world_size, meeting, store.directory, arguments))
        for rank in range(world_size)
    ]
    for process in processes:
        process.start()
    try:
        return queue.get(timeout=_PHASE_TIMEOUT_S)
    finally:
        for process in processes:
            process.join(0.2)
            process.kill()
