"""Packed attention and the output head: logits, loss and gradients are Hugging Face's own, one sequence at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from medray.core.config import UserError
from medray.model.attention import kernel, use_packed_attention
from medray.model.head import cross_entropy_of, logits_head, loss_kernel
from medray.tables.blocks import BlockStore
from medray.train.batches import Batch, load_batch
from medray.train.objective import CausalLM, hidden_states
from tests.numerics.tiny_training import tiny_store

SIZES = {
    "vocab_size": 67, "hidden_size": 32, "intermediate_size": 27, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
FAMILIES = {
    "Llama": {},
    "Qwen2": {},
    "Qwen3": {},
    "Mistral": {"sliding_window": 5},
    "Gemma": {},
    "Gemma2": {"sliding_window": 5, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
}
ROWS = [3, 11, 7]


def family_model(family: str, **changes: Any) -> Any:
    """A random model of a family; Hugging Face's reference is eager, whose softcap sdpa leaves out."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES | FAMILIES[family] | changes)
    return getattr(transformers, f"{family}ForCausalLM")._from_config(config, attn_implementation="eager")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> BlockStore:
    return tiny_store(tmp_path_factory.mktemp("store"))


def alone(model: Any, store: BlockStore) -> tuple[torch.Tensor, torch.Tensor]:
    """(logits of all tokens, loss sum) of each sequence by itself, by transformers."""
    logits, loss = [], torch.zeros(())
    for row in ROWS:
        unit, start = store[row], 0
        for length in unit.lengths:
            ids = torch.tensor(unit.input_ids[start : start + length].astype("int64"))
            mask = torch.tensor(unit.loss_mask[start + 1 : start + length].astype(bool))
            found = model(input_ids=ids[None], use_cache=False).logits[0]
            logits.append(found)
            loss = loss + torch.nn.functional.cross_entropy(found[:-1][mask], ids[1:][mask], reduction="sum")
            start += length
    return torch.cat(logits), loss


def packed(store: BlockStore, device: str = "cpu") -> Batch:
    return load_batch(store, ROWS, torch.device(device))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("is_checkpointed", [False, True], ids=["", "gradient_checkpointing"])
def test_packed_logits_loss_and_gradients_are_hugging_faces(
    store: BlockStore, family: str, is_checkpointed: bool
) -> None:
    reference, model = family_model(family).train(), family_model(family).train()
    use_packed_attention(model)
    assert model.config._attn_implementation != reference.config._attn_implementation
    if is_checkpointed:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    batch = packed(store)
    longest = max(max(store[row].lengths) for row in ROWS)
    assert longest == batch.longest > 5, "the window has to matter"
    logits, loss = alone(reference, store)
    assert torch.allclose(logits_head(model)(hidden_states(model, batch)), logits, atol=2e-5)
    found, _ = CausalLM().loss(model, batch)
    assert found.item() == pytest.approx(loss.item(), rel=1e-6)
    loss.backward()
    found.backward()
    for (name, one), other in zip(reference.named_parameters(), model.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-4, atol=2e-5), name


def test_sequences_do_not_see_each_other(store: BlockStore) -> None:
    model = family_model("Llama").eval()
    use_packed_attention(model)
    batch = packed(store)
    before = hidden_states(model, batch)
    batch.input_ids[0, 0] = (batch.input_ids[0, 0] + 1) % 67
    after, end = hidden_states(model, batch), int(batch.starts_S[1])
    assert torch.equal(before[end:], after[end:]) and not torch.allclose(before[:end], after[:end])


def test_what_the_head_does_not_compute_is_refused() -> None:
    model = family_model("Llama")
    model.config.logits_scaling = 8.0
    with pytest.raises(UserError, match="logits_scaling is 8.0: not computed here"):
        logits_head(model)


def test_a_cpu_takes_the_plain_kernels() -> None:
    assert kernel(torch.device("cpu"), torch.bfloat16) == "sdpa" and loss_kernel(torch.device("cpu")) == "chunked"


def test_long_losses_are_computed_in_chunks_of_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    from medray.math import logprob

    values = []
    for chunk in (2048, 7):
        monkeypatch.setattr(logprob, "CHUNK_TOKENS", chunk)
        model = family_model("Gemma2")
        torch.manual_seed(1)
        hidden_ND = torch.randn(30, 32, requires_grad=True)
        cross_entropy_of(model, hidden_ND, torch.arange(30)).backward()
        values.append((hidden_ND.grad, model.get_output_embeddings().weight.grad))
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*values, strict=True))
