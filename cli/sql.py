"""``fstore sql``: ask a store questions in SQL."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fstore.cli.app import app, listed_store
from fstore.cli.hints import Counted, tell_names
from fstore.cli.limits import Timeout
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.cli.shell import run_shell
from fstore.ending import within
from fstore.errors import DataError
from fstore.reading import read_text

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.store.sql import Result

SHOWN = 100  # rows of a table on a terminal, unless --limit says otherwise


@app.command()
def sql(
    ctx: typer.Context,
    statement: Annotated[
        str, typer.Argument(help="One statement; - reads it from standard input.")
    ] = "",
    *,
    file: Annotated[Path | None, typer.Option(help="Read the statement from a file.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Ask a recipe of docs/sql.md, with names of this store.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(help="Of the recipe: NAME=VALUE, as layer=conv5. Give it again for more."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="Print at most so many rows. Default: all; 100 on a terminal."),
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option(help="Write the rows to this Parquet file, print its path.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let --parquet replace a file.")
    ] = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Run one SQL statement that only reads; docs/sql.md lists tables and macros.

    Without a statement, on a terminal: a shell that reads statements.

    Example: fstore sql "SELECT layer, avg(act_max) FROM activations GROUP BY layer"
    """
    if parquet is not None and (as_json or as_csv or limit is not None):
        raise typer.BadParameter("--parquet goes with none of --json, --csv and --limit")
    if limit is None and not (as_json or as_csv) and sys.stdout.isatty():
        limit = SHOWN

    def answer(text: str) -> None:
        with within(timeout):
            result = store.sql(text)
            if parquet is not None:
                typer.echo(result.write_parquet(parquet, overwrite=overwrite))
                return
            rows = Counted(_first(result, limit))
            emit(rows, columns=result.columns, as_json=as_json, as_csv=as_csv)
            if rows.count < 2 and not ctx.obj["quiet"]:  # a count of nothing is a row
                tell_names(store, text)

    given = _params(param or [], recipe)
    bare = not statement and file is None and recipe is None
    if bare and parquet is None and sys.stdin.isatty():
        store = listed_store(ctx)
        run_shell(store, answer)
        return
    text = _statement(statement, file) if recipe is None or statement or file else ""
    if recipe is not None and text:
        raise typer.BadParameter("--recipe is a statement: give no other")
    store = listed_store(ctx)
    answer(text if recipe is None else _of_recipe(store, recipe, given))


def _params(texts: list[str], recipe: str | None) -> dict[str, str]:
    """Return the values of a recipe's parameters by name."""
    if texts and recipe is None:
        raise typer.BadParameter("--param goes with --recipe NAME")
    pairs = [text.partition("=") for text in texts]
    if wrong := next((text for text, pair in zip(texts, pairs, strict=True) if not pair[2]), None):
        raise typer.BadParameter(f"--param takes NAME=VALUE, as layer=conv5, not {wrong!r}")
    given = {name.strip(): value for name, _, value in pairs}
    if len(given) < len(texts):
        raise typer.BadParameter("--param names one parameter twice")
    return given


def _of_recipe(store: "Store", name: str, given: Mapping[str, str]) -> str:
    """Return a recipe's statement; a note says which names it asks for."""
    from fstore.explore.recipe import recipe
    from fstore.explore.recipe_names import asked_of_store

    text, values = asked_of_store(store, recipe(name), given)
    note(f"recipe {name}: " + ", ".join(f"{key} = {value}" for key, value in values.items()))
    return text


def _statement(text: str, file: Path | None) -> str:
    if bool(text) == (file is not None):
        raise typer.BadParameter("give one statement: as an argument, as -, or with --file")
    if text == "-":
        try:
            return sys.stdin.read()
        except UnicodeDecodeError as error:
            raise DataError(f"standard input is no UTF-8 at byte {error.start}") from error
    if file is None:
        return text
    return read_text(file)


def _first(result: "Result", limit: int | None) -> Iterator[Mapping[str, Any]]:
    """Yield at most ``limit`` rows; a note says if there were more."""
    for count, row in enumerate(result.rows()):
        if count == limit:
            note(f"only the first {limit} rows are shown; --limit sets how many")
            return
        yield row
