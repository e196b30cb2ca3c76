"""``fstore init|status|drop|gc|verify``: the store itself."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fstore import commands
from fstore.cli.app import app, listed_store, open_store
from fstore.cli.output import AsCsv, AsJson, emit, note

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.store.maintenance import Going

__all__ = ["drop", "gc", "init", "status", "verify"]

Network = Annotated[str, typer.Option(help="Of this network.")]
Ckpt = Annotated[str, typer.Option(help="Of this checkpoint.")]
Dataset = Annotated[str, typer.Option(help="Of this data set.")]
ViewName = Annotated[str, typer.Option(help="Of this view: image, gt or proposal.")]
Layer = Annotated[str, typer.Option(help="Of this layer.")]


@app.command("init")
def init(ctx: typer.Context) -> None:
    """Make a store in a new or empty folder; one that is there already is left as it is.

    Example: fstore --store my-store init
    """
    from fstore.store import Store

    typer.echo(Store.create(ctx.obj["store"]).place)


@app.command("status")
def status(ctx: typer.Context, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List what is extracted: a row a network, checkpoint, data set, view and layer.

    Example: fstore status --json
    """
    from fstore.store.status import STATUS_COLUMNS
    from fstore.store.status import status as rows_of

    rows = rows_of(listed_store(ctx).place)
    whole = as_json or as_csv
    shown = rows if whole else map(_for_people, rows)
    emit(shown, columns=STATUS_COLUMNS, as_json=as_json, as_csv=as_csv)
    size, raw = (sum(row[c] or 0 for row in rows) for c in ("bytes", "raw_bytes"))
    share = f", {size / raw:.2f} of {_size(raw)} raw" if raw else ""
    total = sum(row["rows"] for row in rows)
    note(f"{len(rows)} partitions, {total} rows, {_size(size)}{share}")


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the status with sizes as people read them."""
    sizes = {c: _size(row[c]) for c in ("bytes", "raw_bytes") if row[c] is not None}
    return {**row, **sizes}


@app.command("drop")
def drop(
    ctx: typer.Context,
    *,
    network: Network = "",
    ckpt: Ckpt = "",
    dataset: Dataset = "",
    view: ViewName = "",
    layer: Layer = "",
    checkpoint: Annotated[
        bool, typer.Option("--checkpoint", help="Remove the checkpoint's weights too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove activations, after showing what goes; a data set named alone goes altogether.

    Example: fstore drop --ckpt 305k --layer conv1
    """
    from fstore.store.maintenance import Selection, plan_drop
    from fstore.store.maintenance import drop as drop_from

    store = open_store(ctx)
    selection = Selection.of(network=network, ckpt=ckpt, dataset=dataset, view=view, layer=layer)
    going = plan_drop(store.place, selection, checkpoint=checkpoint)
    _tell(going)
    if not yes:
        typer.confirm("Remove all this?", abort=True, err=True)
    gone = drop_from(store.place, selection, checkpoint=checkpoint)
    note(f"removed {sum(g.rows for g in gone)} rows, {_size(sum(g.bytes for g in gone))}")


@app.command("gc")
def gc(
    ctx: typer.Context,
    older_than: Annotated[
        float, typer.Option(metavar="HOURS", min=0, help="Spare files that are younger.")
    ] = 24.0,
    *,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Delete files that interrupted work left behind and no table refers to; list them.

    Younger files may belong to an extraction that is under way.

    Example: fstore gc --older-than 48
    """
    from fstore.store.maintenance import gc as collect

    gone = collect(open_store(ctx).place, older_than_hours=older_than)
    rows = ({"file": key, "bytes": size} for key, size in gone)
    emit(rows, columns=("file", "bytes"), as_json=as_json, as_csv=as_csv)
    note(f"deleted {len(gone)} files, {_size(sum(size for _, size in gone))}")


@app.command("verify")
def verify(
    ctx: typer.Context,
    *,
    recompute: Annotated[
        bool,
        typer.Option(
            "--recompute/--no-recompute",
            help="Also compute two samples of each layer again, and compare.",
        ),
    ] = True,
    network: Network = "",
    ckpt: Ckpt = "",
    dataset: Dataset = "",
    view: ViewName = "",
    layer: Layer = "",
    add_checksums: Annotated[
        bool,
        typer.Option("--add-checksums", help="Note checksums of files without, if all is well."),
    ] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Read every stored file and list what is wrong; the status is 1 if anything is.

    With --network, --ckpt and so on, only the activations that fit are read.

    Example: fstore verify
    """
    from fstore.store.maintenance import Selection
    from fstore.store.verify import PROBLEM_COLUMNS
    from fstore.store.verify import verify as problems_of

    store = open_store(ctx)
    selection = Selection.of(network=network, ckpt=ckpt, dataset=dataset, view=view, layer=layer)
    rows = list(problems_of(store.place, selection if selection.given else None))
    rows += _recomputed(store, rows, selection.given) if recompute else []
    emit(rows, columns=PROBLEM_COLUMNS, as_json=as_json, as_csv=as_csv)
    note(_count(len(rows), "problem") if rows else "no problem found")
    if rows:
        raise typer.Exit(1)
    _checksums(store, add=add_checksums)


def _checksums(store: "Store", *, add: bool) -> None:
    """Tell of files that have no checksum, or note theirs."""
    from fstore.store.verify_tables import unchecked

    if add:
        note(f"noted the checksums of {_count(store.add_checksums(), 'file')}")
    elif without := sum(map(len, unchecked(store.place).values())):
        note(
            f"{_count(without, 'file')} without a checksum, written by another program or by "
            "fstore before it noted them; note them as they are now: "
            + commands.verify(store.place, add_checksums=True)
        )


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _recomputed(
    store: "Store", checked: Sequence[dict[str, Any]], equal: dict[str, str]
) -> list[dict[str, Any]]:
    """Return what a few samples show that are computed again; say of which layers none were."""
    from fstore.store.verify import PROBLEM_COLUMNS
    from fstore.workflows.extract.recheck import recheck

    damaged = {tuple(row.get(c) for c in PROBLEM_COLUMNS[:-2]) for row in checked}
    rows = []
    for partition, problem, reason in recheck(store, **equal):
        where = partition.values
        if reason:
            note(f"not recomputed: {partition}: {reason}")
        elif problem and tuple(where[c] for c in PROBLEM_COLUMNS[:-2]) not in damaged:
            rows.append({**where, "file": "", "problem": problem})
    return rows


def _tell(going: "Sequence[Going]") -> None:
    """Show on stderr what a drop is about to remove."""
    for item in going:
        size = f", {_size(item.bytes)}" if item.bytes else ""
        note(f"{item.what}  {item.name}  {item.rows} rows{size}")
    note(f"in all: {sum(g.rows for g in going)} rows, {_size(sum(g.bytes for g in going))}")


def _size(n_bytes: int) -> str:
    """Return bytes for people."""
    size = float(n_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
