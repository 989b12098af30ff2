"""Frozen log-probs equal the naive forward, one sequence at a time."""

import numpy as np
import pytest
import torch

from medray.core.config import UserError
from medray.model.load import load_policy
from medray.train.forward import Forward, ForwardRow, document_nll, sequence_logprobs

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def policy(tiny_model):
    return load_policy(tiny_model, "fp32")


@torch.inference_mode()
def naive(policy, ids):
    """Log-prob of each token after the first."""
    logits = policy(torch.tensor([list(ids)]), use_cache=False).logits[0, :-1].log_softmax(-1)
    return logits.gather(1, torch.tensor(ids)[1:, None])[:, 0].numpy()


def make_rows(vocab_size, num_rows, seed):
    rng = np.random.default_rng(seed)

    def ids(low, high):
        return rng.integers(3, vocab_size, rng.integers(low, high)).tolist()

    common = ids(5, 30)
    rows = [
        ForwardRow(common[: rng.integers(1, len(common))] + ids(1, 40), [ids(1, 9) for _ in range(rng.integers(1, 5))])
        for _ in range(num_rows)
    ]
    # traps: equal prompts, a prompt inside another, a one-token prompt, completions that share their start
    rows += [ForwardRow(common, [[5], [5, 6], [5, 6, 7]])] * 2 + [ForwardRow(common[:-1], [common[-1:]])]
    return [*rows, ForwardRow([4], [ids(1, 6)]), ForwardRow(ids(200, 300), [ids(1, 4), ids(60, 90)])]


@pytest.mark.parametrize("batch_tokens", [64, 256, 2048])
def test_sequence_logprobs_equal_naive(tiny_model, policy, batch_tokens):
    rows = make_rows(policy.config.vocab_size, 25, seed=batch_tokens)
    found = Forward(tiny_model, dtype="fp32", batch_tokens=batch_tokens).sequence_logprobs(rows)
    for row, values in zip(rows, found, strict=True):
        assert len(values) == len(row.completions)
        for (value, count), completion in zip(values, row.completions, strict=True):
            expected = naive(policy, [*row.prompt_ids, *completion])[len(row.prompt_ids) - 1 :].sum()
            assert count == len(completion)
            assert abs(value - expected) < TOLERANCE


def test_sequence_logprobs_do_not_depend_on_company(tiny_model, policy):
    rows = make_rows(policy.config.vocab_size, 12, seed=1)
    forward = Forward(tiny_model, dtype="fp32")
    together = forward.sequence_logprobs(rows)
    assert together == forward.sequence_logprobs(rows), "the same call gives the same bits"
    alone = [forward.sequence_logprobs([row])[0] for row in rows]
    values, others = (np.array([v for row in result for v, _ in row]) for result in (together, alone))
    assert np.abs(values - others).max() < TOLERANCE
    reverse = forward.sequence_logprobs(rows[::-1])[::-1]
    assert np.abs(values - np.array([v for row in reverse for v, _ in row])).max() < TOLERANCE


def test_document_nll_equals_naive(tiny_model, policy):
    rng = np.random.default_rng(0)
    documents = [rng.integers(3, policy.config.vocab_size, n).tolist() for n in (1, 2, 17, 64, 3, 40)]
    found = document_nll(tiny_model, documents, dtype="fp32", max_tokens=64)
    for ids, values in zip(documents, found, strict=True):
        assert len(values) == len(ids) and np.isnan(values[0])
        assert np.allclose(-values[1:], naive(policy, ids), atol=TOLERANCE) if len(ids) > 1 else True


def test_document_windows_score_each_token_once_with_half_a_window_of_context(tiny_model, policy):
    ids = np.random.default_rng(0).integers(3, policy.config.vocab_size, 53).tolist()
    values = Forward(tiny_model, dtype="fp32").document_nll([ids], max_tokens=16)[0]
    assert np.isnan(values[0]) and np.isfinite(values[1:]).all()
    for position in range(16, 53):
        begin = 16 * (position // 8 - 1) // 2
        assert abs(-values[position] - naive(policy, ids[begin : position + 1])[-1]) < TOLERANCE


def test_bf16_is_near_fp32(tiny_model, policy):
    rows = make_rows(policy.config.vocab_size, 5, seed=3)
    fp32, bf16 = (sequence_logprobs(tiny_model, rows, dtype=dtype) for dtype in ("fp32", "bf16"))
    for a, b in zip(fp32, bf16, strict=True):
        for (value, count), (other, _) in zip(a, b, strict=True):
            assert abs(value - other) / count < 0.02


def test_bad_rows_are_refused(tiny_model):
    forward = Forward(tiny_model, dtype="fp32")
    with pytest.raises(UserError, match="rows\\[1\\]: an empty"):
        forward.sequence_logprobs([ForwardRow([1], [[2]]), ForwardRow([1], [[2], []])])
    with pytest.raises(UserError, match="at most"):
        forward.sequence_logprobs([ForwardRow([1] * 3000, [[2]])])
    assert forward.sequence_logprobs([]) == [] and forward.sequence_logprobs([ForwardRow([1], [])]) == [[]]
