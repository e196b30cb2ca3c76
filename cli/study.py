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
    from fstore.queries.reports import check_own_reports
    from fstore.queries.studies.own import agree_to_code
    from fstore.queries.studies.study import keep_study, parse_study, unknown_names

    toml, store = read_study(file), open_store(ctx)
    parsed = parse_study(toml, source=str(file))
    agree_to_code(store, parsed.report)
    check_own_reports(store, parsed)
    keep_study(store, parsed, toml)
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
    """Return the text of a study file, with the files that its reports are in put in place.

    Raises
    ------
    DataError
        It, or a file that it names, cannot be read.
    """
    from fstore.queries.studies.own_text import with_files

    return with_files(read_text(file), file.parent, str(file))
