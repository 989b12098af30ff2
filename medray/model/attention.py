"""Attention over packed sequences that do not see each other, by the best kernel there is.

Shapes: T tokens of all sequences laid end to end, S sequences, H heads, D of a head.   No mask of T x T is made.

A GPU in bf16 or fp16 takes flash-attn where it is installed, else torch's own varlen kernel; everything else computes
sdpa sequence by sequence, whose cost, too, grows with the sequences' own squares and not with T squared.
"""

from __future__ import annotations

import importlib.util
import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

_NAME = "medray_packed"


def use_packed_attention(model: Any) -> None:
    """Make a transformers model use `packed_attention` in every layer, where it can be told so."""
    if model._can_set_attn_implementation():
        model.set_attn_implementation(_NAME)


def sequence_arguments(model: Any, starts_S: Tensor, longest: int) -> dict[str, Any]:
    """What the model's forward must be told about the sequences of a row, which is nothing for other attentions."""
    if model.config._attn_implementation != _NAME:
        return {}
    return {
        "cu_seq_lens_q": starts_S, "cu_seq_lens_k": starts_S, "max_length_q": longest, "max_length_k": longest,
    }  # fmt: skip


def kernel(device: torch.device, dtype: torch.dtype) -> str:
    """Which kernel attention runs on: "flash_attn", "torch_varlen" or "sdpa"."""
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return "sdpa"
    if importlib.util.find_spec("flash_attn"):
        return "flash_attn"
    return "torch_varlen" if importlib.util.find_spec("torch.nn.attention.varlen") else "sdpa"


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    **others: Any,
) -> tuple[Tensor, None]:
    """Causal attention (1, T, H, D) within each sequence of [1, H, T, D]; with a mask, or no sequences, plain sdpa.

    sliding_window: tokens that a token sees, itself among them. softcap: c tanh(x / c) of the products (Gemma 2).
    """
    if attention_mask is not None or cu_seq_lens_q is None:
        assert softcap is None, "softcap and a mask of one's own: not computed here"
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )  # fmt: skip
    # the window matters only to sequences longer than it
    window = sliding_window if sliding_window and sliding_window < max_length_q else None
    chosen = kernel(query.device, query.dtype)
    starts = cu_seq_lens_q
    if chosen == "flash_attn":
        from flash_attn import flash_attn_varlen_func

        query_THD, key_THD, value_THD = (x[0].transpose(0, 1).contiguous() for x in (query, key, value))
        out_THD = flash_attn_varlen_func(
            query_THD, key_THD, value_THD, starts, starts, max_length_q, max_length_q, dropout_p=dropout,
            softmax_scale=scaling, causal=True, window_size=(window - 1, 0) if window else (-1, -1),
            softcap=softcap or 0.0,
        )  # fmt: skip
        return out_THD[None], None
    if chosen == "torch_varlen" and not dropout and softcap is None:
        return _torch_varlen(query, key, value, starts, max_length_q, scaling, window), None
    key, value = (repeat_kv(x, query.shape[1] // x.shape[1]) for x in (key, value))
    bounds = starts.tolist()
    parts = [
        _one_sequence(*(x[:, :, begin:end] for x in (query, key, value)), scaling, dropout, window, softcap)
        for begin, end in zip(bounds, bounds[1:], strict=False)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2), None


def _torch_varlen(
    query: Tensor, key: Tensor, value: Tensor, starts: Tensor, longest: int, scaling: float | None, window: int | None
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    known = inspect.signature(varlen_attn).parameters
    causal = {"window_size": (window - 1 if window else -1, 0)} if "window_size" in known else {"is_causal": True}
    assert not window or "window_size" in known, "this torch's varlen_attn has no window: install a newer one"
    if "enable_gqa" in known:
        causal["enable_gqa"] = True
    else:
        key, value = (repeat_kv(x, query.shape[1] // x.shape[1]) for x in (key, value))
    query_THD, key_THD, value_THD = (x[0].transpose(0, 1).contiguous() for x in (query, key, value))
    return varlen_attn(query_THD, key_THD, value_THD, starts, starts, longest, longest, scale=scaling, **causal)[None]


def _one_sequence(
    query: Tensor, key: Tensor, value: Tensor, scaling: float | None, dropout: float,
    window: int | None, softcap: float | None,
) -> Tensor:  # fmt: skip
    """Attention (1, H, T, D) of one sequence."""
    num_tokens = query.shape[2]
    if softcap is None and (window is None or num_tokens <= window):
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, dropout_p=dropout)
    seen_TT = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=query.device).tril()
    if window:
        seen_TT = seen_TT.triu(1 - window)
    if softcap is None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=seen_TT, scale=scaling, dropout_p=dropout)
    products = query @ key.transpose(2, 3) * (scaling or query.shape[-1] ** -0.5)
    products = (softcap * torch.tanh(products / softcap)).masked_fill(~seen_TT, -torch.inf)
    weights = products.softmax(-1, dtype=torch.float32).to(query.dtype)
    return F.dropout(weights, dropout) @ value


AttentionInterface.register(_NAME, packed_attention)
