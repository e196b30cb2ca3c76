"""``fstore extract``: fill the store with a network's responses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fstore.cli.app import app, open_store
from fstore.cli.engines import AddressOption, EngineOption, ray_options
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.cli.progress import bar
from fstore.cli.sizes import parse_size
from fstore.cli.splits import PartName, SplitName, part_words
from fstore.engines import EngineName
from fstore.machine import spin

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.workflows.extract.run import Progress, Summary


class Stored(StrEnum):
    """What stored values are rounded to."""

    FLOAT32 = "float32"
    TF32 = "tf32"
    BFLOAT16 = "bfloat16"
    BIT = "bit"


class Compute(StrEnum):
    """Arithmetic of the forward pass."""

    FLOAT32 = "float32"
    TF32 = "tf32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


@app.command()
def extract(
    ctx: typer.Context,
    *,
    layer: Annotated[
        list[str],
        typer.Option(help="Layer, pattern ('blocks.*.mlp'), class of modules (relu), or all."),
    ],
    ckpt: Annotated[list[str], typer.Option(help="Checkpoint: NAME or NETWORK/NAME.")],
    dataset: Annotated[list[str] | None, typer.Option(help="Default: every data set.")] = None,
    view: Annotated[
        list[str] | None,
        typer.Option(help="image, gt or proposal. Default: image and gt."),
    ] = None,
    split: SplitName = None,
    part: PartName = None,
    network: Annotated[str | None, typer.Option(help="Whose checkpoints are meant.")] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Samples a forward pass. Default: at most 32, on GPUs 256."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Decoding threads. Default: one a core.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:0,1.")] = "auto",
    precision: Annotated[
        Stored, typer.Option(help="What stored values are rounded to.")
    ] = Stored.TF32,
    compute: Annotated[
        Compute, typer.Option(help="Arithmetic of the forward pass.")
    ] = Compute.FLOAT32,
    from_stored: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER", help="Derive the layers from this stored one, not from images."
        ),
    ] = None,
    rectify: Annotated[
        bool, typer.Option("--rectify", help="Store max(x, 0) of every response.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the layers that are meant.")
    ] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only say what it would add and take.")
    ] = False,
    max_bad: Annotated[
        int, typer.Option(min=0, help="More unreadable images than this end the run.")
    ] = 100,
    shard_mib: Annotated[
        int, typer.Option(min=1, help="Raw MiB a commit: what a killed run loses at most.")
    ] = 384,
    encoders: Annotated[
        int | None, typer.Option(min=1, help="Encoding threads. Default: half of the cores.")
    ] = None,
    memory: Annotated[
        int | None,
        typer.Option(
            parser=parse_size,
            metavar="SIZE",
            help="Bound of responses and inputs in memory, 4G. Default: shards as --shard-mib.",
        ),
    ] = None,
    engine: EngineOption = EngineName.LOCAL,
    address: AddressOption = None,
    ray_workers: Annotated[
        int | None,
        typer.Option(min=1, help="Workers on the cluster. Default: one a GPU, else all cores."),
    ] = None,
    ray_threads: Annotated[
        int | None, typer.Option(min=1, help="Cores of a worker. Default: 2.")
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Extract layers of checkpoints over data sets; what is stored already is not redone.

    --json and --csv are for --dry-run and --estimate, and for what each worker of --engine ray did.

    Example: fstore extract --layer conv5 --ckpt 305k
    """
    spin(0)
    from fstore.workflows.extract import run as extraction

    ray = ray_options(engine, address, workers=ray_workers, threads=ray_threads)
    options = extraction.ExtractionOptions(
        precision=precision.value,
        compute=compute.value,
        rectify=rectify,
        device=device,
        batch_size=batch_size,
        workers=workers,
        encoders=encoders,
        max_bad=max_bad,
        shard_bytes=shard_mib << 20,
        memory=memory,
        ray=ray,
    )
    chosen: dict[str, Any] = {
        "layers": layer,
        "ckpts": ckpt,
        "datasets": dataset or (),
        "views": view or (),
        "network": network,
        "part": part_words(split, part),
        "from_stored": from_stored,
    }
    if dry_run and estimate:
        raise typer.BadParameter("--dry-run lists layers, --estimate measures: give one of them")
    store = open_store(ctx)
    if dry_run:
        names = {"layers": layer, "ckpts": ckpt, "network": network}
        _list_layers(store, as_json=as_json, as_csv=as_csv, **names)
        return
    if estimate:
        _estimate(store, as_json=as_json, as_csv=as_csv, options=options, **chosen)
        return
    with _shown(quiet=ctx.obj["quiet"]) as progress:
        summary = extraction.extract(store, options=options, on_progress=progress, **chosen)
    if not ctx.obj["quiet"]:
        _tell(summary)
    if ray is not None:
        _tell_workers(summary, as_json=as_json, as_csv=as_csv)


def _list_layers(store: "Store", *, as_json: bool, as_csv: bool, **chosen: Any) -> None:  # noqa: ANN401
    """Print the layers that an extraction means."""
    from fstore.workflows.extract.listing import MEANT_COLUMNS, meant_layers

    rows = meant_layers(store, on_note=note, **chosen)
    emit(rows, columns=MEANT_COLUMNS, as_json=as_json, as_csv=as_csv)
    images = {row["network"]: 0 for row in rows}
    for row in rows:
        images[row["network"]] += row["bytes"]
    for network, size in images.items():
        note(f"{network}: {size} bytes an image as raw float32; nothing was extracted")


def _estimate(store: "Store", *, as_json: bool, as_csv: bool, **chosen: Any) -> None:  # noqa: ANN401
    """Print what an extraction would add and take."""
    from fstore.workflows.extract.estimate import ESTIMATE_COLUMNS
    from fstore.workflows.extract.estimate import estimate as estimated

    rows = estimated(store, on_note=note, **chosen)
    emit(rows, columns=ESTIMATE_COLUMNS, as_json=as_json, as_csv=as_csv)


def _tell_workers(summary: "Summary", *, as_json: bool, as_csv: bool) -> None:
    """Print what each worker of a cluster did."""
    from fstore.workflows.extract.summary import WORKER_COLUMNS

    if summary.workers or as_json or as_csv:
        emit(summary.workers, columns=WORKER_COLUMNS, as_json=as_json, as_csv=as_csv)


@contextmanager
def _shown(*, quiet: bool) -> Iterator["Callable[[Progress], None]"]:
    first = "reading the data set and the weights, building the network"
    with bar(quiet=quiet, first=first) as update:

        def progress(state: "Progress") -> None:
            speed = f"{state.images_per_s:.1f} images/s"
            update(state.job, state.done, state.total, speed)

        yield progress


def _tell(summary: "Summary") -> None:
    """Say on stderr what was added and where the time went."""
    for bad in summary.quarantined:
        note(f"quarantined: {bad['reason']}")
    for text in dict.fromkeys(summary.notes):
        note(text)
    share = f", {summary.bytes / summary.raw_bytes:.3f} of raw" if summary.raw_bytes else ""
    note(
        f"{summary.samples} samples extracted, {summary.present} already there, "
        f"{len(summary.quarantined)} quarantined"
    )
    note(
        f"{summary.rows} rows, {summary.bytes / 1e6:.1f} MB on disk "
        f"({summary.raw_bytes / 1e6:.1f} MB as raw float32{share})"
    )
    note(
        f"{summary.seconds:.1f} s on {summary.device or 'no device'}, "
        f"{summary.images_per_s:.1f} images/s; waited {summary.images_s:.1f} s for images, "
        f"{summary.forward_s:.1f} s in the network, {summary.writer_s:.1f} s for the writer "
        f"(which encoded {summary.encode_s:.1f} s, committed {summary.commit_s:.1f} s)"
    )
    if summary.start_s:
        note(f"{summary.start_s:.1f} s of these to start the workers, not counted in images/s")
    if summary.non_finite:
        note(f"warning: {summary.non_finite} responses hold NaN or infinity; stored as they are")
