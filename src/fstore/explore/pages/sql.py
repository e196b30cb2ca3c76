"""SQL: recipes filled with the store's names, results as a table or a chart, files to download."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fstore.ending import leftover
from fstore.errors import FstoreError, QueryError
from fstore.explore.answers import MOST_ROWS, SECONDS, answer, batches
from fstore.explore.page import Asked, page
from fstore.explore.recipe import Recipe, filled, recipe, recipes
from fstore.explore.rows_chart import KINDS, is_number, rows_chart
from fstore.store.values import plain_rows

if TYPE_CHECKING:
    from starlette.responses import Response

__all__ = ["csv_file", "parquet_file", "sql"]

PAGE_ROWS = 100
FILE_BYTES = 256 << 20
"""Of rows in a Parquet file that is downloaded."""
CSV_BYTES = 64 << 20
"""Of rows in a CSV file, which takes longer to write."""
TEXT = 300
"""Letters of a cell that are shown."""


@page("/sql", template="sql.html", nav="SQL")
def sql(asked: Asked) -> dict[str, object]:
    """Show a statement, and its rows if there is one; an error stands beside the statement."""
    statement = asked.given.get("q", "").strip()
    chosen = recipe(asked.text("recipe")) if asked.given.get("recipe") else None
    if chosen is not None:
        values = _values(asked, chosen)
        network = _network(asked, values.get("ckpt"))
        statement = filled(chosen, values, beside={"network": network} if network else None)
    shown: dict[str, object] = {"result": None, "error": ""}
    if statement:
        try:
            shown["result"] = _result(asked, statement)
        except FstoreError as error:
            shown["error"] = str(error)
    return {
        **shown,
        "statement": statement,
        "recipes": recipes(),
        "chosen": chosen,
        "fields": _fields(asked, chosen) if chosen else [],
        "seconds": SECONDS,
        "kinds": KINDS,
    }


@page("/sql.csv")
def csv_file(asked: Asked) -> "Response":
    """Return all rows of a statement as CSV."""
    import csv

    from fstore.csv_text import csv_cell

    def write(path: str, parts: Iterator[pa.RecordBatch]) -> None:
        with open(path, "w", newline="", encoding="utf-8") as file:  # noqa: PTH123 - a name, of mkstemp
            writer = csv.writer(file, lineterminator="\n")
            first = next(parts)
            writer.writerow([csv_cell(name) for name in first.schema.names])
            for batch in parts:
                for row in plain_rows(batch):
                    writer.writerow([csv_cell(value) for value in row.values()])

    return _file(asked, "answer.csv", write, most_bytes=CSV_BYTES)


@page("/sql.parquet")
def parquet_file(asked: Asked) -> "Response":
    """Return all rows of a statement as a Parquet file."""
    from pyarrow import parquet as pq

    def write(path: str, parts: Iterator[pa.RecordBatch]) -> None:
        first = next(parts)
        try:
            with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
                for batch in parts:
                    writer.write_batch(batch)
        except pa.ArrowException as error:
            raise QueryError(f"these rows have no Parquet form: {error}") from error

    return _file(asked, "answer.parquet", write, most_bytes=FILE_BYTES)


def _file(
    asked: Asked,
    name: str,
    write: Callable[[str, Iterator[pa.RecordBatch]], None],
    *,
    most_bytes: int,
) -> "Response":
    """Return a file that is written whole before it is sent: an error is told as one."""
    from starlette.background import BackgroundTask
    from starlette.responses import FileResponse

    parts = batches(asked.contents, asked.text("q"), most_bytes=most_bytes)
    handle, path = tempfile.mkstemp(prefix="fstore-", suffix=f"-{name}")
    os.close(handle)
    with ExitStack() as kept:
        kept.enter_context(leftover(Path(path)))
        kept.callback(Path(path).unlink)
        with closing(parts):
            write(path, parts)
        remove = kept.pop_all().close
    return FileResponse(path, filename=name, background=BackgroundTask(remove))


def _result(asked: Asked, statement: str) -> dict[str, object]:
    """Return the rows of one page of the answer, sorted as asked, or a chart of all."""
    got = answer(asked.contents, statement)
    columns = got.table.column_names
    sort = asked.given.get("sort", "")
    kind = asked.one_of("show", KINDS)
    axes = {name: asked.given.get(name, "") for name in ("x", "y", "colour")}
    table = _sorted(got.table, sort) if sort.removeprefix("-") in columns else got.table
    pages = max(1, -(-table.num_rows // PAGE_ROWS))
    number = min(asked.number("page", 0), pages - 1)
    part = table.slice(number * PAGE_ROWS, PAGE_ROWS)
    return {
        "columns": columns,
        "numeric": [is_number(field.type) for field in table.schema],
        "rows": [[_cell(v) for v in row.values()] for row in _rows(part)],
        "n": table.num_rows,
        "is_whole": got.is_whole,
        "most": MOST_ROWS,
        "sort": sort,
        "page": number,
        "pages": pages,
        "first": number * PAGE_ROWS + 1,
        "last": number * PAGE_ROWS + part.num_rows,
        "show": kind,
        "chart": rows_chart(got.table, kind, **axes)
        if kind != "table" and table.num_rows
        else None,
        **axes,
    }


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    return [row for batch in table.to_batches() for row in plain_rows(batch)]


def _sorted(table: pa.Table, sort: str) -> pa.Table:
    """Sort by a column; ``-column`` is downwards. A column that has no order stays as it is."""
    name, order = sort.removeprefix("-"), "descending" if sort.startswith("-") else "ascending"
    try:
        return table.sort_by([(name, order)])
    except (pa.ArrowException, TypeError):
        return table


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= TEXT else text[: TEXT - 1] + "\N{HORIZONTAL ELLIPSIS}"


# Recipes


def _values(asked: Asked, chosen: Recipe) -> dict[str, str]:
    """Return what each field is asked for: the address's, else a name of the store."""
    values: dict[str, str] = {}
    for field in chosen.fields:
        given = asked.given.get(field.name)
        if field.column == "channel":
            values[field.name] = str(asked.number(field.name, 0))
        else:
            names = _choices(asked, field.column, values)
            number = int(field.name.removeprefix(field.column) or 1)
            own = names[min(number, len(names)) - 1] if names else field.value
            free = field.column == "image_id"  # more than are listed
            values[field.name] = given if given and (free or given in names) else own
    return values


def _fields(asked: Asked, chosen: Recipe) -> list[dict[str, object]]:
    values = _values(asked, chosen)
    return [
        {"name": f.name, "value": values[f.name], "choices": _choices(asked, f.column, values)}
        for f in chosen.fields
    ]


def _choices(asked: Asked, column: str, values: Mapping[str, str]) -> list[str]:
    """Return the store's names for a field, those that go with the fields before it first."""
    stored = [p.values for p in asked.contents.partitions]
    if column == "image_id":
        dataset = values.get("dataset", "")
        rows = asked.contents.samples(dataset, "image") if dataset else None
        return [] if rows is None else [str(name) for name in rows.column("image_id")[:500]]
    if column == "channel":
        return []
    ckpts = [value for name, value in values.items() if name.startswith("ckpt")]
    wanted = {"dataset": values["dataset"]} if "dataset" in values and column != "dataset" else {}
    usable = [p for p in stored if _fits(p, wanted)]
    names = list(dict.fromkeys(p[column] for p in usable))
    if column == "ckpt":
        return names
    own = [{p[column] for p in usable if p["ckpt"] == ckpt} for ckpt in ckpts]
    return [name for name in names if all(name in each for each in own)] or names


def _fits(partition: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(partition[name] == value for name, value in wanted.items())


def _network(asked: Asked, ckpt: str | None) -> str | None:
    """Return the network to ask for beside a checkpoint whose name several networks have."""
    if ckpt is None:
        return None
    named = dict.fromkeys(p.network for p in asked.contents.partitions if p.ckpt == ckpt)
    return asked.given.get("network") or next(iter(named)) if len(named) > 1 else None
