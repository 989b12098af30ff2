"""Sequences that begin alike: what they begin with is computed once, and held as the keys and values of each layer.

Shapes: B sequences, T tokens, H key-value heads, D of a head.   For sequences without gradients; the tree of
`medray/model/tree.py` does the same inside one row, where attention grows with the square of the whole tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache


class Held(NamedTuple):
    """Beginnings, computed: the tokens of each, and every layer's keys and values (B, H, T, D), padded on the right."""

    num_tokens: list[int]
    layers: list[tuple[Tensor, Tensor]]


def hold(model: Any, beginnings: Sequence[Sequence[int]], before: Held | None = None) -> Held:
    """Beginnings computed, each of at least one token; before: a single one that all of them go on from."""
    assert before is None or len(before.num_tokens) == 1, "goes on from one beginning"
    _, cache = _forward(model, beginnings, before, [0] * len(beginnings), use_cache=True)
    start = before.num_tokens[0] if before else 0
    return Held([start + len(ids) for ids in beginnings], [(layer.keys, layer.values) for layer in cache.layers])


def rewards_after(model: Any, sequences: Sequence[Sequence[int]], held: Held | None, which: Sequence[int]) -> Tensor:
    """Rewards (B, fp32) of sequences, each of which goes on from beginning which[i] of `held`; None: they are whole.

    Equal to `pooled_rewards` of the whole sequences but for floating-point order.
    """
    hidden_BTD, _ = _forward(model, sequences, held, which, use_cache=False)
    last_B = torch.tensor([len(ids) - 1 for ids in sequences], device=hidden_BTD.device)
    hidden_BD = hidden_BTD[torch.arange(len(sequences), device=hidden_BTD.device), last_B]
    return model.score(hidden_BD.to(model.score.weight.dtype)).float().squeeze(-1)


@torch.inference_mode()
def _forward(
    model: Any, sequences: Sequence[Sequence[int]], held: Held | None, which: Sequence[int], *, use_cache: bool
) -> tuple[Tensor, DynamicCache]:
    """Last hidden states of the sequences themselves, and keys and values from the beginning."""
    assert sequences and all(map(len, sequences)), "an empty sequence"
    device, longest = model.score.weight.device, max(map(len, sequences))
    ids_BT = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in sequences], device=device)
    positions_BT = torch.arange(longest, device=device).expand(len(sequences), -1)
    seen_BTT = torch.ones(longest, longest, dtype=torch.bool, device=device).tril().expand(len(sequences), -1, -1)
    cache = DynamicCache()
    if held:
        chosen = torch.tensor(list(which), device=device)
        begun_B1 = torch.tensor(held.num_tokens, device=device)[chosen][:, None]
        positions_BT = begun_B1 + positions_BT
        at_S = torch.arange(held.layers[0][0].shape[2], device=device)
        before_BTS = (at_S < begun_B1)[:, None].expand(-1, longest, -1)
        seen_BTT = torch.cat([before_BTS, seen_BTT], dim=2)
        cache = DynamicCache(ddp_cache_data=[(keys[chosen], values[chosen]) for keys, values in held.layers])
    # additive float: a boolean mask is silently wrong for eager attention
    mask_B1TT = torch.zeros(seen_BTT.shape, dtype=model.dtype, device=device)
    mask_B1TT = mask_B1TT.masked_fill_(~seen_BTT, torch.finfo(model.dtype).min)[:, None]
    output = model.base_model(
        input_ids=ids_BT, position_ids=positions_BT, attention_mask=mask_B1TT,
        past_key_values=cache if held or use_cache else None, use_cache=use_cache,
    )  # fmt: skip
    return output.last_hidden_state, cache
