"""``fstore dataset``: register data sets, and list what they hold."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from fstore.cli.app import open_store, sub_app
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.cli.progress import bar
from fstore.cli.splits import OldSeed, SplitName, split_meant
from fstore.errors import DataError

__all__ = ["dataset"]

dataset = sub_app("dataset", "Register data sets, and list what they hold.")

_COLUMNS = ("name", "format", "task", "classes", "views", "root")

Format = Annotated[
    str,
    typer.Option(
        "--format",
        help="voc, imagefolder, csv, coco, digits or digit-scenes (the last two need no files).",
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(help="Folder of the images. Default for digits, digit-scenes: in the store."),
]
Seeds = Annotated[
    str, typer.Option(help="Add a stratified random split for each of these seeds: 0,1,2.")
]
Fractions = Annotated[
    str, typer.Option(help="Train, val, test shares of random splits. Default: 0.5,0.1,0.4.")
]


@dataset.command("add")
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name that the store will know it by.")],
    *,
    format_: Format,
    root: Root = None,
    seeds: Seeds = "",
    fractions: Fractions = "",
    year: Annotated[str, typer.Option(help="voc: which VOCyyyy of several.")] = "",
    zero_based: Annotated[
        bool, typer.Option("--zero-based", help="voc: boxes count pixels from 0, not from 1.")
    ] = False,
    label_file: Annotated[
        str,
        typer.Option(
            help="imagefolder: text file of lines '<image> <label>'; from here, else from --root."
        ),
    ] = "",
    annotations: Annotated[
        str,
        typer.Option(
            help="csv, coco: the annotation file, from here, else from --root; coco: "
            "train=FILE,val=FILE."
        ),
    ] = "",
    encoding: Annotated[
        str,
        typer.Option(help="csv, label file: latin-1 and others. Default: UTF-8, or as marked."),
    ] = "",
    images: Annotated[
        int | None, typer.Option(help="digit-scenes: how many. Default: 300.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="digit-scenes: of the drawing.")] = None,
) -> None:
    """Register a data set: hash its files, record samples, labels, boxes and splits.

    Example: fstore dataset add voc07 --format voc --root VOCdevkit --year 2007
    """
    from fstore.workflows.datasets import add_dataset, check_format

    given = {"year": year, "label_file": label_file, "annotations": annotations}
    given |= {"encoding": encoding}
    options: dict[str, Any] = {k: v for k, v in given.items() if v}
    options |= {"zero_based": True} if zero_based else {}
    options |= {k: v for k, v in {"images": images, "seed": seed}.items() if v is not None}
    check_format(format_, options)
    if format_ == "coco" and root is not None and annotations:
        options["annotations"] = _absolute(annotations, root)
    store = open_store(ctx)
    shares = _fractions(fractions)
    notes: list[str] = []
    with _progress(ctx, "hashing") as report:
        added = add_dataset(
            store, name, format_, root,
            seeds=_seeds(seeds), fractions=shares, on_progress=report, on_note=notes.append,
            **options,
        )  # fmt: skip
    if not ctx.obj["quiet"]:
        for text in notes:
            note(f"{name}: {text}")
        sizes = ", ".join(f"{len(v.samples)} {v.view}" for v in added.manifest.views)
        note(f"{name}: {'registered' if added.new else 'registered already, unchanged'} ({sizes})")


@dataset.command("list")
def list_(ctx: typer.Context, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List the registered data sets.

    Example: fstore dataset list --json
    """
    rows = (
        {
            "name": d.name,
            "format": d.format,
            "task": d.task,
            "classes": len(d.classes),
            "views": list(d.views),
            "root": str(d.root),
        }
        for d in open_store(ctx).datasets()
    )
    emit(rows, columns=_COLUMNS, as_json=as_json, as_csv=as_csv)


@dataset.command("show")
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of a registered data set.")],
    *,
    split: SplitName = None,
    seed: OldSeed = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Count a data set's samples by view, class and part; the row without a class is all.

    Example: fstore dataset show voc07 --split random:0
    """
    from fstore.queries.samples.counts import COUNT_COLUMNS, dataset_counts

    store = open_store(ctx)
    named = split is not None or seed is not None
    which = split_meant(ctx, store, [name], split=split, seed=seed) if named else None
    rows = dataset_counts(store, name, split=which)
    emit(rows, columns=COUNT_COLUMNS, as_json=as_json, as_csv=as_csv)


def _absolute(annotations: str, root: Path) -> str:
    """Return ``FILE`` or ``train=FILE,val=FILE`` with each file found, from here or the root."""
    from fstore.extractor.datasets import find_file

    items = []
    for item in annotations.split(","):
        before, mark, after = item.strip().partition("=")
        path = find_file(after if mark else before, root, "--annotations").absolute()
        if "," in str(path):
            raise DataError(f"file {path} has a comma in its path; rename or link it")
        items.append(f"{before}={path}" if mark else str(path))
    return ",".join(items)


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(",")) if text else ()
    except ValueError as exc:
        raise typer.BadParameter(f"seeds {text!r} are not whole numbers like 0,1,2") from exc


def _fractions(text: str) -> tuple[float, float, float] | None:
    if not text:
        return None
    try:
        train, val, test = (float(word) for word in text.split(","))
    except ValueError as exc:
        raise typer.BadParameter(f"fractions {text!r} are not three like 0.5,0.1,0.4") from exc
    return train, val, test


@contextmanager
def _progress(ctx: typer.Context, what: str) -> Iterator[Callable[[int, int], None]]:
    with bar(quiet=ctx.obj["quiet"]) as update:
        yield lambda done, total: update(what, done, total, "files")
