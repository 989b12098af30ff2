"""medray plan | run | show | diff | verify | chaos: the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from medray import pipeline
from medray.core.config import UserError, explain
from medray.core.digests import NotReadError, unread_at_most
from medray.core.workspace import Root
from medray.display import StageDisplay, pages, show_estimate, show_tokens
from medray.recipes.load import load_recipe
from medray.sft.preview import preview

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="From raw biomedical text to a judged medical language model. For research, not for clinical decisions.",
)
console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)

_MAX_UNREAD_BYTES = 1e9
"""What `plan` reads for digests, in a few seconds; a run reads whatever it must."""

RecipeArgument = Annotated[
    str | None, typer.Argument(help="demo, tiny, open_corpus, me_llama, or file.py:function", show_default=False)
]
RecipeOption = Annotated[str | None, typer.Option("--recipe", help="the same, as an option", show_default=False)]
RootOption = Annotated[
    str, typer.Option("--root", envvar="MEDRAY_ROOT", help="where artifacts live: a directory, s3://..., gs://...")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="override a field, e.g. --set sft.optimization.learning_rate=2e-5")
]


def _recipe(argument: str | None, option: str | None, overrides: list[str] | None) -> pipeline.Recipe:
    if argument and option and argument != option:
        raise UserError(f"--recipe {option}: the recipe {argument} is named too: name one")
    name = argument or option
    if not name:
        raise UserError("no recipe named: give one, e.g. `medray run demo` or `--recipe my_recipe.py:my_function`")
    return load_recipe(name, overrides or ())


@app.command()
def plan(
    recipe: RecipeArgument = None, option: RecipeOption = None, root: RootOption = "runs", set_: SetOption = None
) -> None:
    """Say which stages are sealed, which would run, and why; and what it takes, where a recipe says how much there is.

    Starts nothing, and needs no data for the estimate.
    """
    config = _recipe(recipe, option, set_)
    expected = pipeline.estimate(config)
    if expected:
        show_estimate(console, config, *expected)
    try:
        with unread_at_most(_MAX_UNREAD_BYTES):
            stages = pipeline.stages_of(config)
    except UserError as error:
        if not expected and not isinstance(error, NotReadError):
            raise
        console.print(f"The stages have no ids yet: {error}", soft_wrap=True)
        return
    table = Table(box=None, header_style="bold")
    for heading in ("", "stage", "id", "state", "time"):
        table.add_column(heading, overflow="fold")
    rows = pipeline.plan(stages, Root(root))
    for number, row in enumerate(rows, 1):
        state = "[green]sealed[/green]" if row.sealed else f"will run: {row.reason}"
        time = pipeline.elapsed(row.sealed.wall_s) if row.sealed else ""
        table.add_row(str(number), row.stage.label, row.stage.id[:8], state, time)
    console.print(table)
    misses = sum(row.sealed is None for row in rows)
    console.print(f"{len(rows)} stages, {len(rows) - misses} sealed, {misses} to run, in {root}")


@app.command()
def run(
    recipe: RecipeArgument = None,
    option: RecipeOption = None,
    root: RootOption = "runs",
    set_: SetOption = None,
    only: Annotated[list[str] | None, typer.Option(help="run only this stage (may be repeated)")] = None,
    start: Annotated[str | None, typer.Option("--from", help="run this stage and what follows it")] = None,
    verbose: Annotated[bool, typer.Option(help="print the workers' logs too")] = False,
) -> None:
    """Run what is not sealed yet; a killed run goes on where it was. Prints where the report is."""
    config = _recipe(recipe, option, set_)
    stages, place = pipeline.stages_of(config, only or (), start), Root(root)
    display = StageDisplay(console, stages)
    results = pipeline.run(stages, place, config, display.stage, verbose)
    display.summary(results, place)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="a stage label, the beginning of an artifact id")],
    root: RootOption = "runs",
    tokens: Annotated[Path | None, typer.Option(help="conversations of this file as the artifact's model reads them; "
                                                "NAME may be a recipe, for its base", show_default=False)] = None,
) -> None:  # fmt: skip
    """Print the manifest of a sealed artifact (config, inputs, counters, digest, cost), and where its page is.

    With --tokens FILE.jsonl: what of the conversations in it is in the loss, printed and as the page FILE.html.
    """
    place = Root(root)
    if tokens:
        page = tokens.with_name(f"{tokens.name}.html")
        show_tokens(console, preview(pipeline.policy_of(place, name), tokens, page))
        console.print(f"{page.resolve()}", soft_wrap=True)
        return
    manifest = pipeline.find(place, name)
    console.print_json(manifest.model_dump_json())
    directory = place.directory(manifest.kind, manifest.id)
    console.print(f"{directory}", soft_wrap=True)
    for what, path in pages(directory):
        console.print(f"{what}: {path}", soft_wrap=True)


@app.command()
def diff(first: Annotated[str, typer.Argument()], second: Annotated[str, typer.Argument()]) -> None:
    """Say where two roots diverge, and by which field."""
    divergences, lonely = pipeline.diff(Root(first), Root(second))
    for d in divergences:
        for field, ours, theirs in d.fields:
            console.print(f"{d.label}: {field}: {json.dumps(ours)} -> {json.dumps(theirs)}", soft_wrap=True)
        if not d.fields and d.inputs:
            console.print(f"{d.label}: only its inputs differ: {', '.join(d.inputs)}", style="dim")
        elif not d.fields and d.is_sampled:
            console.print(
                f"{d.label}: other completions: bf16 or a GPU's kernels drew them (placement.batch_invariant)"
            )
        elif not d.fields:
            console.print(f"{d.label}: same id, other content: it was not computed the same way twice", style="red")
    for label in lonely:
        console.print(f"{label}: in one root only")
    if not divergences and not lonely:
        console.print("no difference")


@app.command()
def verify(
    recipe: RecipeArgument = None, option: RecipeOption = None, root: RootOption = "runs", set_: SetOption = None
) -> None:
    """Read every sealed artifact of a recipe again and compare it with its manifest; exit code 1 at a mismatch."""
    first = ""
    for stage, problem in pipeline.verify(pipeline.stages_of(_recipe(recipe, option, set_)), Root(root)):
        console.print(
            f"[{'red' if problem else 'green'}]{'x' if problem else 'ok'}[/] {stage.label} {stage.id[:8]} {problem}"
        )
        first = first or (stage.label if problem else "")
    if first:
        console.print(f"first problem at {first}", style="red")
        raise typer.Exit(1)


@app.command()
def chaos(root: RootOption = "runs") -> None:
    """SIGKILL a random training worker of a run that is going on here, to see that it does not mind."""
    import random

    from medray.train.chaos import end_one

    ended = end_one(Root(root).directory("", ""), random.Random())
    if ended is None:
        raise UserError(f"{root}: no training worker lives on this machine: start a run, or name its --root")
    console.print(f"ended rank {ended['rank']} (pid {ended['pid']}) of {ended['stage']}", soft_wrap=True)


def main() -> None:
    """Entry point. Exit code 0: done; 1: our fault; 2: the user's, told in one line; 130: interrupted."""
    try:
        app(standalone_mode=True)
    except UserError as error:
        _fail(str(error))
    except ValidationError as error:
        _fail(explain(error))
    except KeyboardInterrupt:
        print("interrupted: what was finished stays; run the same command to go on", file=sys.stderr)
        sys.exit(130)


def _fail(message: str) -> None:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main()
