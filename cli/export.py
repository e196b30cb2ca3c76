"""``fstore export``: a layer's features as a file for other programs."""

import pkgutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import fstore.store
from fstore.cli.app import app, open_store
from fstore.cli.output import note
from fstore.cli.progress import bar
from fstore.cli.splits import OldSeed, PartName, SplitName, part_meant
from fstore.cli.store import _size

__all__ = ["export"]

# A format's module is named as its ending; the formats themselves take long to import.
_FORMATS = Path(fstore.store.__path__[0]) / "export" / "formats"
SUFFIXES = [f".{m.name}" for m in pkgutil.iter_modules([str(_FORMATS)]) if m.name[0] != "_"]


class What(StrEnum):
    """What of a response map is exported."""

    MAP = "map"
    SP_MAX = "sp_max"


@app.command("export")
def export(
    ctx: typer.Context,
    out: Annotated[Path, typer.Argument(help=f"A file that ends in {', '.join(SUFFIXES)}.")],
    *,
    layer: Annotated[str, typer.Option(help="Layer.")] = "",
    ckpt: Annotated[str, typer.Option(help="Checkpoint: NAME or NETWORK/NAME.")] = "",
    dataset: Annotated[str, typer.Option(help="Data set.")] = "",
    network: Annotated[str, typer.Option(help="Network, where several have the layer.")] = "",
    view: Annotated[str, typer.Option(help="View: image, gt or proposal.")] = "image",
    split: SplitName = None,
    part: PartName = None,
    seed: OldSeed = None,
    what: Annotated[What, typer.Option(help="Whole maps, or their largest response.")] = What.MAP,
    ablation: Annotated[
        str,
        typer.Option(help="Responses as an analysis reads them: binarize, sp_mean, top_k=5, ..."),
    ] = "none",
    shuffle_seed: Annotated[int, typer.Option(help="Of the permutations of sp_shuffle.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    portable: Annotated[
        bool,
        typer.Option(
            "--portable", help="OUT is a new folder: a Delta table in which zeros are 0, not NULL."
        ),
    ] = False,
) -> None:
    """Write a layer's features, a row a sample, and print the file's path.

    With --portable, copy rows for Spark, Daft and other engines: as they are stored, without NULL.
    Then --layer, --ckpt, --dataset, --network and --view choose; all is copied without them.

    Example: fstore export --layer fc7 --ckpt 305k --dataset voc07 --part test fc7.npz
    """
    from fstore.queries.samples.export import export_ablated
    from fstore.store.export import export_features, find_partition
    from fstore.store.parts import Part, Samples, sample_ids

    if ablation != "none" and what != What.MAP:
        raise typer.BadParameter(f"--what {what} is an ablation too; leave one of the two out")
    names = {"layer": layer, "ckpt": ckpt, "dataset": dataset}
    if portable:
        _refuse_with_portable(ctx)
        _export_portable(ctx, out, network=network, view=_given(ctx, "view", view), **names)
        return
    for name, value in names.items():
        if not value:
            raise typer.BadParameter(f"--{name} is missing; only --portable goes without it")
    store = open_store(ctx)
    which = part_meant(ctx, store, dataset, split=split, part=part, seed=seed)
    partition = find_partition(
        store, layer=layer, ckpt=ckpt, dataset=dataset, view=view, network=network or None
    )
    named = Samples(dataset, view, which.name, which.seed, part) if which and part else None
    samples = sample_ids(store, named, difficult=True) if named else None
    chosen: dict[str, Any] = {
        "samples": samples,
        "part": Part(part, which) if part else None,
        "overwrite": overwrite,
    }
    if ablation == "none":
        typer.echo(export_features(store, partition, out, what=what.value, **chosen))
    else:
        typer.echo(
            export_ablated(
                store, partition, out, ablation=ablation, shuffle_seed=shuffle_seed, **chosen
            )
        )


def _given(ctx: typer.Context, name: str, value: str) -> str:
    """Return an option's value if the user gave it; empty for all."""
    source = ctx.get_parameter_source(name)
    return value if source is not None and source.name == "COMMANDLINE" else ""


def _refuse_with_portable(ctx: typer.Context) -> None:
    """Refuse options of features: the copy has rows as they are stored."""
    for name in ("split", "part", "seed", "what", "ablation", "shuffle_seed", "overwrite"):
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            raise typer.BadParameter(
                f"{option} does not go with --portable, which copies whole partitions; leave one "
                "of the two out"
            )


def _export_portable(ctx: typer.Context, out: Path, **names: str) -> None:
    """Copy all rows that are stored under the given names; empty names fit all."""
    from fstore.store.export import select_files
    from fstore.store.paths import local_path
    from fstore.store.place import outside
    from fstore.store.portable import write_portable

    store = open_store(ctx)
    folder = outside(store.place, local_path(out))
    files = select_files(store, **names)
    with bar(quiet=ctx.obj["quiet"], first="copying") as advance:
        copy = write_portable(files, folder, on_progress=advance)
    typer.echo(copy.path)
    note(
        f"{copy.rows} rows of {copy.partitions} partitions in {copy.files} files, "
        f"{_size(copy.size_bytes)}; read back, and equal to what is stored"
    )
