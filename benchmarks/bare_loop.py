"""The peer of train_overhead.py and gpu_train.py: a bare PyTorch loop, one step of it after each step of medray.

Both see the same model, blocks, optimizer, clipping and dtype (bf16: fp32 master weights, as DeepSpeed has them), and
their losses are compared at every step, so both do the same work. Blocks hold one document: nothing is won by packing.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from medray.model.load import DTYPES
from medray.tables.blocks import BlockStore, BlockWriter
from medray.train.config import Optimization, TrainPlacement
from medray.train.loop import Ranks, train
from medray.train.objective import CausalLM


class Shape(NamedTuple):
    """A Llama's sizes, and the rows of one step."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    rows: int
    tokens: int

    def model(self, device: str, dtype: str) -> Any:
        """A random model, the same at every call."""
        config = LlamaConfig(
            vocab_size=self.vocab_size, hidden_size=self.hidden_size, intermediate_size=self.intermediate_size,
            num_hidden_layers=self.num_layers, num_attention_heads=self.num_heads,
            num_key_value_heads=self.num_kv_heads, max_position_embeddings=self.tokens, tie_word_embeddings=True,
        )  # fmt: skip
        torch.manual_seed(0)
        with torch.device(device):
            model = LlamaForCausalLM._from_config(config, attn_implementation="sdpa", dtype=DTYPES[dtype])
        return model.train()


class Measured(NamedTuple):
    """Medians over the steps in steady state."""

    step_s: float
    bare_s: float
    overhead_fraction: float
    cpu_overhead_fraction: float
    data_wait_fraction: float


class _Bare:
    """AdamW in two groups, as medray's, on fp32 weights: the model's own, or copies of them."""

    def __init__(self, model: Any, optimization: Optimization, is_checkpointed: bool):
        self.model, self.clip = model, optimization.gradient_clip
        if is_checkpointed:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.weights = list(model.parameters())
        is_fp32 = optimization.dtype == "fp32"
        self.masters = self.weights if is_fp32 else [w.detach().float().requires_grad_() for w in self.weights]
        groups = [
            {"params": [w for w in self.masters if w.ndim >= 2], "weight_decay": optimization.weight_decay},
            {"params": [w for w in self.masters if w.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=optimization.learning_rate, betas=optimization.betas, fused=True)

    def step(self, ids_BT: Tensor) -> float:
        logits_NV = self.model(input_ids=ids_BT, use_cache=False).logits.flatten(0, 1)
        target_N = F.pad(ids_BT[:, 1:], (0, 1), value=-100).flatten()
        loss = F.cross_entropy(logits_NV.float(), target_N)
        loss.backward()
        if self.masters is not self.weights:
            for master, weight in zip(self.masters, self.weights, strict=True):
                master.grad, weight.grad = weight.grad.float(), None
        torch.nn.utils.clip_grad_norm_(self.masters, self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.masters is not self.weights:
            with torch.no_grad():
                torch._foreach_copy_(self.weights, self.masters)
        return float(loss.detach())


def measure(
    shape: Shape, *, num_steps: int, dtype: str, device: str = "cpu", zero_stage: int = 0, is_checkpointed: bool = False
) -> Measured:
    """Train both, step by step in turn; the first quarter of the steps (at least 2) is left out."""
    optimization = Optimization(
        learning_rate=1e-4, schedule="constant", warmup_fraction=0.0, min_learning_rate_fraction=0.0, optimizer="adamw",
        betas=(0.9, 0.95), weight_decay=0.1, gradient_clip=1.0, global_batch=shape.rows, epochs=1.0, dtype=dtype,
        rng_seed=0,
    )  # fmt: skip
    placement = TrainPlacement(
        micro_batch=shape.rows, zero_stage=zero_stage, gradient_checkpointing=is_checkpointed, use_gpu=device != "cpu"
    )
    bare = _Bare(shape.model(device, dtype), optimization, is_checkpointed)
    times: list[tuple[float, float, float, float, float]] = []
    apart: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        store = _store(Path(directory) / "store", shape, num_steps)
        rows: list[int] = []
        mark = [0.0, 0.0]

        def on_rows(done: int, found: list[int]) -> None:
            rows[:] = found

        def on_step(done: int, total: int, metrics: dict[str, float]) -> None:
            ours = [now - then for now, then in zip(_clocks(device), mark, strict=True)]
            ids_BT = torch.from_numpy(np.stack([store[row].input_ids for row in rows]).astype(np.int64)).to(device)
            began = _clocks(device)
            apart.append(abs(bare.step(ids_BT) - metrics["loss"]))
            theirs = [now - then for now, then in zip(_clocks(device), began, strict=True)]
            times.append((ours[0], theirs[0], ours[1], theirs[1], metrics["data_wait_fraction"]))
            mark[:] = _clocks(device)

        train(
            shape.model(device, dtype), store, objective=CausalLM(), optimization=optimization, placement=placement,
            checkpoints=Path(directory) / "checkpoints", ranks=Ranks.alone(device), on_step=on_step, on_rows=on_rows,
        )  # fmt: skip
    tolerance = 1e-3 if dtype == "fp32" else 5e-2
    assert max(apart) < tolerance, f"the loops' losses are {max(apart)} apart: they do not the same work"
    steady = times[max(2, num_steps // 4) :]
    return Measured(
        median(t[0] for t in steady),
        median(t[1] for t in steady),
        median(t[0] / t[1] for t in steady) - 1,
        median(t[2] / t[3] for t in steady) - 1,
        median(t[4] for t in steady),
    )


def _clocks(device: str) -> list[float]:
    """Seconds on the wall, and of all this process' threads."""
    if device != "cpu":
        torch.cuda.synchronize()
    return [time.perf_counter(), time.process_time()]


def _store(directory: Path, shape: Shape, num_steps: int) -> BlockStore:
    rng = np.random.default_rng(0)
    writer = BlockWriter(directory, "causal_lm", "none", shape.tokens, 64)
    for _ in range(num_steps * shape.rows):
        ids = rng.integers(0, shape.vocab_size, shape.tokens)
        writer.add(ids, [shape.tokens], np.ones(shape.tokens, np.int8))
    writer.close()
    return BlockStore(directory)
