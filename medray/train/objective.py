"""Objectives: a batch to the sum of its loss, and sums of what is logged.   Shapes: S sequences, B rows (pairs: S/2).

An objective is a config (it is identity); it loads its model, says what its loss is divided by, and computes the loss.
torch is imported inside, so that recipes can name an objective without it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from medray.core.config import Config, UserError
from medray.model.adapter import Adapter
from medray.train.config import KTOLoss, PreferenceLoss

if TYPE_CHECKING:
    from torch import Tensor

    from medray.tables.blocks import BlockStore
    from medray.train.batches import Batch

Sums = dict[str, "Tensor"]
"""Sums over the units of a batch, detached; the loop divides them by the units of the global batch."""


class Objective(Config, ABC):
    """What a model is trained for."""

    def load(self, model: Path, dtype: str) -> Any:
        """The model to train, from a model directory."""
        from medray.model.load import load_policy

        return load_policy(model, dtype)

    def finished(self, model: Any, data: Path) -> Any:
        """The trained model as it is handed on, a plain one; what else there is to keep goes into `data`."""
        return model

    def num_units(self, store: BlockStore, row: int) -> int:
        """What the loss is divided by, for one row: here its loss tokens."""
        return store.num_loss_tokens(row)

    def check_store(self, store: BlockStore) -> None:
        """Raise UserError when this objective cannot use the token store; cheap, the driver does it too."""
        _expect_kind(store, type(self).__name__, ("causal_lm", "sft"))

    @property
    def needs_means(self) -> bool:
        """Whether the loss needs means over the global batch, which a first pass forward takes."""
        return False

    def means(self, model: Any, batch: Batch) -> Sums:
        """Sums over the units of a batch of what the loss needs, over the global batch, as `batch.means`."""
        raise NotImplementedError

    @abstractmethod
    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, Sums]:
        """(sum of the loss over the batch's units, sums of metrics)."""


class CausalLM(Objective):
    """Next-token prediction on the loss tokens: pretraining and SFT, of all weights or of an adapter."""

    adapter: Adapter | None = None

    def load(self, model: Path, dtype: str) -> Any:
        """The causal language model, with the adapter in it."""
        from medray.model.adapter import load_adapted

        return load_adapted(model, dtype, self.adapter) if self.adapter else super().load(model, dtype)

    def finished(self, model: Any, data: Path) -> Any:
        """The adapter merged into the weights, and by itself in data/"adapter"."""
        from medray.model.adapter import merge, save_adapter

        if not self.adapter:
            return model
        save_adapter(model, self.adapter, data / "adapter")
        return merge(model)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, Sums]:
        """Sum over loss tokens of -log p(token | its own sequence before it), nats."""
        from medray.model.head import cross_entropy_of

        return cross_entropy_of(model, hidden_states(model, batch)[batch.predictor_N], batch.target_N), {}


class BradleyTerry(Objective):
    """A reward model: one number at the last token of a sequence, higher for the preferred one."""

    from_policy: bool = True
    """start from a policy's directory with a new reward head; False: go on from a reward model's directory"""
    margin_factor: float = Field(default=0.0, ge=0)
    """the margin by which chosen must lead: so many times the pair's label, nothing where that is below 0"""
    centring: float = Field(default=0.0, ge=0)
    """weight of the squared sum of a pair's rewards"""

    def load(self, model: Path, dtype: str) -> Any:
        """The sequence classifier with one output."""
        from medray.model.load import load_reward_model

        loaded = load_reward_model(model, dtype, from_policy=self.from_policy)
        loaded.score.forward = partial(_fp32_linear, loaded.score)
        return loaded

    def num_units(self, store: BlockStore, row: int) -> int:
        """One pair."""
        return 1

    def check_store(self, store: BlockStore) -> None:
        """Pairs only; with labels where there is a margin (the first row is looked at)."""
        _expect_kind(store, "BradleyTerry", ("pairs",))
        if self.margin_factor and math.isnan(store[0].label):
            raise UserError(
                "train.BradleyTerry: the pairs hold no labels, expected by how much chosen is better, for the margin: "
                "write the store with labels, or set margin_factor to 0"
            )

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, Sums]:
        """Sum over pairs of -log sigmoid(chosen - rejected - margin), and of the centring term."""
        from medray.math.bradley_terry import bradley_terry_loss

        reward_S = model.score(hidden_states(model, batch)[batch.last_S]).squeeze(-1)
        chosen_B, rejected_B = reward_S.view(-1, 2).unbind(1)
        margin_B = self.margin_factor * batch.label_B.clamp(min=0).to(chosen_B.dtype) if self.margin_factor else 0.0
        loss_B = bradley_terry_loss(chosen_B, rejected_B, margin_B, centring=self.centring)
        return loss_B.sum(), _pair_sums(chosen_B, rejected_B)


class Preference(Objective):
    """Direct alignment on pairs, against reference log-probabilities stored with them (all losses but SimPO)."""

    terms: PreferenceLoss

    def num_units(self, store: BlockStore, row: int) -> int:
        """One pair."""
        return 1

    def check_store(self, store: BlockStore) -> None:
        """Pairs only, with reference log-probabilities (the first row is looked at)."""
        _expect_kind(store, "Preference", ("pairs",))
        if self.terms.name != "simpo":
            _expect_references(store, "Preference")

    @property
    def needs_means(self) -> bool:
        """kto_pair does, of the ratios of both sides."""
        return self.terms.name == "kto_pair"

    def means(self, model: Any, batch: Batch) -> Sums:
        """Sums of the ratios of both sides."""
        chosen_B, rejected_B = self._ratios(_completion_logprobs(model, batch).view(-1, 2), batch).unbind(1)
        return {"chosen_kl": chosen_B.sum(), "rejected_kl": rejected_B.sum()}

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, Sums]:
        """Sum over pairs of the loss, and of nll_weight times the mean -log p of chosen's tokens."""
        from medray.math.preference import LOSSES, Terms

        policy_B2 = _completion_logprobs(model, batch).view(-1, 2)
        ratio_B2 = self._ratios(policy_B2, batch)
        tokens_B2 = batch.sequence_N.bincount(minlength=len(batch.last_S)).view(-1, 2).to(policy_B2.dtype)
        terms = Terms(
            *ratio_B2.unbind(1), *tokens_B2.unbind(1), beta=self.terms.beta, margin=self.terms.margin,
            label_smoothing=self.terms.label_smoothing, **batch.means,
        )  # fmt: skip
        loss_B = LOSSES[self.terms.name](terms)
        nll_B = -policy_B2[:, 0] / tokens_B2[:, 0]
        scale_B2 = self.terms.beta / tokens_B2 if self.terms.name == "simpo" else self.terms.beta
        sums = _pair_sums(*(scale_B2 * ratio_B2).unbind(1))
        sums |= {"chosen_logprob": policy_B2[:, 0].detach().sum(), "rejected_logprob": policy_B2[:, 1].detach().sum(),
                 "chosen_nll": nll_B.detach().sum()}  # fmt: skip
        return (loss_B + self.terms.nll_weight * nll_B).sum(), sums

    def _ratios(self, policy_B2: Tensor, batch: Batch) -> Tensor:
        return policy_B2 if self.terms.name == "simpo" else _less_reference(policy_B2.view(-1), batch).view(-1, 2)


class KTO(Objective):
    """Alignment on single completions, desirable or not, against the mean ratio of completions of other prompts."""

    terms: KTOLoss

    def num_units(self, store: BlockStore, row: int) -> int:
        """One completion."""
        return 1

    def check_store(self, store: BlockStore) -> None:
        """Labelled completions only, with reference log-probabilities (the first row is looked at)."""
        _expect_kind(store, "KTO", ("labelled",))
        _expect_references(store, "KTO")

    @property
    def needs_means(self) -> bool:
        """The reference point is a mean over the global batch."""
        return True

    def means(self, model: Any, batch: Batch) -> Sums:
        """Sum of the ratios of the mismatched completions."""
        return {"kl": _less_reference(_completion_logprobs(model, batch.mismatched), batch.mismatched).sum()}

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, Sums]:
        """Sum over completions of the loss. A completion counts as right on its side of the reference point."""
        import torch

        from medray.math.preference import kto

        ratio_B, is_desirable_B = _less_reference(_completion_logprobs(model, batch), batch), batch.label_B > 0
        loss_B = kto(ratio_B, is_desirable_B, **batch.means, **self.terms.model_dump(exclude={"name"}))
        reward_B, point = self.terms.beta * ratio_B.detach(), self.terms.beta * max(batch.means["kl"], 0.0)
        better_B = torch.where(is_desirable_B, reward_B, torch.full_like(reward_B, point))
        worse_B = torch.where(is_desirable_B, torch.full_like(reward_B, point), reward_B)
        sums = {name: _pair_sums(better_B, worse_B)[name] for name in ("reward_accuracy", "reward_margin")}
        kl, desirable = torch.full_like(ratio_B, batch.means["kl"]), is_desirable_B.double()
        return loss_B.sum(), sums | {"kl": kl.detach().sum(), "desirable_fraction": desirable.sum()}


def _completion_logprobs(model: Any, batch: Batch) -> Tensor:
    """Of each sequence's completion, nats: [S]."""
    from medray.math.logprob import sequence_logprobs, token_logprobs

    hidden_ND = hidden_states(model, batch)[batch.predictor_N]
    # references were taken with an fp32 head (train/forward.py); bf16 logits would differ by 0.3 nats a completion
    head = partial(_fp32_linear, model.get_output_embeddings())
    return sequence_logprobs(token_logprobs(hidden_ND, head, batch.target_N), batch.sequence_N, len(batch.last_S))


def _less_reference(policy_S: Tensor, batch: Batch) -> Tensor:
    assert len(batch.reference_S) == len(policy_S), f"rows {batch.rows}: some have no reference log-probability"
    return policy_S - batch.reference_S.to(policy_S.dtype)


def _expect_references(store: BlockStore, objective: str) -> None:
    if len(store[0].reference) != 2:
        raise UserError(
            f"train.{objective}: the {store.facts['kind']} hold no reference log-probabilities, expected one for each "
            "side: train on the store of the reference stage"
        )


def _fp32_linear(head: Any, hidden_SD: Tensor) -> Tensor:
    """A linear layer computed in fp32 whatever its weights are: bf16 would round rewards near 4 to steps of 1/64."""
    return hidden_SD.float() @ head.weight.float().T


def _expect_kind(store: BlockStore, objective: str, kinds: tuple[str, ...]) -> None:
    kind = store.facts["kind"]
    if kind not in kinds:
        raise UserError(
            f"train.{objective}: got a token store of kind {kind!r}, expected {' or '.join(kinds)}: "
            "give the stage another store or objective"
        )


def _pair_sums(chosen_B: Tensor, rejected_B: Tensor) -> Sums:
    """A tie counts as half right, so that a constant reward shows 0.5."""
    chosen_B, rejected_B = chosen_B.detach(), rejected_B.detach()
    right = (chosen_B > rejected_B).float() + 0.5 * (chosen_B == rejected_B).float()
    return {
        "reward_accuracy": right.sum(),
        "reward_margin": (chosen_B - rejected_B).sum(),
        "chosen_reward": chosen_B.sum(),
        "rejected_reward": rejected_B.sum(),
    }


def hidden_states(model: Any, batch: Batch) -> Tensor:
    """Last hidden states [T, D] of the backbone, each sequence by itself.

    Trap: with transformers' own attention and no mask of ours, only attention_mask=None with restarting position_ids
    *and* use_cache=False keeps packed sequences apart; a mask of padding, or a cache, lets them see each other without
    a word.
    """
    import torch

    from medray.model.attention import sequence_arguments

    mask_11TT = None
    if batch.visible_TT is not None:  # additive float: a boolean mask is silently wrong for eager attention
        dtype = model.dtype
        mask_11TT = torch.zeros(batch.visible_TT.shape, dtype=dtype, device=batch.visible_TT.device)
        mask_11TT = mask_11TT.masked_fill_(~batch.visible_TT, torch.finfo(dtype).min)[None, None]
    apart = {} if mask_11TT is not None else sequence_arguments(model, batch.starts_S, batch.longest)
    output = model.base_model(
        input_ids=batch.input_ids, position_ids=batch.position_ids, attention_mask=mask_11TT, use_cache=False, **apart
    )
    return output.last_hidden_state[0]
