"""Losses and schedules against closed forms, finite differences and torch."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from medray.math import logprob
from medray.math.bradley_terry import bradley_terry_loss
from medray.math.cross_entropy import cross_entropy_sum
from medray.math.logprob import sequence_logprobs, token_logprobs
from medray.math.preference import LOSSES, Terms, kto
from medray.math.schedule import learning_rate
from medray.train.config import PreferenceLoss


def _four(rng_seed: int = 0, size: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(rng_seed)
    return [torch.randn(size, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(4)]


def _loss(name: str, values: list[torch.Tensor], **terms: float) -> torch.Tensor:
    """Of log-probabilities (policy chosen, policy rejected, reference chosen, reference rejected)."""
    chosen, rejected = values[0] - values[2], values[1] - values[3]
    tokens = torch.arange(2, len(chosen) + 2), torch.arange(3, len(chosen) + 3)
    return LOSSES[name](Terms(chosen, rejected, *tokens, **terms))


def test_dpo_is_log_2_where_policy_equals_reference() -> None:
    chosen, rejected, _, _ = _four()
    for label_smoothing in (0.0, 0.2):
        loss = _loss("dpo", [chosen, rejected, chosen, rejected], beta=0.1, label_smoothing=label_smoothing)
        assert torch.allclose(loss, torch.full_like(loss, math.log(2)), atol=1e-15)


def test_losses_by_hand() -> None:
    """One pair: ratios 1 (2 tokens) and -0.5 (3 tokens), beta 0.5."""
    values = [torch.tensor([v], dtype=torch.float64) for v in (-10.0, -12.0, -11.0, -11.5)]

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    expected = {
        "dpo": 0.9 * math.log1p(math.exp(-0.75)) + 0.1 * math.log1p(math.exp(0.75)),
        "robust": (0.9 * math.log1p(math.exp(-0.75)) - 0.1 * math.log1p(math.exp(0.75))) / 0.8,
        "hinge": 1 - 0.75,
        "ipo": (1 / 2 + 0.5 / 3 - 1) ** 2,
        "apo_zero": 1 - sigmoid(0.5) + sigmoid(-0.25),
        "apo_down": sigmoid(0.5) + 1 - sigmoid(0.75),
        "simpo": 0.9 * math.log1p(math.exp(-(0.5 * (1 / 2 + 0.5 / 3) - 0.2)))
        + 0.1 * math.log1p(math.exp(0.5 * (1 / 2 + 0.5 / 3) - 0.2)),
        # chosen against the rejected side's mean, which is below 0 and counts as 0; rejected against chosen's, 0.4
        "kto_pair": (1 - sigmoid(0.5 * 1) + 1 - sigmoid(0.5 * (0.4 + 0.5))) / 2,
    }
    terms = {"beta": 0.5, "label_smoothing": 0.1, "margin": 0.2, "chosen_kl": 0.4, "rejected_kl": -0.3}
    assert {name: _loss(name, values, **terms).item() for name in LOSSES} == pytest.approx(expected, abs=1e-12)


def test_dpo_gradient_raises_chosen_and_lowers_rejected() -> None:
    chosen, rejected, reference_chosen, reference_rejected = _four(1)
    _loss("dpo", [chosen, rejected, reference_chosen, reference_rejected], beta=0.3).sum().backward()
    assert (chosen.grad < 0).all() and (rejected.grad > 0).all()
    assert torch.allclose(chosen.grad, -rejected.grad)
    # source: Rafailov et al. 2023, section 4: beta * sigmoid(rejected reward - chosen reward)
    margin = 0.3 * ((chosen - reference_chosen) - (rejected - reference_rejected))
    assert torch.allclose(chosen.grad, -0.3 * torch.sigmoid(-margin))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_agree_with_finite_differences(name: str) -> None:
    terms = {"beta": 0.7, "label_smoothing": 0.15, "margin": 0.3, "chosen_kl": 0.2, "rejected_kl": 0.1}
    assert torch.autograd.gradcheck(lambda *values: _loss(name, list(values), **terms), _four(2))


def test_kto_by_hand() -> None:
    """Ratios 1 and -0.5 against the reference point 0.4, and against one below 0, which counts as 0."""
    ratio = torch.tensor([1.0, 1.0, -0.5], dtype=torch.float64, requires_grad=True)
    terms = {"beta": 0.5, "desirable_weight": 1.5, "undesirable_weight": 0.5}
    desirable = torch.tensor([True, False, False])
    for kl, point in ((0.4, 0.4), (-0.3, 0.0)):
        expected = [
            w / (1 + math.exp(0.5 * lead)) for w, lead in ((1.5, 1 - point), (0.5, point - 1), (0.5, point + 0.5))
        ]
        assert kto(ratio, desirable, kl=kl, **terms).tolist() == pytest.approx(expected, abs=1e-12)
    assert torch.autograd.gradcheck(lambda values: kto(values, desirable, kl=0.4, **terms), (ratio,))
    far = torch.tensor([-1e6, 1e6, 1e6], requires_grad=True)
    kto(far, desirable, kl=0.0, **terms).sum().backward()
    assert torch.isfinite(far.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_margins_stay_finite(name: str) -> None:
    far = torch.tensor([-1e6, 1e6], dtype=torch.float32, requires_grad=True)
    loss = _loss(name, [far, -far, torch.zeros(2), torch.zeros(2)], beta=1.0).sum()
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(far.grad).all()


def test_extreme_rewards_stay_finite() -> None:
    far = torch.tensor([-1e6, 1e6], dtype=torch.float32, requires_grad=True)
    loss = bradley_terry_loss(far, -far).sum()
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(far.grad).all()


def test_terms_that_a_loss_does_not_know_are_refused() -> None:
    for name in ("hinge", "ipo", "apo_zero", "apo_down", "kto_pair"):
        with pytest.raises(ValueError, match=f"label_smoothing: {name} knows none.*set it to 0"):
            PreferenceLoss(name=name, beta=0.1, label_smoothing=0.1)
    with pytest.raises(ValueError, match="margin: dpo knows none.*set it to 0"):
        PreferenceLoss(name="dpo", beta=0.1, margin=1.0)


def test_bradley_terry() -> None:
    chosen, rejected, *_ = _four(3)
    loss = bradley_terry_loss(chosen, rejected)
    assert torch.allclose(loss, -torch.log(torch.sigmoid(chosen - rejected)))
    assert torch.allclose(bradley_terry_loss(chosen, chosen), torch.full_like(chosen, math.log(2)))
    assert torch.autograd.gradcheck(bradley_terry_loss, (chosen, rejected))
    # only differences matter
    assert torch.allclose(loss, bradley_terry_loss(chosen + 7, rejected + 7))
    margin = torch.tensor([0.0, 1.0, 2.5, 0.5, 3.0], dtype=torch.float64)
    assert torch.allclose(bradley_terry_loss(chosen, rejected, margin), bradley_terry_loss(chosen - margin, rejected))
    centred = bradley_terry_loss(chosen, rejected, centring=0.01)
    assert torch.allclose(centred - loss, 0.01 * (chosen + rejected) ** 2)


def test_cross_entropy_is_a_sum_and_agrees_with_finite_differences() -> None:
    hidden, weight = torch.randn(6, 3, dtype=torch.float64), torch.randn(11, 3, dtype=torch.float64)
    hidden.requires_grad_(), weight.requires_grad_()
    target = torch.randint(0, 11, (6,))
    total = cross_entropy_sum(hidden, lambda h: h @ weight.T, target)
    assert torch.allclose(total, F.cross_entropy(hidden @ weight.T, target, reduction="sum"))
    assert torch.autograd.gradcheck(lambda h, w: cross_entropy_sum(h, lambda x: x @ w.T, target), (hidden, weight))


def test_chunks_change_neither_loss_nor_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    head = torch.nn.Linear(8, 50, bias=False, dtype=torch.float64)
    hidden, target = torch.randn(23, 8, dtype=torch.float64, requires_grad=True), torch.randint(0, 50, (23,))
    found = []
    for chunk in (100, 5):
        monkeypatch.setattr(logprob, "CHUNK_TOKENS", chunk)
        head.weight.grad, hidden.grad = None, None
        value = token_logprobs(hidden, head, target)
        value.square().sum().backward()
        found.append((value.detach(), head.weight.grad.clone(), hidden.grad.clone()))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-12)


def test_bf16_logits_are_summed_in_fp32() -> None:
    logits = torch.randn(4, 5000).bfloat16()
    target = torch.randint(0, 5000, (4,))
    value = token_logprobs(logits, lambda h: h, target)
    assert value.dtype == torch.float32
    assert torch.allclose(value, torch.log_softmax(logits.float(), -1)[torch.arange(4), target], atol=1e-5)


def test_sequence_logprobs_sum_by_sequence() -> None:
    total = sequence_logprobs(torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([0, 2, 0, 2]), 4)
    assert total.tolist() == [5.0, 0.0, 10.0, 0.0]


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_schedule_ends(schedule: str) -> None:
    def rate(step: int) -> float:
        return learning_rate(step, 100, peak=2.0, schedule=schedule, warmup_fraction=0.1, min_fraction=0.1)

    assert rate(0) == pytest.approx(2.0 / 11)
    assert rate(10) == 2.0
    assert all(rate(s) < rate(s + 1) for s in range(10))
    if schedule == "constant":
        assert rate(99) == 2.0
    else:
        assert rate(100) == pytest.approx(0.2)
        assert rate(55) == pytest.approx(1.1)
        assert all(rate(s) > rate(s + 1) for s in range(10, 100))


def test_schedule_without_warmup_starts_at_the_peak() -> None:
    assert learning_rate(0, 1, peak=1.0, schedule="cosine", warmup_fraction=0.0, min_fraction=0.0) == 1.0
