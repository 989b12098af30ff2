"""On a GPU: the kernels agree with the plain ones, and the loop trains there as on a CPU, in one plain process."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from medray.model.attention import kernel, use_packed_attention
from medray.model.head import cross_entropy_of, logits_head, loss_kernel
from medray.tables.blocks import BlockStore
from medray.train.batches import load_batch
from medray.train.loop import Ranks, train
from medray.train.objective import CausalLM, hidden_states
from tests.numerics.test_kernels import FAMILIES, ROWS, alone, family_model
from tests.numerics.tiny_training import OPTIMIZATION, PLACEMENT, run_ranks, tiny_model, tiny_store

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> BlockStore:
    return tiny_store(tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_logits_and_gradients_are_those_of_fp32(store: BlockStore, family: str) -> None:
    reference, model = family_model(family).train(), family_model(family).train().to("cuda", torch.bfloat16)
    use_packed_attention(model)
    batch = load_batch(store, ROWS, torch.device("cuda"))
    assert kernel(batch.input_ids.device, model.dtype) in ("flash_attn", "torch_varlen")
    logits, loss = alone(reference, store)
    found = logits_head(model)(hidden_states(model, batch)).float().cpu()
    assert float((found - logits).abs().max()) < 0.1
    ours, _ = CausalLM().loss(model, batch)
    assert ours.item() == pytest.approx(loss.item(), rel=1e-2)
    loss.backward()
    ours.backward()
    for one, other in zip(reference.parameters(), model.parameters(), strict=True):
        assert float((one.grad - other.grad.float().cpu()).norm()) < 0.05 * float(one.grad.norm()) + 0.05


@pytest.mark.skipif(not importlib.util.find_spec("liger_kernel"), reason="liger-kernel is not installed")
def test_the_fused_cross_entropy_is_the_chunked_one(monkeypatch: pytest.MonkeyPatch) -> None:
    values = []
    for name in ("liger", "chunked"):
        monkeypatch.setattr("medray.model.head.loss_kernel", lambda device, name=name: name)
        model = family_model("Llama").to("cuda")
        torch.manual_seed(1)
        hidden_ND = torch.randn(300, 32, device="cuda", requires_grad=True)
        loss = cross_entropy_of(model, hidden_ND, torch.arange(300, device="cuda") % 67)
        loss.backward()
        values.append((loss.detach(), hidden_ND.grad, model.get_output_embeddings().weight.grad))
    assert all(torch.allclose(one, other, rtol=1e-4, atol=1e-4) for one, other in zip(*values, strict=True))
    assert loss_kernel(torch.device("cuda")) == "chunked"  # patched last


def _losses(store: BlockStore, checkpoints: Path, dtype: str, **placement: Any) -> dict[int, dict]:
    found: dict[int, dict] = {}
    train(
        tiny_model(dtype=dtype).to("cuda"), store, objective=CausalLM(), checkpoints=checkpoints,
        optimization=OPTIMIZATION.model_copy(update={"dtype": dtype, "learning_rate": 3e-3}),
        placement=PLACEMENT.model_copy(update={"checkpoint_every_steps": 5, "use_gpu": True, **placement}),
        ranks=Ranks.alone("cuda"), on_step=lambda done, total, metrics: found.__setitem__(done, metrics),
    )  # fmt: skip
    return found


@pytest.mark.parametrize(
    "placement",
    [
        {"zero_stage": 0}, {"zero_stage": 1}, {"zero_stage": 2, "offload": "optimizer"},
        {"zero_stage": 3, "offload": "parameters"}, {"micro_batch": None},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_the_loop_takes_the_cpus_steps(store: BlockStore, tmp_path: Path, dtype: str, placement: dict) -> None:
    # in a process of its own: DeepSpeed knows one kind of device in each
    optimization = OPTIMIZATION.model_copy(update={"learning_rate": 3e-3})
    expected = run_ranks(1, store, tmp_path, checkpoints=tmp_path / "cpu", optimization=optimization)
    found = _losses(store, tmp_path / "gpu", dtype, **placement)
    tolerance = 1e-3 if dtype == "fp32" else 5e-2
    assert max(abs(found[step]["loss"] - expected[step]) for step in expected) < tolerance
    assert found[10]["memory_bytes"] > 0
