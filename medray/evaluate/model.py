"""Stage: one policy on held-out text and questions, or what there is -> data/{documents,choices}.parquet, metrics.json.

Every model of a run is measured on the same documents and questions, so that differences can be paired.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from medray.core.artifact import Artifact
from medray.core.config import Config, UserError
from medray.core.journal import Journal
from medray.core.schema import DOCUMENT, PROMPT, QUESTION, read_table, write_table
from medray.core.workspace import Workspace
from medray.evaluate import choice, perplexity
from medray.train.config import ForwardPlacement

NAME = "evaluate"
VERSION = 2

_CHUNK = 32
"""Documents or questions between two signs of progress; fixed, because batches decide floating-point order."""


class EvaluateConfig(Config):
    """What a policy is measured on."""

    system_prompt: str
    """The recipe's own system prompt, as in training; "": none. For questions that bring none of their own."""
    split: str
    """Split of the questions: test (or dev while choosing), or that of a user's prompts."""
    questions_per_task: int = Field(ge=0)
    """0: all of the split."""
    documents_per_category: int = Field(ge=0)
    """0: all held-out documents."""
    max_document_tokens: int = Field(ge=2)
    """Documents are cut to this many tokens."""
    dtype: Literal["bf16", "fp32"]
    rng_seed: int
    """Seed of the bootstrap and of the choice of documents and questions."""
    placement: ForwardPlacement = ForwardPlacement()


def run(config: EvaluateConfig, inputs: dict[str, Artifact], workspace: Workspace) -> dict[str, int | float | str]:
    """Measure one policy.

    inputs: model (data/model), and what it is measured on, one or both: questions (data/questions.parquet, or
    data/prompts.parquet, of which those with a gold option are asked), corpus (data/heldout.parquet). The table of what
    is not there is empty.
    """
    from medray.tables.shards import run_remote

    every, questions = _questions(config, inputs.get("questions"))
    documents = _documents(config, inputs.get("corpus"))
    gpus = 1 if config.placement.use_gpu else 0
    model = inputs["model"].data / "model"
    document_rows, measured, priors = run_remote(
        measure, model, documents, questions, config, workspace.journal, num_gpus=gpus
    )
    train = [row for row in every if row["split"] == "train"]
    choice_rows = choice.judge_choices(questions, measured, priors, train)
    write_table(workspace.data / "documents.parquet", document_rows, perplexity.DOCUMENT_NLL)
    write_table(workspace.data / "choices.parquet", choice_rows, choice.CHOICE)
    figures = {
        **perplexity.summarise(document_rows, config.rng_seed),
        **choice.summarise(choice_rows, config.rng_seed),
    }
    (workspace.data / "metrics.json").write_text(json.dumps(figures, indent=1, sort_keys=True))
    return {
        "num_documents": len(document_rows),
        "num_questions": len(choice_rows),
        **({"accuracy": figures["accuracy"]["value"]} if choice_rows else {}),
        **{name.replace(".", "_"): f["value"] for name, f in figures.items() if name in _COUNTED and f["count"]},
    }


def _questions(config: EvaluateConfig, source: Artifact | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All questions, and those of the split that are asked."""
    if source is None:
        return [], []
    path = source.data / "questions.parquet"
    if path.exists():
        every = read_table(path, QUESTION).to_pylist()
    else:
        prompts = read_table(source.data / "prompts.parquet", PROMPT).to_pylist()
        every = [row for row in prompts if row["gold"] >= 0]
    of_split = [row for row in every if row["split"] == config.split]
    if not of_split:
        splits = ", ".join(sorted({row["split"] for row in every})) or "none"
        raise UserError(f"evaluate.split: no questions of split {config.split!r}, expected one of {splits}: correct it")
    return every, choice.choose_questions(of_split, config.questions_per_task, config.rng_seed)


def _documents(config: EvaluateConfig, source: Artifact | None) -> list[dict[str, Any]]:
    if source is None:
        return []
    heldout = read_table(source.data / "heldout.parquet", DOCUMENT).to_pylist()
    documents = perplexity.choose_documents(heldout, config.documents_per_category, config.rng_seed)
    if not documents:
        raise UserError("evaluate: heldout.parquet is empty, expected held-out documents: hold some out in the corpus")
    return documents


_COUNTED = ("perplexity.definitions", "perplexity.medical", "perplexity.general")


def measure(
    model: Path,
    documents: list[dict[str, Any]],
    questions: list[dict[str, Any]],
    config: EvaluateConfig,
    journal: Journal,
) -> tuple[list[dict[str, Any]], list[list[tuple[float, int]]], dict[str, float]]:
    """Everything that needs the model, with one load: rows of DOCUMENT_NLL, option likelihoods, option priors."""
    from medray.model.load import load_tokenizer
    from medray.train.forward import Forward

    tokenizer = load_tokenizer(model)
    forward = Forward.placed(model, config.dtype, config.placement)
    total = len(documents) + len(questions)
    document_rows: list[dict[str, Any]] = []
    measured: list[list[tuple[float, int]]] = []
    for start in range(0, len(documents), _CHUNK):
        journal.progress(start, total, "items", "documents")
        chunk = documents[start : start + _CHUNK]
        document_rows += perplexity.measure_documents(forward, tokenizer, chunk, config.max_document_tokens)
    for start in range(0, len(questions), _CHUNK):
        journal.progress(len(documents) + start, total, "items", "questions")
        chunk = questions[start : start + _CHUNK]
        measured += choice.measure_choices(forward, tokenizer, chunk, config.system_prompt)
    options = [option for question in questions for option in question["options"]]
    priors = choice.measure_priors(forward, tokenizer, options, config.system_prompt)
    journal.progress(total, total, "items")
    return document_rows, measured, priors
