"""``fstore reproduce``: from raw files to the reports of a study, doing only what is missing."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from fstore import commands
from fstore.cli.app import app
from fstore.cli.elsewhere import computed_elsewhere
from fstore.cli.engines import AddressOption, EngineOption, ray_options
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.cli.places import page_beside
from fstore.cli.progress import bar
from fstore.cli.study import read_study
from fstore.ending import leftover
from fstore.engines import EngineName
from fstore.errors import DataError

if TYPE_CHECKING:
    from fstore.queries.refresh.elsewhere import Elsewhere
    from fstore.queries.studies.study import Study
    from fstore.store import Store
    from fstore.types import OnProgress
    from fstore.workflows.reproduce.study import Result, Step


@app.command()
def reproduce(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A study file; docs/studies.md has the keys.")],
    *,
    data: Annotated[
        Path | None, typer.Option(help="Folder that the file's data sets and weights are in.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:0,1.")] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the page is built at the end. Default: page, in the store's folder; "
            "fstore-page, of a store that is no folder.",
        ),
    ] = None,
    no_page: Annotated[bool, typer.Option("--no-page", help="Build none.")] = False,
    engine: EngineOption = EngineName.LOCAL,
    address: AddressOption = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Do what a study lacks: data sets, checkpoints, activations, reports, page; rerun to go on.

    With --engine ray workers of a cluster extract and compute reports; training is done here.

    Example: fstore reproduce study/digits.toml
    """
    from fstore.queries.studies.study import parse_study
    from fstore.workflows.reproduce.study import RESULT_COLUMNS
    from fstore.workflows.reproduce.study import reproduce as run

    toml, quiet = read_study(file), ctx.obj["quiet"]
    ray = ray_options(engine, address)
    if no_page and page is not None:
        raise typer.BadParameter("choose one of --page and --no-page")
    study = parse_study(toml, source=str(file))
    site = None if no_page or dry_run else _place(ctx, page, study.name)
    where = ctx.obj["store"]
    with (
        _store(where, dry_run=dry_run) as store,
        _cluster(engine, address, quiet=quiet, dry_run=dry_run) as elsewhere,
    ):
        results = run(
            store, toml, source=str(file), study=study, data=data, device=device,
            dry_run=dry_run, shown=where if "://" in where else Path(where),
            ray=ray, elsewhere=elsewhere,
            watch=lambda step: _watched(step, quiet=quiet),
        )  # fmt: skip
        rows = [_told(result, quiet=quiet) for result in results]
        shown = ({**asdict(row), "seconds": round(row.seconds, 1)} for row in rows)
        emit(shown, columns=RESULT_COLUMNS, as_json=as_json, as_csv=as_csv)
        if site is not None:
            _build(store, study, site, quiet=quiet)
    if any(row.state == "failed" for row in rows):
        note("some reports failed or lack what they read; the notes above say what")
        raise typer.Exit(1)


def _place(ctx: typer.Context, page: Path | None, study: str) -> Path:
    """Return the page's folder; one that holds something else is refused before hours of work.

    The default folder is not taken from another study.
    """
    from fstore.queries.publish import check_place, study_of

    site = page or page_beside(ctx.obj["store"])
    check_place(site, overwrite=True)
    held = study_of(site)
    if page is None and held not in {None, study}:
        raise DataError(f"{site} holds the page of study '{held}'; add --page DIR, or --no-page")
    return site


def _build(store: "Store", study: "Study", out: Path, *, quiet: bool) -> None:
    """Build the page of what was reproduced; an earlier one is replaced. Its path is a note."""
    from fstore.queries.publish import build_page

    if not quiet:
        command = commands.report_build(store.place, out, overwrite=True)
        note(f"\n# Build the page\n$ {command}")
    with bar(quiet=quiet) as update:
        index = build_page(store, study, out, overwrite=True, on_progress=update)
    note(str(index))


@contextmanager
def _store(where: str, *, dry_run: bool) -> "Iterator[Store]":
    """Open the store, or make it; a dry run makes one that is thrown away."""
    from fstore.store import Store
    from fstore.store.places import place_at
    from fstore.store.store import MARKER

    if place_at(where).entry(MARKER) is not None:
        yield Store.open(where)
    elif dry_run:
        with TemporaryDirectory() as folder, leftover(Path(folder)):
            yield Store.create(Path(folder) / "store")
    else:
        yield Store.create(where)


@contextmanager
def _cluster(
    engine: EngineName, address: str | None, *, quiet: bool, dry_run: bool
) -> "Iterator[Elsewhere | None]":
    """Connect to a cluster before hours of work, once for all steps; in the end say who did what.

    A dry run computes nothing, and connects to none.
    """
    from fstore.workflows.engines import connected

    say = (lambda _: None) if quiet else note
    with ExitStack() as under_way:
        if engine is EngineName.RAY and not dry_run:
            under_way.enter_context(connected(address))
        yield under_way.enter_context(computed_elsewhere(engine, address, say))


@contextmanager
def _watched(step: "Step", *, quiet: bool) -> "Iterator[OnProgress]":
    """Say what comes, as one would type it, and draw a bar while it is done."""
    if not quiet:
        note(f"\n# {step.title}" + (f"\n$ {step.command}" if step.command else ""))
    with bar(quiet=quiet) as update:
        yield update


def _told(result: "Result", *, quiet: bool) -> "Result":
    """Say on stderr how a step ended."""
    if not quiet and result.state in {"done", "was there", "failed"}:
        took = f" in {result.seconds:.1f} s" if result.state == "done" else ""
        note(f"  {result.state}{took}{': ' if result.note else ''}{result.note}")
    return result
