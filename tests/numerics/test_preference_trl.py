"""The losses of preference pairs against TRL's, on the same batch of the same pairs."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from medray.model.load import load_policy, load_tokenizer
from medray.tables.blocks import BlockStore, BlockWriter
from medray.train.batches import load_batch
from medray.train.config import PreferenceLoss
from medray.train.objective import Preference

PAIRS = {
    "prompt": ["Which organ makes bile?", "What does renal failure lead to?", "Bile?", "Which organ fails?"],
    "chosen": [" The liver.", " Anaemia, renal failure leads to anaemia.", " The liver", " Renal"],
    "rejected": [" Anaemia leads to the liver.", " bile", " organ failure", " The liver makes bile."],
}
TRLS = {"dpo": "sigmoid"}
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
    reference = copy.deepcopy(policy)
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in reference.parameters():
            weight += 0.05 * torch.randn_like(weight)
    arguments = DPOConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none",
        per_device_train_batch_size=len(PAIRS["prompt"]), loss_type=[TRLS.get(terms.name, terms.name)],
        beta=terms.beta, label_smoothing=terms.label_smoothing, disable_tqdm=True,
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


def _as_store(inputs: dict[str, torch.Tensor], reference_B2: torch.Tensor, directory: Path) -> BlockStore:
    """TRL's padded batch, first all chosen and then all rejected, as rows of pairs."""
    writer = BlockWriter(directory, "pairs", "digest", 0, 8)
    size = len(reference_B2)
    for row in range(size):
        sides = [(inputs["input_ids"][i], inputs["attention_mask"][i].bool(), inputs["completion_mask"][i])
                 for i in (row, row + size)]  # fmt: skip
        ids = [ids[there].tolist() for ids, there, _ in sides]
        mask = [mask[there].tolist() for _, there, mask in sides]
        writer.add(sum(ids, []), [len(one) for one in ids], sum(mask, []), reference_B2[row].tolist())
    writer.close()
    return BlockStore(directory)
