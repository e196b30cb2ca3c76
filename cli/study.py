"""``fstore study``: which data sets and checkpoints play which part in the reports."""

from pathlib import Path
from typing import Annotated

import typer

from fstore.cli.app import open_store, sub_app
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.reading import read_text

__all__ = ["read_study", "study"]

study = sub_app("study", "Say which data sets and checkpoints play which part in the reports.")


@study.command("set")
def set_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A TOML file; docs/studies.md has the keys.")],
) -> None:
    """Make a study the current one; names that the store does not have yet are only noted.

    Example: fstore study set study/digits.toml
    """
    from fstore.queries.studies.study import set_study, unknown_names

    toml, store = read_study(file), open_store(ctx)
    parsed = set_study(store, toml, source=str(file))
    for line in unknown_names(store, parsed):
        note(f"warning: {line}")
    note(f"study '{parsed.name}' is set")


@study.command("show")
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A study. Default: the one set last.")] = "",
    *,
    toml: Annotated[bool, typer.Option("--toml", help="Print the file as it was set.")] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show the parts of a study and what they are bound to.

    Example: fstore study show --toml
    """
    from fstore.queries.studies.study import load_study, study_rows, study_text

    store = open_store(ctx)
    if toml:
        typer.echo(study_text(store, name or None), nl=False)
        return
    rows = study_rows(load_study(store, name or None))
    emit(rows, columns=("role", "value"), as_json=as_json, as_csv=as_csv)


def read_study(file: Path) -> str:
    """Return the text of a study file.

    Raises
    ------
    DataError
        It cannot be read.
    """
    return read_text(file)
