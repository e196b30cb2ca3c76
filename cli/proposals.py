"""``fstore proposals``: regions that may hold an object, as samples of view ``proposal``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fstore.cli.app import app, open_store
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.cli.places import tell_of_work
from fstore.cli.progress import bar
from fstore.cli.splits import PartName, SplitName, part_words

if TYPE_CHECKING:
    from fstore.workflows.proposals import Added

__all__ = ["proposals"]


@app.command()
def proposals(
    ctx: typer.Context,
    *,
    dataset: Annotated[str, typer.Option(help="Registered data set.")],
    method: Annotated[
        str, typer.Option(help="selective-search (needs fstore[detect]) or components.")
    ] = "selective-search",
    files: Annotated[
        list[Path] | None,
        typer.Option("--import", help="Published boxes (.mat) in place of a search; repeatable."),
    ] = None,
    max_proposals: Annotated[
        int | None, typer.Option(min=1, help="Keep the first so many of an image. Default: all.")
    ] = None,
    split: SplitName = None,
    part: PartName = None,
    image_list: Annotated[
        Path | None, typer.Option(help="Only the images that this file names, one id a line.")
    ] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="--import: leave out images that are not here.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Search processes. Default: one a core.")
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Find regions that may hold an object, register them, and tell how many objects they find.

    A run that was killed goes on where it was. Recall is over all regions that were found; the
    row marked as kept is that of the registered ones.

    Example: fstore proposals --dataset voc07 --max-proposals 500
    """
    from fstore.workflows.proposals import RECALL_COLUMNS, Choice, add_proposals

    choice = Choice(
        method=method,
        files=files or (),
        max_proposals=max_proposals,
        part=part_words(split, part),
        image_list=image_list,
        skip_unknown=skip_unknown,
    )
    store = open_store(ctx)
    tell_of_work(store, "proposals", "boxes are kept", quiet=ctx.obj["quiet"])
    with bar(quiet=ctx.obj["quiet"]) as update:
        added = add_proposals(
            store, dataset, choice, workers=workers,
            on_progress=lambda done, total: update("searching", done, total, "images"),
        )  # fmt: skip
    if not ctx.obj["quiet"]:
        _tell(dataset, added)
    emit(added.recall, columns=RECALL_COLUMNS, as_json=as_json, as_csv=as_csv)


def _tell(dataset: str, added: "Added") -> None:
    """Say on stderr what is registered, and what is not."""
    for bad in added.unreadable:
        note(f"unreadable: {bad['reason']}")
    left_out = {
        "not in the files": added.unlisted,
        "unreadable": len(added.unreadable),
        "of the files unknown here": added.skipped,
    }
    told = "".join(f"; {n} {what}" for what, n in left_out.items() if n)
    state = "registered" if added.new else "registered already, unchanged"
    note(
        f"{dataset}: {added.kept} proposals of {added.found} found in {added.images} images, "
        f"{state}{told}"
    )
