"""What decides a training run (`Optimization`) and what only places it (`TrainPlacement`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from medray.core.config import Config, Placement


class LossSpike(Config):
    """When a loss counts as a spike, and what is done about it (medray/train/spike.py)."""

    window: int = Field(ge=8)
    """steps whose losses it is compared with"""
    num_sigmas: float = Field(gt=0)
    """standard deviations above their mean that make a spike"""
    rewind_steps: int = Field(ge=1)
    """go back at least so many steps, to a multiple of them; spikes in the first of them are let be"""
    skip_steps: int
    """batches left out from there on, those up to the spike among them"""

    @model_validator(mode="after")
    def _skips_the_spike(self) -> LossSpike:
        if self.skip_steps < 2 * self.rewind_steps:
            raise ValueError(
                f"skip_steps {self.skip_steps} must be at least 2 rewind_steps, {2 * self.rewind_steps}: a spike can "
                "be so many steps after the checkpoint, and would come again"
            )
        return self


class ForwardPlacement(Placement):
    """Where the passes of a frozen model run (medray/train/forward.py)."""

    threads: int = Field(default=2, ge=1)
    batch_tokens: int = Field(default=1024, ge=1)
    """Tokens in one forward pass."""
    use_gpu: bool = False


class PreferenceLoss(Config):
    """What a pair costs: the formulas are in math/preference.py."""

    name: Literal["dpo", "robust", "hinge", "ipo", "apo_zero", "apo_down", "simpo", "kto_pair"]
    beta: float = Field(gt=0)
    """Strength of the pull to the reference; of IPO tau, of SimPO the scale of the mean log-probabilities."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Probability that a pair is flipped (dpo: as cDPO, robust, simpo)."""
    margin: float = Field(default=0.0, ge=0)
    """SimPO's gamma: the reward by which chosen must lead."""
    nll_weight: float = Field(default=0.0, ge=0)
    """Of the mean -log p of chosen's tokens beside the loss (Pang et al. 2024, eq. 1: alpha)."""

    @model_validator(mode="after")
    def _knows_its_terms(self) -> PreferenceLoss:
        if self.label_smoothing and self.name not in ("dpo", "robust", "simpo"):
            raise ValueError(f"label_smoothing: {self.name} knows none, only dpo, robust and simpo do: set it to 0")
        if self.margin and self.name != "simpo":
            raise ValueError(f"margin: {self.name} knows none, only simpo does: set it to 0")
        return self


class KTOLoss(Config):
    """What a labelled completion costs: Ethayarajh et al. 2024, eq. 8 (math/preference.py)."""

    name: Literal["kto"]
    beta: float = Field(gt=0)
    """Strength of the pull to the reference, the inverse of aversion to risk."""
    desirable_weight: float = Field(gt=0)
    """lambda_D; times the desirable ones it should be 1 to 4/3 of lambda_U times the others (section 4.2)."""
    undesirable_weight: float = Field(gt=0)


class Optimization(Config):
    """The optimizer, its schedule and the order of data: identity of a training stage."""

    learning_rate: float = Field(gt=0)
    schedule: Literal["cosine", "linear", "constant"]
    warmup_fraction: float = Field(ge=0, le=1)
    """of all optimizer steps"""
    min_learning_rate_fraction: float = Field(ge=0, le=1)
    """of learning_rate, reached at the end of the schedule; not used by "constant" """
    optimizer: Literal["adamw", "rmsprop"]
    betas: tuple[float, float]
    """AdamW's two decay rates; RMSprop uses the second one (torch's alpha) and no momentum"""
    weight_decay: float = Field(ge=0)
    """for matrices only; norms and biases have none. RMSprop: an L2 term, as in torch"""
    gradient_clip: float = Field(ge=0)
    """largest global gradient norm; 0 is no clipping"""
    global_batch: int = Field(ge=1)
    """rows of the token store per optimizer step, over all workers and micro-batches"""
    epochs: float = Field(gt=0)
    dtype: Literal["bf16", "fp16", "fp32"]
    """of weights and activations in forward and backward; master weights and optimizer state are fp32"""
    rng_seed: int
    loss_spike: LossSpike | None = None
    """None: spikes are let be"""

    @property
    def rewind_steps(self) -> int:
        """Checkpoints at multiples of it are needed for loss spikes; 0: none are."""
        return self.loss_spike.rewind_steps if self.loss_spike else 0

    def num_rows(self, store_rows: int) -> int:
        """Rows consumed in the whole run, counting every epoch; at least 1."""
        return max(1, round(self.epochs * store_rows))

    def num_steps(self, store_rows: int, skipped: Sequence[tuple[int, int]] = ()) -> int:
        """Optimizer steps in the run. Epochs follow each other without a gap; the last step may be a partial batch.

        skipped: (optimizer step, rows left out after it); the learning rate follows the schedule without them.
        """
        return math.ceil((self.num_rows(store_rows) - sum(rows for _, rows in skipped)) / self.global_batch)


class TrainPlacement(Placement):
    """Where and how a training stage runs: must not change its result beyond floating-point order."""

    num_workers: tuple[int, int] = (1, 1)
    """(min, max): equal is fixed, else elastic; set checkpoint_every_steps then, a resize restarts from a checkpoint"""
    threads_per_worker: int = Field(default=2, ge=1)
    micro_batch: int | None = Field(default=1, ge=1)
    """rows per forward pass; None: the most that the memory holds, found on the first step"""
    zero_stage: Literal[0, 1, 2, 3] = 1
    offload: Literal["optimizer", "parameters"] | None = None
    """to host memory: the optimizer's state and fp32 weights (zero_stage 1 to 3), or the working weights too (3)"""
    use_gpu: bool = False
    checkpoint_every_steps: int = Field(default=0, ge=0)
    """0: only at the end"""
    keep_checkpoints: int = Field(default=2, ge=1)
    keep_best: bool = False
    """and the checkpoint with the lowest mean loss over the steps since the one before it"""
    gradient_checkpointing: bool = False
    store_cache_bytes: int = Field(default=64 * 2**30, ge=1)
    """disk of a node for shards of a token store on an object store; the last used ones stay"""
    max_failures: int = Field(default=2, ge=-1)
    """worker failures survived in one run; -1 is without limit"""
    step_timeout_s: float = Field(default=1800, gt=0)
    """a group of workers that gets nowhere for so long has hung: who keeps it is ended, which counts as a failure"""
    log_every_steps: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _workers_in_order(self) -> TrainPlacement:
        low, high = self.num_workers
        if not 1 <= low <= high:
            raise ValueError(f"num_workers {self.num_workers} must be (min, max) with 1 <= min <= max")
        return self

    @model_validator(mode="after")
    def _offload_has_its_stage(self) -> TrainPlacement:
        lowest = {None: 0, "optimizer": 1, "parameters": 3}[self.offload]
        if self.zero_stage < lowest:
            raise ValueError(f"offload {self.offload!r} needs zero_stage >= {lowest}, got {self.zero_stage}: raise it")
        return self
