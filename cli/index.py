"""``fstore index``: write what the explorer and questions about the strongest samples read."""

from typing import TYPE_CHECKING, Any

import typer

from fstore.cli.app import app, open_store
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.cli.progress import bar
from fstore.cli.store import Ckpt, Dataset, Layer, Network, ViewName, _size

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["index"]


@app.command("index")
def index(
    ctx: typer.Context,
    *,
    network: Network = "",
    ckpt: Ckpt = "",
    dataset: Dataset = "",
    view: ViewName = "",
    layer: Layer = "",
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Write the strongest samples of each channel beside activations that lack them.

    Also the receptive fields of layers that have none, from which the explorer cuts crops.
    Extraction writes both by itself; activations of older versions have none, and damaged ones are
    written again. A run that was cut short goes on where it was. The status is 1 if activations
    cannot be read.

    Example: fstore index --layer conv5
    """
    from fstore.store.index import INDEX_COLUMNS
    from fstore.store.index import index as write_missing
    from fstore.store.maintenance import Selection
    from fstore.workflows.receptive import index_fields

    store = open_store(ctx)
    root = store.place
    selection = Selection.of(network=network, ckpt=ckpt, dataset=dataset, view=view, layer=layer)
    problems: list[str] = []
    with bar(quiet=ctx.obj["quiet"]) as advance:
        rows = write_missing(root, selection, on_progress=advance, on_problem=problems.append)
    shown = rows if as_json or as_csv else [_for_people(row) for row in rows]
    emit(shown, columns=INDEX_COLUMNS, as_json=as_json, as_csv=as_csv)
    _tell(rows, problems)
    networks = sorted({str(row["network"]) for row in rows})
    fields = index_fields(store, networks, say=note) if rows else 0
    note(f"receptive fields: {fields} new")
    if problems:
        raise typer.Exit(1)


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    percent = row["percent"]
    rounded = None if percent is None else round(percent, 1)
    return {**row, "bytes": _size(row["bytes"]), "percent": rounded}


def _tell(rows: "Sequence[dict[str, Any]]", problems: "Sequence[str]") -> None:
    """Say what was done in all, and what could not be read."""
    had, written, without, size = (
        sum(row[name] for row in rows) for name in ("had", "written", "without", "bytes")
    )
    note(f"wrote {written}, {had} had been written, {without} files get none; {_size(size)} in all")
    for problem in problems:
        note(f"not indexed: {problem}")
