"""Frozen log-probs: the hot path of evaluation and of reference policies.

Shapes: B rows, T tokens, D hidden, V vocabulary, N targets.

A row is a tree of segments (model/tree.py): text shared by all prompts of the row, then each prompt, then its
completions. So a prompt is computed once for all its completions, and a system prompt once for all prompts of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medray.core.config import UserError
from medray.model.load import load_policy
from medray.model.tree import TokenTree, common_length, padded
from medray.train.config import ForwardPlacement

_LOGIT_ROWS = 256  # 256 x 49,152 fp32 logits are 50 MB


@dataclass(frozen=True)
class ForwardRow:
    """A prompt and the completions whose log-probs are wanted, as ids; completions hold their stop token."""

    prompt_ids: Sequence[int]
    completions: Sequence[Sequence[int]]


@dataclass
class _Tree(TokenTree):
    """targets: (position whose hidden state predicts, target id, row index, completion index)."""

    targets: list[tuple[int, int, int, int]] = field(default_factory=list)


class Forward:
    """A loaded policy that computes log-probs without gradients.

    dtype: "bf16" or "fp32" of the layers; logits and log-probs are fp32 always, because bf16 logits near 20 are
    multiples of 1/8. batch_tokens: tokens in one forward call; changes only memory, speed and floating-point order.
    threads: torch threads of this process (it is set globally). Costs 1-2 s to load a 135M model.
    """

    def __init__(
        self, model_dir: str | Path, *, dtype: str, threads: int = 1, batch_tokens: int = 1024, device: str = "cpu"
    ) -> None:
        torch.set_num_threads(threads)
        self.model = load_policy(model_dir, dtype).to(device)
        self.device = torch.device(device)
        self.batch_tokens = batch_tokens
        self.max_positions = self.model.config.max_position_embeddings
        head = self.model.get_output_embeddings()
        if head.bias is not None or getattr(self.model.config, "final_logit_softcapping", None):
            raise UserError(f"{model_dir}: its logits are capped or biased, which is left out here: use another")
        self._head_VD = head.weight.detach().float()

    @classmethod
    def placed(cls, model_dir: str | Path, dtype: str, placement: ForwardPlacement) -> Forward:
        """The policy where its placement says."""
        device = "cuda" if placement.use_gpu else "cpu"
        return cls(
            model_dir, dtype=dtype, threads=placement.threads, batch_tokens=placement.batch_tokens, device=device
        )

    @torch.inference_mode()
    def sequence_logprobs(self, rows: Sequence[ForwardRow]) -> list[list[tuple[float, int]]]:
        """Sum of log-probs (nats) of each completion's tokens given its prompt, and their number.

        Deterministic for the same rows, batch_tokens and threads. Raises UserError for an empty prompt or completion,
        and for a sequence longer than the model's positions.
        """
        for index, row in enumerate(rows):
            self._check(index, row)
        sums = [np.zeros(len(row.completions)) for row in rows]
        trees = _plant(rows, self.batch_tokens)
        trees.sort(key=lambda tree: len(tree.ids))
        for batch in _batches([len(tree.ids) for tree in trees], self.batch_tokens):
            chosen = [trees[i] for i in batch]
            logprobs = self._tree_logprobs(chosen)
            targets = [target for tree in chosen for target in tree.targets]
            for value, (_, _, row_index, index) in zip(logprobs.tolist(), targets, strict=True):
                sums[row_index][index] += value
        return [
            [(float(value), len(ids)) for value, ids in zip(values, row.completions, strict=True)]
            for values, row in zip(sums, rows, strict=True)
        ]

    @torch.inference_mode()
    def document_nll(self, documents: Sequence[Sequence[int]], *, max_tokens: int) -> list[np.ndarray]:
        """Negative log-likelihood (nats, fp32) of each token of each document given those before it; the first is nan.

        Documents longer than max_tokens are read in windows that overlap by half, so that every token has at least
        max_tokens / 2 tokens of context (or all there is).
        """
        assert 2 <= max_tokens <= self.max_positions, f"max_tokens {max_tokens}, model has {self.max_positions}"
        results = [np.full(len(ids), np.nan, dtype=np.float32) for ids in documents]
        windows = [
            (number, begin, first)
            for number, ids in enumerate(documents)
            for begin, first in _windows(len(ids), max_tokens)
        ]
        lengths = [min(max_tokens, len(documents[number]) - begin) for number, begin, _ in windows]
        order = sorted(range(len(windows)), key=lambda i: lengths[i])
        for batch in _batches([lengths[i] for i in order], self.batch_tokens):
            chosen = [order[i] for i in batch]
            ids_BT = torch.zeros(len(chosen), max(lengths[i] for i in chosen), dtype=torch.long)
            spots: list[tuple[int, int]] = []
            for row, i in enumerate(chosen):
                number, begin, first = windows[i]
                ids_BT[row, : lengths[i]] = torch.as_tensor(documents[number][begin : begin + lengths[i]])
                spots += [(row, position) for position in range(first - begin - 1, lengths[i] - 1)]
            # right padding under a causal mask is never seen, so no mask is passed and sdpa keeps its fast path
            hidden_BTD = self._hidden(ids_BT, None, None)
            rows, positions = torch.tensor(spots, dtype=torch.long).reshape(-1, 2).unbind(1)
            logprobs = self._logprobs(hidden_BTD[rows, positions], ids_BT[rows, positions + 1]).numpy()
            offset = 0
            for i in chosen:
                number, begin, first = windows[i]
                count = begin + lengths[i] - first
                results[number][first : first + count] = -logprobs[offset : offset + count]
                offset += count
        return results

    def _check(self, index: int, row: ForwardRow) -> None:
        if not len(row.prompt_ids) or not all(len(ids) for ids in row.completions):
            raise UserError(f"rows[{index}]: an empty prompt or completion has no log-prob: drop it")
        longest = len(row.prompt_ids) + max((len(ids) for ids in row.completions), default=0)
        if longest > self.max_positions:
            raise UserError(f"rows[{index}]: {longest} tokens, expected at most {self.max_positions}: shorten it")

    def _hidden(self, ids_BT: Tensor, positions_BT: Tensor | None, mask_B1TT: Tensor | None) -> Tensor:
        return self.model.base_model(
            input_ids=ids_BT.to(self.device),
            position_ids=None if positions_BT is None else positions_BT.to(self.device),
            attention_mask=None if mask_B1TT is None else mask_B1TT.to(self.device),
            use_cache=False,
        ).last_hidden_state

    def _logprobs(self, hidden_ND: Tensor, targets_N: Tensor) -> Tensor:
        values = []
        for start in range(0, len(targets_N), _LOGIT_ROWS):
            logits_NV = hidden_ND[start : start + _LOGIT_ROWS].float() @ self._head_VD.T
            chosen_N1 = targets_N[start : start + _LOGIT_ROWS, None].to(self.device)
            values.append(logits_NV.gather(1, chosen_N1)[:, 0] - logits_NV.logsumexp(1))
        return torch.cat(values).cpu() if values else torch.zeros(0)

    def _tree_logprobs(self, trees: Sequence[_Tree]) -> Tensor:
        ids_BT, positions_BT, mask_B1TT = padded(trees, self.model.dtype)
        hidden_BTD = self._hidden(ids_BT, positions_BT, mask_B1TT)
        rows = [row for row, tree in enumerate(trees) for _ in tree.targets]
        targets = [target for tree in trees for target in tree.targets]
        spots_ND = hidden_BTD[torch.tensor(rows), torch.tensor([target[0] for target in targets])]
        return self._logprobs(spots_ND, torch.tensor([target[1] for target in targets]))


def sequence_logprobs(
    model_dir: str | Path, rows: Sequence[ForwardRow], *, dtype: str, threads: int = 1
) -> list[list[tuple[float, int]]]:
    """`Forward.sequence_logprobs` with a model loaded for this one call."""
    return Forward(model_dir, dtype=dtype, threads=threads).sequence_logprobs(rows)


def document_nll(
    model_dir: str | Path, documents: Sequence[Sequence[int]], *, dtype: str, max_tokens: int, threads: int = 1
) -> list[np.ndarray]:
    """`Forward.document_nll` with a model loaded for this one call."""
    return Forward(model_dir, dtype=dtype, threads=threads).document_nll(documents, max_tokens=max_tokens)


def _plant(rows: Sequence[ForwardRow], batch_tokens: int) -> list[_Tree]:
    """Trees of neighbouring rows that share the start of their prompts; attention is quadratic, so trees stay small."""
    limit = max(64, batch_tokens // 4)
    trees, group, size = [], [], 0
    # rows with equal starts become neighbours: they share the most
    wanted = [index for index, row in enumerate(rows) if row.completions]
    for index in sorted(wanted, key=lambda i: list(rows[i].prompt_ids)):
        num_tokens = len(rows[index].prompt_ids) + sum(len(ids) - 1 for ids in rows[index].completions)
        if group and size + num_tokens > limit:
            trees.append(_tree(rows, group))
            group, size = [], 0
        group.append(index)
        size += num_tokens
    return trees + ([_tree(rows, group)] if group else [])


def _tree(rows: Sequence[ForwardRow], group: Sequence[int]) -> _Tree:
    tree = _Tree()
    prompts = [list(rows[index].prompt_ids) for index in group]
    # the last prompt token stays with its prompt: its hidden state is read for each one
    shared = common_length(prompts) if len(group) > 1 else 0
    root = tree.add(prompts[0][:shared], -1, 0) if shared else -1
    for prompt, index in zip(prompts, group, strict=True):
        trunk = tree.add(prompt[shared:], root, shared)
        trunk_end = len(tree.ids) - 1
        for number, completion in enumerate(rows[index].completions):
            begin = len(tree.ids)
            # the last token is predicted but predicts nothing: it need not be computed
            tree.add(completion[:-1], trunk, len(prompt))
            spots = [trunk_end, *range(begin, begin + len(completion) - 1)]
            tree.targets += [(spot, token, index, number) for spot, token in zip(spots, completion, strict=True)]
    return tree


def _batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Consecutive indices of ascending lengths, padded size at most batch_tokens (a longer one goes alone)."""
    batches: list[list[int]] = []
    for index, length in enumerate(lengths):
        if batches and (len(batches[-1]) + 1) * length <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _windows(num_tokens: int, max_tokens: int) -> list[tuple[int, int]]:
    """(begin, first position with a value) of each window over a document."""
    if num_tokens < 2:
        return []
    windows, begin, first = [(0, 1)], 0, max_tokens
    while first < num_tokens:
        begin = first - max_tokens // 2
        windows.append((begin, first))
        first = begin + max_tokens
    return windows
