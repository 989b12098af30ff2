"""What a person sees while stages run: which one, how far, how long still, what is next."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from medray.core.artifact import Artifact
from medray.core.stage import Stage
from medray.core.workspace import Root, Workspace
from medray.pipeline import elapsed, now_text
from medray.plan.corpus import CorpusEstimate
from medray.plan.training import H100_BYTES, H100_FLOPS, TrainingEstimate
from medray.recipes.recipe import Recipe

_POLL_S = 0.5
_PLAIN_EVERY_S = 30.0


class StageDisplay:
    """Progress bars on a terminal, a line now and then elsewhere (logs of `ray job submit`, CI)."""

    def __init__(self, console: Console, stages: Sequence[Stage]) -> None:
        self.console = console
        self.stages = list(stages)

    @contextmanager
    def stage(self, index: int, stage: Stage, workspace: Workspace) -> Iterator[None]:
        """Show one stage while the block runs it."""
        following = self.stages[index + 1].label if index + 1 < len(self.stages) else "the end"
        title = f"[{index + 1}/{len(self.stages)}] {stage.label}"
        started, stop = time.time(), threading.Event()
        show = self._bar if self.console.is_terminal else self._lines
        if not self.console.is_terminal:
            self.console.print(f"{now_text()} {title}: starts; next: {following}", soft_wrap=True)
        thread = threading.Thread(target=show, args=(title, following, workspace, stop), daemon=True)
        thread.start()
        ended = "stopped"
        try:
            yield
            ended = "done"
        finally:
            stop.set()
            thread.join()
            mark = "[green]done[/green]" if ended == "done" else "[red]stopped[/red]"
            self.console.print(f"{now_text()} {title}: {mark} in {elapsed(time.time() - started)}", soft_wrap=True)

    def _bar(self, title: str, following: str, workspace: Workspace, stop: threading.Event) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[left]} next: {task.fields[following]}[/dim]"),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(title, total=None, said="starting", left="", following=following)
            rate = _Rate()
            while not stop.wait(_POLL_S):
                said = workspace.journal.read_progress()
                if said:
                    progress.update(
                        task, total=said["total"], completed=said["done"], said=_text(said), left=rate.left(said)
                    )

    def _lines(self, title: str, following: str, workspace: Workspace, stop: threading.Event) -> None:
        rate = _Rate()
        while not stop.wait(_PLAIN_EVERY_S):
            said = workspace.journal.read_progress()
            if said:
                self.console.print(f"{now_text()} {title}: {_text(said)}{rate.left(said)}", soft_wrap=True)

    def summary(self, results: Sequence[tuple[Stage, Artifact, bool]], root: Root) -> None:
        """Table of what ran and what was sealed already, and where the report is."""
        table = Table(box=None, header_style="bold")
        for heading, justify in (
            ("stage", "left"),
            ("id", "left"),
            ("", "left"),
            ("time", "right"),
            ("memory", "right"),
        ):
            table.add_column(heading, justify=justify)
        for stage, artifact, hit in results:
            manifest = artifact.manifest
            memory = f"{manifest.peak_memory_bytes / 2**30:.1f} GiB" if manifest.peak_memory_bytes else ""
            state = "[green]hit[/green]" if hit else "ran"
            table.add_row(stage.label, stage.id[:8], state, elapsed(manifest.wall_s), memory)
        self.console.print(table)
        ran = sum(not hit for *_, hit in results)
        self.console.print(f"{len(results)} stages: {ran} ran, {len(results) - ran} were sealed already, in {root.url}")
        for _, artifact, _ in results:
            for name, path in pages(artifact.directory):
                self.console.print(f"{name}: {path}", soft_wrap=True)


def pages(directory: Path) -> Iterator[tuple[str, Path]]:
    """What of an artifact a person can open in a browser: (what it is, where)."""
    files = {"report": "report.html", "data card": "data/card.html", "tokens in the loss": "tokens.html"}
    for name, file in files.items():
        if (path := directory / file).exists():
            yield name, path.resolve()


def show_tokens(console: Console, conversations: Sequence[Sequence[tuple[str, bool]]]) -> None:
    """Print conversations; what is in the loss is green and stands between double brackets."""
    for number, runs in enumerate(conversations, 1):
        text = Text(f"{number}. ")
        for part, in_loss in runs:
            text.append(f"⟦{part}⟧" if in_loss else part, style="green" if in_loss else "dim")
        console.print(text, soft_wrap=True)


def show_estimate(
    console: Console, recipe: Recipe, corpus: CorpusEstimate | None, trained: dict[str, TrainingEstimate]
) -> None:
    """Print what a recipe's corpus and its training will take."""
    if corpus:
        _show_corpus(console, recipe, corpus)
    for stage, run in trained.items():
        workers = getattr(recipe, stage).placement.num_workers[1]
        hours = run.flops / (_USED * H100_FLOPS * 3600)
        console.print(
            f"{stage}: {run.num_steps:,} optimizer steps of {run.tokens_per_step:,} tokens, {run.num_rows:,} rows; "
            f"{run.flops:.3g} operations, {hours:,.0f} H100-hours at {_USED:.0%} of bf16 peak, "
            f"{hours / workers:,.1f} h on {workers}; {_bytes(run.state_bytes)} of state on each",
            soft_wrap=True,
        )  # fmt: skip
        if run.state_bytes > H100_BYTES:
            console.print(f"[red]more than an H100's {_bytes(H100_BYTES)}[/red]: more workers, or a higher zero_stage")
    for note in recipe.expected.notes if recipe.expected else ():
        console.print(f"the source contradicts itself: {note}", soft_wrap=True)


_USED = 0.4
"""Part of the peak. Choices: what Llama 3's authors report is 0.38 to 0.43 (Grattafiori et al. 2024, table 4)."""


def _show_corpus(console: Console, recipe: Recipe, corpus: CorpusEstimate) -> None:
    console.print(
        f"[bold]{recipe.name}[/bold]: {corpus.num_documents:,} documents, {_bytes(corpus.text_bytes)} of text in "
        f"{corpus.num_shards:,} shards -> {corpus.num_tokens:,} tokens in {corpus.num_blocks:,} blocks of "
        f"{recipe.corpus.block_tokens:,}, {corpus.num_files:,} files"
    )
    _table(console, ("category", "tokens in the sources", "in the corpus", "share", "times used"), [
        (s.category, f"{s.available:,}", f"{s.needed:,}", f"{s.needed / corpus.num_tokens:.1%}", f"{s.epochs:.2f}")
        for s in corpus.shares
    ])  # fmt: skip
    if corpus.shortage:
        console.print(f"[red]the mixture cannot be filled[/red]: {corpus.shortage}", soft_wrap=True)
    rows = [(s.name, s.cpu_hours, s.stored_bytes, s.scratch_bytes) for s in corpus.steps]
    rows.append(("all", *(sum(row[column] for row in rows) for column in (1, 2, 3))))
    _table(console, ("step", "CPU-hours", "stored", "scratch while it runs"), [
        (name, f"{hours:,.1f}" if hours >= 1 else f"{hours:.2g}", _bytes(stored),
         _bytes(scratch) if scratch and name != "all" else "")
        for name, hours, stored, scratch in rows
    ])  # fmt: skip
    console.print("Rates: medray/plan/rates.py, one core of the machine in LOG.md; stored: in the root, disk or s3://.")


def _table(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, header_style="bold")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _bytes(number: float) -> str:
    """Bytes in decimal units: 1.2 TB."""
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} B"


class _Rate:
    """Time left from the speed since the first progress seen (start-up does not count as slow work)."""

    def __init__(self) -> None:
        self.first: tuple[float, float] | None = None

    def left(self, said: dict[str, Any]) -> str:
        if self.first is None or said["done"] < self.first[1]:
            self.first = (time.time(), said["done"])
        seconds, done = time.time() - self.first[0], said["done"] - self.first[1]
        return f", {elapsed(seconds / done * (said['total'] - said['done']))} left" if done > 0 else ""


def _text(said: dict[str, Any]) -> str:
    note = f" {said['note']}" if said["note"] else ""
    return f"{said['done']:g}/{said['total']:g} {said['unit']}{note}"
