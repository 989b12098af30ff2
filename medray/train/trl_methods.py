"""Stage: any trainer of TRL on rows of medray -> data/model, on Ray Train's workers.   (The only importer of trl.)

For methods that medray has no objective for: ORPO, CPO, more of DPO's variants, and TRL's own SFT, KTO and Reward to
compare with. The number of workers is fixed and is identity, since TRL's batch grows with it; TRL's checkpoints fit no
other number, so a killed run starts anew.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Placement, UserError
from medray.core.schema import EXAMPLE, PAIR, read_table
from medray.core.workspace import Workspace
from medray.model.adapter import Adapter
from medray.tables.rendered import RenderConfig, choose_rows, render_rows
from medray.train.record import Tell

NAME = "trl"
VERSION = 1
EQUALITY = "numeric"
_SET_HERE = {
    "output_dir", "save_strategy", "report_to", "use_cpu", "deepspeed", "seed", "max_length", "disable_tqdm",
    "push_to_hub",
}  # fmt: skip


class TRLPlacement(Placement):
    """Where and how the workers run."""

    threads_per_worker: int = Field(default=2, ge=1)
    zero_stage: Literal[0, 1, 2, 3] = 0
    """0: torch's DistributedDataParallel; else DeepSpeed"""
    use_gpu: bool = False


class TRLConfig(RenderConfig):
    """A trainer, what it is told, and the rows it gets."""

    trainer: str
    """Class of trl or trl.experimental: DPOTrainer, ORPOTrainer, ..."""
    arguments: dict[str, Any]
    """Fields of the trainer's config class (DPOConfig, ...) and of TrainingArguments; others are TRL's defaults"""
    num_workers: int = Field(ge=1)
    max_tokens: int = Field(ge=8)
    """Of a row's longest sequence; TRL itself truncates nothing."""
    num_rows: int | None
    """Taken from the train split in hash order; None: all."""
    rng_seed: int
    dtype: Literal["bf16", "fp32"]
    """Of the weights handed on; training keeps them in fp32."""
    adapter: Adapter | None = None
    placement: TRLPlacement = TRLPlacement()


@dataclass(frozen=True)
class TRLJob:
    """A run, as sent to the workers."""

    config: TRLConfig
    model: Path
    dataset: Path
    directory: Path
    workspace: Workspace


def run(config: TRLConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, Any]:
    """inputs: model (data/model), and examples (data/examples.parquet) or pairs (data/pairs.parquet).

    SFTTrainer gets examples as rendered here, ids and loss mask; KTOTrainer each side of a pair by itself; others pairs
    as conversations. Counters: num_rows, num_oversize, num_truncated, optimizer_steps and TRL's last metrics. Raises
    UserError, before workers start, for a trainer or an argument that TRL does not know.
    """
    from medray.model.adapter import check_targets
    from medray.tables.shards import run_remote
    from medray.train.launch import run_fixed

    model = inputs["model"].data / "model"
    run_remote(check, config)
    if config.adapter:
        run_remote(check_targets, model, config.adapter)
    kind = "examples" if "examples" in inputs else "pairs"
    dataset = workspace.scratch / "dataset"
    shutil.rmtree(dataset, ignore_errors=True)
    table = inputs[kind].data / f"{kind}.parquet"
    counts = run_remote(write_dataset, config, model, table, dataset, workspace)
    directory = workspace.scratch / "trl"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    job = TRLJob(config, model, dataset, directory, workspace)
    placement = config.placement
    workspace.publish("scratch/dataset/*")
    metrics = run_fixed(work, job, workspace, config.num_workers, use_gpu=placement.use_gpu)
    workspace.fetch("scratch/trl/*")
    run_remote(export, job)
    return {**counts, **metrics}


def check(config: TRLConfig) -> None:
    """Raise UserError for a trainer or an argument that TRL does not have, one set elsewhere, or one it cannot get."""
    trainer, arguments = _classes(config.trainer)
    known = {field.name for field in dataclasses.fields(arguments) if field.init}
    for name in config.arguments:
        if name in _SET_HERE:
            raise UserError(f"trl.arguments.{name}: set by medray from its own fields: remove it")
        if name not in known:
            near = difflib.get_close_matches(name, known)
            hint = f"did you mean {' or '.join(near)}?" if near else "look at its documentation"
            raise UserError(f"trl.arguments.{name}: {arguments.__name__} has no such field: {hint}")
    if config.adapter and config.trainer == "RewardTrainer":
        raise UserError("trl.adapter: a reward model is trained whole: leave the adapter out, or take another trainer")
    asked = {"reward_funcs", "teacher_model"} & set(inspect.signature(trainer).parameters)
    if asked:
        raise UserError(
            f"trl.trainer: {config.trainer} asks for {', '.join(sorted(asked))}, which rows do not bring: take a "
            "trainer that learns from examples or pairs"
        )


def _classes(name: str) -> tuple[Any, Any]:
    """A trainer's class and its config's."""
    import trl

    modules = [trl]
    if name.isidentifier() and importlib.util.find_spec(f"trl.experimental.{_short(name)}"):
        modules.append(importlib.import_module(f"trl.experimental.{_short(name)}"))
    for module in modules:
        if name.endswith("Trainer") and hasattr(module, name):
            return getattr(module, name), getattr(module, f"{name.removesuffix('Trainer')}Config")
    there = ", ".join(each for each in trl.__all__ if each.endswith("Trainer"))
    raise UserError(f"trl.trainer: {name!r} is neither in trl ({there}) nor in trl.experimental: correct the name")


def _short(name: str) -> str:
    return name.removesuffix("Trainer").lower()


def write_dataset(config: TRLConfig, model: Path, table: Path, directory: Path, workspace: Workspace) -> dict[str, int]:
    """Write the rows as a Hugging Face data set on disk (TRL's ranks read each other's files); returns counters."""
    from datasets import Dataset

    from medray.model.load import load_tokenizer
    from medray.model.render import render, render_pair

    tokenizer, is_sft = load_tokenizer(model), config.trainer == "SFTTrainer"
    if is_sft != (table.stem == "examples"):
        raise UserError(f"trl.trainer: {config.trainer} got {table.stem}: give SFTTrainer examples, and others pairs")
    rows = choose_rows(
        read_table(table, EXAMPLE if is_sft else PAIR).to_pylist(), config.num_rows, config.rng_seed, NAME
    )

    def rendered(row: dict[str, Any]) -> list[Any]:
        return [render(tokenizer, row["messages"])] if is_sft else render_pair(tokenizer, row)

    usable, counts = render_rows(rows, rendered, config, config.max_tokens, workspace)
    entries = [entry for row, sequences in usable for entry in _entries(config.trainer, row, sequences)]
    Dataset.from_list(entries).save_to_disk(str(directory))
    return {"num_rows": len(usable), **counts}


def _entries(trainer: str, row: dict[str, Any], sequences: list[Any]) -> list[dict[str, Any]]:
    """What a trainer gets of a row: ids with their loss mask, one side of a pair at a time, or the pair."""
    if trainer == "SFTTrainer":
        return [{"input_ids": sequence.ids, "assistant_masks": sequence.loss_mask} for sequence in sequences]
    sides = {side: [{"role": "assistant", "content": row[side]}] for side in ("chosen", "rejected")}
    if trainer == "KTOTrainer":
        return [
            {"prompt": row["messages"], "completion": answer, "label": side == "chosen"}
            for side, answer in sides.items()
        ]
    return [{"prompt": row["messages"], **sides}]


def work(config: dict[str, Any]) -> dict[str, Any] | None:
    """One worker of a TRLJob: trains, writes the model into job.directory; rank 0's last metrics."""
    import torch
    from datasets import load_from_disk

    from medray.model.load import load_tokenizer
    from medray.train import zero
    from medray.train.worker import received

    job, tell = received(config)
    torch.set_num_threads(job.config.placement.threads_per_worker)
    if job.config.placement.zero_stage and not job.config.placement.use_gpu:
        zero.leave_out_compiled_operators()
    trainer_class, arguments_class = _classes(job.config.trainer)
    try:
        arguments = arguments_class(**_arguments(job, arguments_class))
    except (TypeError, ValueError) as error:
        raise UserError(f"trl.arguments: {' '.join(str(error).split())}: correct it") from error
    trainer = trainer_class(
        model=_model(job),
        args=arguments,
        train_dataset=load_from_disk(str(job.dataset)),
        processing_class=load_tokenizer(job.model),
        **_adapter(job.config),
    )
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback).__name__ == "PrinterCallback":  # every log on stdout; the journal has it
            trainer.remove_callback(callback)
    trainer.add_callback(_logging(tell))
    trainer.train()
    trainer.save_model(str(job.directory / "trained"))
    job.workspace.publish("scratch/trl/trained/*")
    last = [entry for entry in trainer.state.log_history if "loss" in entry][-1:]
    metrics = {name: value for entry in last for name, value in entry.items() if isinstance(value, float | int)}
    return {**metrics, "optimizer_steps": trainer.state.global_step}


def _arguments(job: TRLJob, arguments_class: Any) -> dict[str, Any]:
    """The user's arguments with what is medray's to say, and defaults that a CPU can follow."""
    config, placement = job.config, job.config.placement
    defaults = {"bf16": placement.use_gpu, "gradient_checkpointing": placement.use_gpu, "logging_steps": 1}
    zero = {
        "zero_optimization": {"stage": placement.zero_stage},
        "zero_allow_untested_optimizer": True,
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
    }
    own = {
        "output_dir": str(job.directory / "trl"),
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": not placement.use_gpu,
        "seed": config.rng_seed,
        "max_length": config.max_tokens,
        **({"deepspeed": zero} if placement.zero_stage else {}),
    }
    known = {field.name for field in dataclasses.fields(arguments_class)}
    return {**defaults, **config.arguments, **{name: value for name, value in own.items() if name in known}}


def _model(job: TRLJob) -> Any:
    from medray.model.load import load_policy, load_reward_model

    if job.config.trainer == "RewardTrainer":
        return load_reward_model(job.model, "fp32", from_policy=True)
    return load_policy(job.model, "fp32")


def _adapter(config: TRLConfig) -> dict[str, Any]:
    from medray.model.adapter import peft_config

    return {"peft_config": peft_config(config.adapter)} if config.adapter else {}


def _logging(tell: Tell) -> Any:
    from trl.trainer.callbacks import TrainerCallback

    class Logging(TrainerCallback):
        """Rank 0's log to the stage's record."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
            if state.is_world_process_zero and "loss" in (logs or {}):
                metrics = {name: float(value) for name, value in logs.items()}
                tell("log", state.global_step, state.max_steps, f"loss {logs['loss']:.4f}", metrics)

    return Logging()


def export(job: TRLJob) -> None:
    """The trained model as a Hugging Face directory in workspace.data/"model", an adapter merged and beside it."""
    from medray.model.adapter import load_saved_adapter, merge
    from medray.model.export import save_model
    from medray.model.load import load_policy, load_reward_model, load_tokenizer

    config, trained = job.config, job.directory / "trained"
    is_reward = config.trainer == "RewardTrainer"
    if config.adapter:
        model = merge(load_saved_adapter(load_policy(job.model, config.dtype), trained))
        shutil.copytree(trained, job.workspace.data / "adapter", dirs_exist_ok=True)
    else:
        model = load_reward_model(trained, config.dtype) if is_reward else load_policy(trained, config.dtype)
    target = job.workspace.data / "model"
    shutil.rmtree(target, ignore_errors=True)
    card = {"title": NAME, "trainer": config.trainer, "arguments": config.arguments}
    save_model(model, load_tokenizer(job.model), target, card)
