"""``fstore analyze NAME``: one command for each registered analysis, made from its signature."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer

from fstore.cli.app import HELP_OPTIONS, app, open_store
from fstore.cli.commands import Group, Program, split_word
from fstore.cli.engines import AddressOption, EngineOption, check_engine
from fstore.cli.limits import Timeout
from fstore.cli.made import flag_of, made_commands, parameter, with_parameters
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.cli.progress import bar
from fstore.cli.splits import OldSeed, SplitName, part_meant
from fstore.ending import within
from fstore.engines import EngineName

if TYPE_CHECKING:
    from fstore.queries.figures.plots import Row
    from fstore.registry import Entry
    from fstore.store import Store

__all__ = ["analyze", "command"]

OUTPUT = ("engine", "address", "plot", "overwrite", "as_json", "as_csv")
"""Arguments of a command that are not its analysis'."""

SUMMARY = "Ask one question about stored activations: selectivity, single filters, classification."


class Analyses(Group):
    """The group ``fstore analyze``, each of whose commands is made when it is wanted.

    Importing all analyses takes longer than ``fstore --help`` should, and making all commands as
    long as a short analysis.
    """

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - typer's own copy of click
        """Return the names of all analyses."""
        from fstore.queries.analyses import ANALYSES

        self._make(sorted(entry.name for entry in ANALYSES))
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401
        """Return the command of an analysis."""
        from fstore.queries.analyses import ANALYSES

        self._make([entry.name for entry in ANALYSES if entry.name == cmd_name])
        return super().get_command(ctx, cmd_name)

    def _make(self, names: list[str]) -> None:
        """Make the commands that are not made."""
        new = [name for name in names if name not in self.commands]
        made = {**self.commands, **(_commands(new) if new else {})}
        self.commands = {name: made[name] for name in sorted(made)}


analyze = Program(
    cls=Analyses,
    name="analyze",
    help=SUMMARY,
    no_args_is_help=True,
    context_settings=HELP_OPTIONS,
    rich_markup_mode=None,
)


@analyze.callback()
def _root() -> None:
    """Make it a group, also before it has commands."""


analyze.info.help = SUMMARY
app.add_typer(analyze, name="analyze")


def _commands(names: list[str]) -> dict[str, Any]:
    """Return typer's commands of some analyses."""
    from fstore.queries.analyses import ANALYSES

    entries = [entry for entry in ANALYSES if entry.name in names]
    about = {e.name: {"help": _help(e), "short_help": e.meta["title"]} for e in entries}
    return made_commands({entry.name: command(entry) for entry in entries}, about)


def _help(entry: "Entry[Any]") -> str:
    from fstore.queries.analyses import source_line

    needed = [
        f"--{name.replace('_', '-')} {EXAMPLES.get(name, name.upper())}"
        for name, p in _options(entry).items()
        if p.default is inspect.Parameter.empty
    ]
    example = " ".join(["fstore", "analyze", entry.name, *needed])
    from_where = source_line(entry.meta["source"])
    return f"{entry.summary}\n\n{from_where}\n\nExample: {example}"


EXAMPLES = {
    "layer": "conv5",
    "ckpt": "305k",
    "dataset": "voc07",
    "channel": "12",
    "network": "caffenet",
    "other": "5k",
    "sample": "17",
}


def command(entry: "Entry[Any]") -> Callable[..., None]:
    """Return a function that typer makes a command of: the analysis' options and the output's."""

    def run(ctx: typer.Context, **given: Any) -> None:  # noqa: ANN401 - typer checks them
        output = {name: given.pop(name) for name in OUTPUT if name in given}
        with within(given.pop("timeout")):
            _run(ctx, entry, given, **output)

    options = list(_options(entry).values())
    drawn = [
        parameter("plot", Annotated[Path | None, typer.Option(help=PLOT_HELP)], None),
        parameter("overwrite", Overwrite, False),
    ]
    spread = [
        parameter("engine", EngineOption, EngineName.LOCAL),
        parameter("address", AddressOption, None),
    ]
    output = [
        *(spread if entry.meta["sweep"] else []),  # else there is one piece of work
        *(drawn if entry.meta["plot"] is not None else []),  # else there is nothing to draw with
        parameter("timeout", Timeout, None),
        parameter("as_json", AsJson, False),
        parameter("as_csv", AsCsv, False),
    ]
    context = parameter("ctx", typer.Context, inspect.Parameter.empty)
    run.__name__ = entry.name.replace("-", "_")
    return with_parameters(run, [context, *options, *output])


PLOT_HELP = "Draw to this .png, .svg or .pdf, with the numbers as .csv beside it; print its path."
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the files of --plot.")]


def _options(entry: "Entry[Any]") -> dict[str, inspect.Parameter]:
    """Return the analysis' own arguments as options of a command."""
    from fstore.queries.analyses import option_help, options_of
    from fstore.queries.samples.ablations import listed_ablations

    told, options = option_help(entry.function), {}
    for name, p in options_of(entry.function).items():
        several = get_origin(p.annotation) is tuple
        kind = list[get_args(p.annotation)[0]] if several else p.annotation  # type: ignore[misc]
        default = list(p.default) if several and p.default is not p.empty else p.default
        text = told[name] + (" Several: a,b, or the option again." if several else "")
        if name == "ablation":
            text += f" There are: {listed_ablations()}."
        option = typer.Option(*flag_of(name, p.annotation), help=text)
        options[name] = parameter(name, Annotated[kind, option], default)
    if "split" in options:
        options |= {name: parameter(name, SPLIT_OPTIONS[name], None) for name in SPLIT_OPTIONS}
    return options


SPLIT_OPTIONS = {"split": SplitName, "seed": OldSeed}
"""The options that stand for a split of every analysis that reads one."""


def _with_split(
    ctx: typer.Context,
    store: "Store",
    *,
    split: str | None,
    seed: int | None,
    dataset: str,
    **given: Any,  # noqa: ANN401
) -> dict[str, Any]:
    """Return what is given to an analysis, with the split that its options name."""
    part = given.get("part", "all")  # one that takes no part reads them all
    which = part_meant(ctx, store, dataset, split=split, part=part, seed=seed)
    named = {} if which is None else {"split": which.name, "seed": which.seed}
    return {"dataset": dataset, **named, **given}


def _run(
    ctx: typer.Context,
    entry: "Entry[Any]",
    given: Mapping[str, Any],
    *,
    as_json: bool,
    as_csv: bool,
    engine: EngineName = EngineName.LOCAL,
    address: str | None = None,
    plot: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Run an analysis; print or draw its rows."""
    from fstore.queries.figures.plots import check_out, save_plot
    from fstore.queries.figures.titles import analysis_title

    draw, columns = entry.meta["plot"], entry.meta["columns"]
    check_engine(engine, address)
    if plot is not None:
        check_out(plot, overwrite=overwrite)
    store = open_store(ctx)
    if "split" in given:
        given = _with_split(ctx, store, **given)
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    if isinstance(options.get("layer"), tuple):
        options["layer"] = _layers(store, options["layer"])
    with bar(quiet=ctx.obj["quiet"]) as advance:
        notes: list[str] = []
        tell: dict[str, Any] = {"on_progress": advance, "on_note": notes.append}
        rows = _asked(store, entry, where=(engine, address), **tell, **options)
    for text in notes:
        note(text)
    if plot is None:
        emit(rows, columns=columns, as_json=as_json, as_csv=as_csv)
    else:
        title = analysis_title(entry.meta["title"], options)
        out = save_plot(draw, rows, plot, columns=columns, overwrite=overwrite, title=title)
        typer.echo(out)


def _layers(store: "Store", words: Sequence[str]) -> tuple[str, ...]:
    """Return the layers that words name: one that is stored, or several joined by commas."""
    stored = {file.partition.layer for file in store.files()} if words else set()
    parts = [[word] if word in stored else split_word(word) for word in words]
    if empty := next((w for w, own in zip(words, parts, strict=True) if not all(own)), None):
        raise typer.BadParameter(
            f"--layer {empty!r} has a comma with no value beside it; write a,b"
        )
    return tuple(layer for own in parts for layer in own)


def _asked(
    store: "Store",
    entry: "Entry[Any]",
    *,
    where: tuple[EngineName, str | None],
    **options: Any,  # noqa: ANN401 - each analysis has its own
) -> "list[Row]":
    """Ask an analysis, here, or value by value on a cluster."""
    from fstore.queries.analyses import ask, ask_elsewhere

    engine, address = where
    if engine is EngineName.LOCAL:
        return ask(store, entry.name, **options)
    from fstore.workflows.cells_on_ray import ray_executor

    with ray_executor(address) as executor:
        return ask_elsewhere(store, entry.name, executor.submit, **options)
