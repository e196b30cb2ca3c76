"""``fstore compact``: fewer, larger files."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fstore import commands
from fstore.cli.app import app, open_store
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.cli.progress import bar
from fstore.cli.store import Ckpt, Dataset, Layer, Network, ViewName, _size

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = ["compact"]


@app.command("compact")
def compact(
    ctx: typer.Context,
    *,
    network: Network = "",
    ckpt: Ckpt = "",
    dataset: Dataset = "",
    view: ViewName = "",
    layer: Layer = "",
    target_mb: Annotated[
        int, typer.Option(min=1, help="MB of a new file, at least. One of half of it stays.")
    ] = 256,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would do.")] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Put small files together; rows stay what they are, and no report is stale.

    Others may read and extract meanwhile. The old files stay on disk until fstore gc. A run that
    was cut short goes on where it was. The status is 1 if files are damaged; they stay as they are.
    The small tables (runs, reports, ...) are done as well, unless activations are chosen.

    Example: fstore compact --layer conv5 --dry-run
    """
    from fstore.store import compact as work
    from fstore.store.maintenance import Selection

    root = open_store(ctx).place
    selection = Selection.of(network=network, ckpt=ckpt, dataset=dataset, view=view, layer=layer)
    size, problems = target_mb * 10**6, list[str]()
    if dry_run:
        rows = work.plan_compact(root, selection, target_bytes=size)
    else:
        with bar(quiet=ctx.obj["quiet"], first="looking") as advance:
            rows = work.compact(
                root,
                selection,
                target_bytes=size,
                on_progress=advance,
                on_note=note,
                on_problem=problems.append,
            )
    shown = rows if as_json or as_csv else [_for_people(row) for row in rows]
    emit(shown, columns=work.COMPACT_COLUMNS, as_json=as_json, as_csv=as_csv)
    _tell(root, rows, dry_run=dry_run)
    for problem in problems:
        note(f"not compacted: {problem}")
    if selection == Selection():
        _do_tables(root, dry_run=dry_run)
    if problems:
        raise typer.Exit(1)


def _do_tables(root: "Place", *, dry_run: bool) -> None:
    """Put the files of small tables together, or say what would become of them."""
    from fstore.store.small_tables import compact_tables, plan_tables

    done = plan_tables(root) if dry_run else compact_tables(root)
    would = "would become" if dry_run else "are now"
    for name, (before, after) in done.items():
        note(f"table {name}: {before} files {would} {after}")


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    sizes = ("bytes_before", "bytes_after")
    return {**row, **{name: _size(row[name]) for name in sizes if row[name] is not None}}


def _tell(root: "Place", rows: Sequence[dict[str, Any]], *, dry_run: bool) -> None:
    """Say what was, or would be, done in all, and how the disk gets the old files' bytes back."""
    before, after = (sum(row[name] for row in rows) for name in ("files_before", "files_after"))
    if before == after:
        note(f"{before} files; none of them are small ones that could be put together")
    elif dry_run:
        note(f"{before} files would become {after}; nothing was changed")
    else:
        note(
            f"{before} files are {after} now; the old ones stay a day for those who read them, "
            f"then this deletes them: {commands.gc(root)}"
        )
