"""``fstore detect train``, ``eval``, ``export``: detectors from stored proposals."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fstore.cli.app import open_store
from fstore.cli.detect import MaxIou, Overwrite, detect, find_detector, learned_from
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.cli.progress import bar
from fstore.cli.splits import OldSeed, SplitName, split_meant
from fstore.errors import DataError

if TYPE_CHECKING:
    from fstore.queries.detection.run import Evaluated
    from fstore.store import Store
    from fstore.store.files import Partition
    from fstore.store.parts import Samples

__all__ = ["eval_", "export", "listed_classes", "train"]

DetectorName = Annotated[
    str, typer.Argument(help="See fstore detect list. Default: the only one.", show_default=False)
]
DatasetNames = Annotated[
    list[str] | None,
    typer.Option("--dataset", help="Several count as one: a,b."),
]

TRAINED_COLUMNS = (
    "detector", "class", "positives", "negatives", "added", "cached", "trainings", "objective",
    "gap",
)  # fmt: skip


def listed_classes(store: "Store", datasets: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return classes that are listed: a word with commas is several, unless a class has it."""
    known = {name for dataset in datasets for name in store.dataset(dataset).classes}
    split = ([word] if word in known else re.split(r"\s*,\s*", word) for word in words)
    return [name for names in split for name in names]


@detect.command("train")
def train(
    ctx: typer.Context,
    *,
    layer: Annotated[str, typer.Option(help="Layer whose responses are the features.")],
    ckpt: Annotated[str, typer.Option(help="Checkpoint: NAME or NETWORK/NAME.")],
    dataset: Annotated[list[str], typer.Option(help="Several count as one: a,b.")],
    network: Annotated[str | None, typer.Option(help="Whose checkpoint is meant.")] = None,
    ablation: Annotated[
        list[str] | None,
        typer.Option(help="none, binarize, sp_max, ...: a detector each."),
    ] = None,
    name: Annotated[
        str, typer.Option(help="Default: made of data sets, checkpoint, layer and ablation.")
    ] = "",
    class_: Annotated[
        list[str] | None, typer.Option("--class", help="Only these classes: a,b.")
    ] = None,
    split: SplitName = None,
    seed: OldSeed = None,
    part: Annotated[
        list[str] | None, typer.Option(help="Parts to learn from. Default: train and val.")
    ] = None,
    c: Annotated[float, typer.Option("--c", min=0, help="C of the SVMs.")] = 1e-3,
    passes: Annotated[int, typer.Option(min=1, help="Over the proposals, at most.")] = 1,
    cache_mib: Annotated[
        int, typer.Option(min=1, help="For the features of positives and hard negatives.")
    ] = 4096,
    verify: Annotated[
        bool, typer.Option("--verify", help="Measure the gap to SVMs on all negatives.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Train linear SVMs a class with hard negatives mined from stored proposals (R-CNN).

    One that was trained before is not trained again. ``gap``: share of the objective that the SVM
    may lack on its cache, or, with --verify, on all negatives.

    Example: fstore detect train --layer conv5 --ckpt 305k --dataset voc07
    """
    from fstore.queries.detection.mining import MiningOptions
    from fstore.queries.detection.regions import set_parts

    store = open_store(ctx)
    ablations = list(dict.fromkeys(ablation or ["none"]))
    if name and len(ablations) > 1:
        raise DataError("one --name cannot stand for detectors of several ablations; leave it out")
    options = MiningOptions(C=c, passes=passes, cache_bytes=cache_mib << 20)
    which = split_meant(ctx, store, dataset, split=split, seed=seed)
    parts = set_parts(store, dataset, split=which, wanted=part or ["train", "val"])
    if not ctx.obj["quiet"]:
        _warn(store, parts)
    chosen = {"layer": layer, "ckpt": ckpt, "dataset": dataset[0], "network": network}
    rows: list[dict[str, Any]] = []
    classes = listed_classes(store, dataset, class_ or ())
    for change in ablations:
        rows += _train(
            ctx, store, parts, chosen={**chosen, "ablation": change}, name=name or None,
            classes=classes, options=options, verify=verify, overwrite=overwrite,
        )  # fmt: skip
    emit(rows, columns=TRAINED_COLUMNS, as_json=as_json, as_csv=as_csv)


def _warn(store: "Store", learned: "Sequence[Samples]") -> None:
    """Say on stderr which test parts of the data sets a detector cannot be tested on."""
    from fstore.queries.samples.labels import shared_images
    from fstore.store.parts import is_there

    tests = dict.fromkeys(replace(p, part="test") for p in learned)
    tested = [t for t in tests if t not in learned and is_there(store, t)]
    if shared := shared_images(store, [p for p in learned if is_there(store, p)], tested):
        note(f"{shared}; detect eval refuses to test on that part: the detector knows images of it")


def _train(
    ctx: typer.Context,
    store: "Store",
    parts: "Sequence[Samples]",
    *,
    chosen: dict[str, Any],
    **options: Any,  # noqa: ANN401 - those of train_detector
) -> list[dict[str, Any]]:
    """Train a detector; return its rows."""
    from fstore.queries.detection.training import Features, train_detector
    from fstore.store.export import find_partition

    ablation = chosen.pop("ablation")
    place = find_partition(store, view="proposal", **chosen)
    features = Features(place.network, place.ckpt, place.layer, ablation)
    with bar(quiet=ctx.obj["quiet"]) as advance:
        detector = train_detector(store, parts, features, on_progress=advance, **options)
    if not ctx.obj["quiet"]:
        note(
            f"{detector.name}: {len(detector.classes)} classes, "
            f"{detector.record['seconds']} s of training"
        )
        for text in _of_negative(store, place, ablation):
            note(text)
        if detector.record["left_out"]:
            note(f"left out, without a box to learn from: {', '.join(detector.record['left_out'])}")
    return [{"detector": detector.name, **row} for row in detector.record["classes"]]


def _of_negative(store: "Store", place: "Partition", ablation: str) -> list[str]:
    """Say what an ablation makes of responses below 0, of a layer that has some."""
    from fstore.queries.samples.ablations import negative_note
    from fstore.store.signs import has_negative

    text = negative_note(ablation)
    if not text or not has_negative(store, place):
        return []
    return [f"layer '{place.layer}' has responses below 0: {text}"]


@detect.command("eval")
def eval_(
    ctx: typer.Context,
    detector: DetectorName = "",
    *,
    results: Annotated[
        Path | None,
        typer.Option(help="Evaluate this folder of devkit results instead of a detector."),
    ] = None,
    dataset: DatasetNames = None,
    part: Annotated[str, typer.Option(help="test, val or train.")] = "test",
    split: SplitName = None,
    seed: OldSeed = None,
    stored: Annotated[
        bool, typer.Option("--stored", help="Evaluate what is stored; do not detect again.")
    ] = False,
    max_iou: MaxIou = 0.3,
    limit: Annotated[int, typer.Option(min=1, help="Boxes an image and class at most.")] = 100,
    min_score: Annotated[
        float | None, typer.Option(help="Drop boxes that score less. Default: none.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw precision and recall to this file; print its path.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Detect objects in stored proposals, store and evaluate what is found (VOC's rules).

    Average precision at 11 recalls and over all points, from 0 to 1; a class without an object to
    find is not in the mean. Images that the detector learned from elsewhere are refused.

    Example: fstore detect eval --plot curves.png
    """
    from fstore.queries.detection import run
    from fstore.queries.detection.regions import set_parts
    from fstore.queries.detection.scoring import Keep
    from fstore.queries.figures import evaluations as curves
    from fstore.queries.figures.plots import check_out, save_plot

    if plot is not None:
        check_out(plot, overwrite=overwrite)
    store = open_store(ctx)
    if results is not None:
        if detector or not dataset or len(dataset) > 1:
            raise DataError("--results needs one --dataset whose images they are, and no DETECTOR")
        which = split_meant(ctx, store, dataset, split=split, seed=seed)
        parts = set_parts(store, dataset, split=which, wanted=[part])
        evaluated = run.evaluate_results(store, results, parts)
        of, names = results.name, dataset
    else:
        keep = Keep(max_iou=max_iou, per_image=limit, min_score=min_score)
        trained = find_detector(store, detector)
        names = dataset or learned_from(trained)
        of = f"{trained.name} ({trained.network}/{trained.ckpt}, {trained.layer})"
        which = split_meant(ctx, store, names, split=split, seed=seed)
        parts = set_parts(store, names, split=which, wanted=[part])
        with bar(quiet=ctx.obj["quiet"]) as advance:
            evaluated = run.evaluate_detector(
                store, trained, parts, keep=None if stored else keep, on_progress=advance
            )
    if not ctx.obj["quiet"]:
        _tell(evaluated)
    if plot is None:
        rows = curves.evaluation_rows(evaluated.evaluation)
        emit(rows, columns=curves.EVALUATION_COLUMNS, as_json=as_json, as_csv=as_csv)
    else:
        rows, columns = curves.curve_rows(evaluated.evaluation), curves.CURVE_COLUMNS
        title = f"Detection, precision and recall\n{of}: {', '.join(names)}, {part}"
        out = save_plot(
            curves.plot_curves, rows, plot, columns=columns, overwrite=overwrite, title=title
        )
        typer.echo(out)


def _tell(evaluated: "Evaluated") -> None:
    """Say on stderr what does not count."""
    if evaluated.own:
        note(
            f"learned from {', '.join(evaluated.own)} itself: this tells how well it knows its own "
            "images, and nothing of others"
        )
    if evaluated.unsearched:
        note(f"{evaluated.unsearched} images have no proposals and are left out")
    if evaluated.gone:
        note(
            f"learned from {', '.join(evaluated.gone)}, which the store does not have any more: "
            "whether that shares images with these is not known"
        )
    if evaluated.absent:
        note(f"nothing counts as found of classes without a file: {', '.join(evaluated.absent)}")
    if left_out := evaluated.evaluation.left_out:
        note(f"left out, without an object to find: {', '.join(left_out)}")


@detect.command("export")
def export(
    ctx: typer.Context,
    detector: Annotated[str, typer.Argument(help="See fstore detect list.")],
    folder: Annotated[Path, typer.Argument(help="Where the files go.")],
    *,
    dataset: Annotated[
        str, typer.Option(help="Default: the one that was learned from.", show_default=False)
    ] = "",
    part: Annotated[str, typer.Option(help="test, val or train.")] = "test",
    split: SplitName = None,
    seed: OldSeed = None,
    competition: Annotated[
        str, typer.Option(help="comp3, or comp4: learned from other images, too.")
    ] = "comp3",
    overwrite: Overwrite = False,
) -> None:
    """Write stored detections as the PASCAL VOC devkit wants results: a file a class.

    Example: fstore detect export NAME results
    """
    from fstore.queries.detection.run import export_results
    from fstore.store.parts import Samples

    store = open_store(ctx)
    trained = find_detector(store, detector)
    names = [dataset] if dataset else learned_from(trained)
    if len(names) > 1:
        raise DataError("a results folder is of one data set; name it with --dataset")
    which = split_meant(ctx, store, names, split=split, seed=seed)
    chosen = Samples(names[0], "image", which.name, which.seed, part)
    for file in export_results(
        store, trained, chosen, folder=folder, competition=competition, overwrite=overwrite
    ):
        typer.echo(file)
