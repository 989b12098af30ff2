"""LoRA: only the adapter trains, at any placement; its merge and its PEFT directory compute what it computes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from medray.core.config import UserError
from medray.model.adapter import Adapter, check_targets, load_adapted, merge, save_adapter
from medray.model.load import load_policy
from medray.tables.blocks import BlockStore
from medray.train.checkpoint import CheckpointReader, newest_whole
from medray.train.objective import CausalLM
from tests.numerics.tiny_training import OPTIMIZATION, PLACEMENT, parameters, run, run_ranks, tiny_model, tiny_store

ADAPTER = Adapter(rank=3, alpha=8, dropout=0.0, targets=("q_proj", "layers.1.mlp.down_proj"))
FAST = OPTIMIZATION.model_copy(update={"learning_rate": 0.1})
QUICK = PLACEMENT.model_copy(update={"checkpoint_every_steps": 0})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> BlockStore:
    return tiny_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("base")
    tiny_model().save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def trained(store: BlockStore, base: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The uninterrupted run on one worker."""
    checkpoints = tmp_path_factory.mktemp("trained")
    losses = run(store, checkpoints, model=load_adapted(base, "fp32", ADAPTER), placement=QUICK, optimization=FAST)
    model = load_adapted(base, "fp32", ADAPTER)
    CheckpointReader(newest_whole(checkpoints)).load_model(model)
    return SimpleNamespace(losses=losses, checkpoints=checkpoints, model=model)


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(60).reshape(2, 30), use_cache=False).logits


def test_only_the_adapter_trains_and_it_learns(trained: SimpleNamespace, base: Path) -> None:
    found = parameters(trained.checkpoints)
    assert len(found) == 6 and all(".lora_" in name for name in found), sorted(found)
    assert trained.losses[10] < trained.losses[1] - 0.01  # a random base gives an adapter little to work with
    frozen = dict(load_policy(base, "fp32").named_parameters())
    for name, parameter in trained.model.named_parameters():
        if not parameter.requires_grad:
            assert torch.equal(parameter, frozen[name.replace(".base_layer", "")])


@pytest.mark.parametrize(
    ("zero_stage", "world_size", "dropout"),
    [
        (2, 1, 0.0),
        (3, 2, 0.0),
        pytest.param(1, 3, 0.0, marks=pytest.mark.full),
        pytest.param(3, 3, 0.2, marks=pytest.mark.full),
    ],
)
def test_an_interrupted_run_at_another_placement_ends_at_the_same_adapter(
    store: BlockStore, base: Path, tmp_path: Path, zero_stage: int, world_size: int, dropout: float
) -> None:
    adapter = ADAPTER.model_copy(update={"dropout": dropout})
    placement = PLACEMENT.model_copy(update={"zero_stage": zero_stage})
    run(store, tmp_path / "a", model=load_adapted(base, "fp32", adapter), placement=QUICK)
    for kill_after, size in ((4, world_size), (None, 1)):
        arguments = {"placement": placement, "kill_after": kill_after, "checkpoints": tmp_path / "b"}
        model = load_adapted(base, "fp32", adapter)
        if size == 1:
            run(store, model=model, **arguments)
        else:
            run_ranks(size, store, tmp_path, model=model, **arguments)
    one, other = parameters(tmp_path / "a"), parameters(tmp_path / "b")
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-4


def test_merge_and_peft_directory_equal_the_adapted_model(trained: SimpleNamespace, base: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    adapted = logits(trained.model)
    assert float((adapted - logits(load_policy(base, "fp32"))).abs().max()) > 0.1
    save_adapter(trained.model, ADAPTER, tmp_path / "adapter")
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert settings["r"] == 3 and settings["peft_type"] == "LORA"
    from_peft = PeftModel.from_pretrained(load_policy(base, "fp32"), tmp_path / "adapter")
    assert torch.equal(logits(from_peft), adapted)
    merged = merge(load_again(trained, base))
    assert {name for name, _ in merged.named_parameters()} == {
        name for name, _ in load_policy(base, "fp32").named_parameters()
    }
    assert float((logits(merged) - adapted).abs().max()) < 2e-5
    merged.save_pretrained(tmp_path / "merged")
    assert torch.equal(logits(load_policy(tmp_path / "merged", "fp32")), logits(merged))


def load_again(trained: SimpleNamespace, base: Path) -> torch.nn.Module:
    model = load_adapted(base, "fp32", ADAPTER)
    CheckpointReader(newest_whole(trained.checkpoints)).load_model(model)
    return model


def test_the_objective_hands_on_a_plain_model_and_keeps_the_adapter(
    trained: SimpleNamespace, base: Path, tmp_path: Path
) -> None:
    objective = CausalLM(adapter=ADAPTER)
    finished = objective.finished(load_again(trained, base), tmp_path)
    assert not any("lora" in name for name, _ in finished.named_parameters())
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip
    plain = load_policy(base, "fp32")
    assert CausalLM().finished(plain, tmp_path) is plain


def test_targets_that_match_nothing_are_refused_from_the_config_alone(base: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((base / "config.json").read_text())
    check_targets(tmp_path, ADAPTER)
    expected = "'query' names no linear module; there are q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"
    for targets in (("query",), ("q_proj", "query")):
        with pytest.raises(UserError, match=expected):
            check_targets(tmp_path, ADAPTER.model_copy(update={"targets": targets}))
    with pytest.raises(UserError, match="'lm_head' names no linear module"):
        check_targets(tmp_path, ADAPTER.model_copy(update={"targets": ("lm_head",)}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_four_bit_weights_are_refused_without_a_gpu(base: Path) -> None:
    with pytest.raises(UserError, match="adapter.quantize: nf4 needs a GPU, and this machine has none"):
        load_adapted(base, "bf16", ADAPTER.model_copy(update={"quantize": "nf4"}))
