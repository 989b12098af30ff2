"""The losses of preference pairs and of labelled completions against TRL's, on the same batch."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medray.model.load import load_policy, load_tokenizer
from medray.tables.blocks import BlockStore, BlockWriter
from medray.train.batches import load_batch
from medray.train.config import KTOLoss, PreferenceLoss
from medray.train.objective import KTO, BradleyTerry, Preference

PAIRS = {
    "prompt": ["Which organ makes bile?", "What does renal failure lead to?", "Bile?", "Which organ fails?"],
    "chosen": [" The liver.", " Anaemia, renal failure leads to anaemia.", " The liver", " Renal"],
    "rejected": [" Anaemia leads to the liver.", " bile", " organ failure", " The liver makes bile."],
}
TRLS = {"dpo": "sigmoid"}
PLAIN = {
    "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none", "disable_tqdm": True,
}  # fmt: skip
CASES = [
    PreferenceLoss(name="dpo", beta=0.3),
    *(PreferenceLoss(name=name, beta=0.3) for name in ("hinge", "ipo", "apo_zero", "apo_down")),
    PreferenceLoss(name="robust", beta=0.3, label_smoothing=0.1),
]


@pytest.mark.parametrize("terms", CASES, ids=lambda terms: terms.name)
def test_losses_and_gradients_are_trls(tiny_model: Path, tmp_path: Path, terms: PreferenceLoss) -> None:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    policy, tokenizer = load_policy(tiny_model, "fp32"), load_tokenizer(tiny_model)
    reference = _moved(policy)
    arguments = DPOConfig(
        output_dir=str(tmp_path), **PLAIN, per_device_train_batch_size=len(PAIRS["prompt"]),
        loss_type=[TRLS.get(terms.name, terms.name)], beta=terms.beta, label_smoothing=terms.label_smoothing,
    )  # fmt: skip
    trainer = DPOTrainer(
        policy, reference, arguments, train_dataset=Dataset.from_dict(PAIRS), processing_class=tokenizer
    )  # fmt: skip
    inputs = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(trainer.model, inputs)
    theirs.backward()
    gradients = {name: weight.grad.clone() for name, weight in policy.named_parameters()}

    chosen_B, rejected_B = trainer.compute_ref_log_probs(reference, inputs)
    store = _as_store(inputs, torch.stack([chosen_B, rejected_B], 1), tmp_path / "store")
    policy.zero_grad()
    ours, _ = Preference(terms=terms).loss(policy, load_batch(store, range(len(store)), torch.device("cpu")))
    (ours / len(store)).backward()
    assert ours.item() / len(store) == pytest.approx(theirs.item(), abs=1e-5)
    for name, weight in policy.named_parameters():
        torch.testing.assert_close(weight.grad, gradients[name], atol=1e-5, rtol=1e-4, msg=name)


def test_kto_and_its_gradients_are_trls(tiny_model: Path, tmp_path: Path) -> None:
    plain = load_policy(tiny_model, "fp32")
    # either is the other's reference, so that the KL is above 0 once, and once below it and counts as 0
    found = sorted(
        _compare_kto(copy.deepcopy(policy), copy.deepcopy(reference), tiny_model, tmp_path / name)
        for name, policy, reference in (("a", plain, _moved(plain)), ("b", _moved(plain), plain))
    )
    assert found[0] == 0 < found[1]


@pytest.mark.parametrize(("factor", "centring"), [(0.0, 0.0), (0.7, 0.0), (0.7, 0.01)])
def test_the_reward_models_loss_and_gradients_are_trls(
    tiny_model: Path, tmp_path: Path, factor: float, centring: float
) -> None:
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    objective, tokenizer = BradleyTerry(margin_factor=factor, centring=centring), load_tokenizer(tiny_model)
    torch.manual_seed(2)
    model, leads = objective.load(tiny_model, "fp32"), [0.5, 2.0, 1.0, 3.0]
    with torch.no_grad():
        model.score.weight.mul_(20)  # rewards that differ
    arguments = RewardConfig(
        output_dir=str(tmp_path), **PLAIN, per_device_train_batch_size=len(leads), center_rewards_coefficient=centring
    )
    margins = {"margin": [factor * lead for lead in leads]} if factor else {}
    trainer = RewardTrainer(
        model, arguments, train_dataset=Dataset.from_dict(PAIRS | margins), processing_class=tokenizer
    )  # fmt: skip
    inputs = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(model, dict(inputs))
    theirs.backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters()}

    size = len(leads)
    writer = BlockWriter(tmp_path / "store", "pairs", "digest", 0, 8)
    for row in range(size):
        ids = [inputs["input_ids"][i][inputs["attention_mask"][i].bool()].tolist() for i in (row, row + size)]
        lead = inputs["margin"][row].item() / factor if factor else None
        writer.add(sum(ids, []), [len(one) for one in ids], [1] * sum(map(len, ids)), label=lead)
    writer.close()
    model.zero_grad()
    ours, _ = objective.loss(model, load_batch(BlockStore(tmp_path / "store"), range(size), torch.device("cpu")))
    (ours / size).backward()
    assert ours.item() / size == pytest.approx(theirs.item(), abs=1e-5)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, gradients[name], atol=1e-5, rtol=1e-4, msg=name)


def _compare_kto(policy: Any, reference: Any, tokenizer: Path, directory: Path) -> float:
    """Compare one batch; TRL's KL."""
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    terms = KTOLoss(name="kto", beta=0.3, desirable_weight=1.3, undesirable_weight=0.7)
    labelled = {
        "prompt": PAIRS["prompt"] + PAIRS["prompt"][:2],
        "completion": PAIRS["chosen"] + PAIRS["rejected"][:2],
        "label": [True, True, True, False, False, False],
    }
    size = len(labelled["label"])
    arguments = KTOConfig(
        output_dir=str(directory), **PLAIN, per_device_train_batch_size=size, beta=terms.beta,
        desirable_weight=terms.desirable_weight, undesirable_weight=terms.undesirable_weight,
    )  # fmt: skip
    trainer = KTOTrainer(
        policy, reference, arguments, train_dataset=Dataset.from_dict(labelled),
        processing_class=load_tokenizer(tokenizer),
    )  # fmt: skip
    inputs = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(trainer.model, inputs)
    theirs.backward()
    gradients = {name: weight.grad.clone() for name, weight in policy.named_parameters()}

    reference_B2 = torch.stack(trainer.compute_ref_log_probs(reference, inputs), 1)
    store = _as_store(inputs, reference_B2, directory / "store")
    policy.zero_grad()
    objective, batch = KTO(terms=terms), load_batch(store, range(size), torch.device("cpu"))
    with torch.no_grad():
        means = {name: value.item() / size for name, value in objective.means(policy, batch).items()}
    ours, sums = objective.loss(policy, replace(batch, means=means))
    (ours / size).backward()
    assert ours.item() / size == pytest.approx(theirs.item(), abs=1e-5)
    for name, weight in policy.named_parameters():
        torch.testing.assert_close(weight.grad, gradients[name], atol=1e-5, rtol=1e-4, msg=name)
    kl = trainer._metrics["eval"]["kl"][0]  # nobody has called train()
    assert max(sums["kl"].item() / size, 0.0) == pytest.approx(kl, abs=1e-5)
    assert sums["desirable_fraction"].item() == 3
    return kl


def _moved(policy: Any) -> Any:
    """A copy with other weights."""
    moved = copy.deepcopy(policy)
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in moved.parameters():
            weight += 0.05 * torch.randn_like(weight)
    return moved


def _as_store(inputs: dict[str, torch.Tensor], reference_B2: torch.Tensor, directory: Path) -> BlockStore:
    """TRL's padded batch as rows: first all chosen and then all rejected sides, or labelled ones beside the KL's."""
    is_labelled, size = "label" in inputs, len(reference_B2)
    writer = BlockWriter(directory, "labelled" if is_labelled else "pairs", "digest", 0, 8)
    names = ("input_ids", "attention_mask", "completion_mask")
    for row in range(size):
        places = (("", row), ("KL_", row)) if is_labelled else (("", row), ("", row + size))
        sides = [[inputs[prefix + name][i] for name in names] for prefix, i in places]
        ids = [ids[there.bool()].tolist() for ids, there, _ in sides]
        mask = [mask[there.bool()].tolist() for _, there, mask in sides]
        label = float(inputs["label"][row]) if is_labelled else None
        writer.add(sum(ids, []), [len(one) for one in ids], sum(mask, []), reference_B2[row].tolist(), label)
    writer.close()
    return BlockStore(directory)
