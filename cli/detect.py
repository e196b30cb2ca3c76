"""``fstore detect``: find objects in a picture; list detectors. Others: ``cli/detectors.py``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fstore.cli.app import HELP_OPTIONS, Group, app, open_store
from fstore.cli.commands import Program
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from fstore.queries.detection.detector import Detector
    from fstore.store import Store

__all__ = ["Pictures", "detect", "find_detector", "learned_from"]

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm")


class Pictures(Group):
    """A group whose command ``image`` need not be named: ``fstore detect photo.jpg`` is enough."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own
        """Put ``image`` in front of words that name a picture and start with no command."""
        if args and args[0] not in self.commands and any(_is_picture(word) for word in args):
            args = ["image", *args]
        return super().parse_args(ctx, args)


def _is_picture(word: str) -> bool:
    return word.lower().endswith(PICTURES) or Path(word).is_file()


detect = Program(
    cls=Pictures,
    name="detect",
    help="Find objects in a picture (fstore detect IMAGE); train, evaluate, export detectors.",
    no_args_is_help=True,
    context_settings=HELP_OPTIONS,
    rich_markup_mode=None,
)
app.add_typer(detect, name="detect")

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
MaxIou = Annotated[
    float, typer.Option(min=0, max=1, help="Boxes that overlap a better one by more are dropped.")
]


@detect.command("image")
def image(
    ctx: typer.Context,
    picture: Annotated[Path, typer.Argument(metavar="IMAGE", help="JPEG, PNG, ...")],
    *,
    detector: Annotated[
        str, typer.Option(help="See fstore detect list. Default: the only one.")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", "--plot", help="Draw the boxes on the picture; print this path."),
    ] = None,
    overwrite: Overwrite = False,
    min_score: Annotated[float, typer.Option(help="Boxes that score less are not shown.")] = 0,
    max_iou: MaxIou = 0.3,
    limit: Annotated[int, typer.Option(min=1, help="Boxes of a class at most.")] = 100,
    method: Annotated[
        str, typer.Option(help="Of the proposals. Default: as those that were learned from.")
    ] = "",
    max_proposals: Annotated[
        int | None, typer.Option(min=1, help="Default: as those that were learned from.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Find objects in a picture; the word image may be left out.

    Example: fstore detect photo.jpg --out found.png
    """
    from fstore.queries.detection.scoring import Keep
    from fstore.workflows.detect import DETECTION_COLUMNS, Search, detect_image, searched_how

    store = open_store(ctx)
    trained = find_detector(store, detector)
    if out is not None:
        _check_drawing(out, overwrite=overwrite)
    usual = searched_how(store, trained.record["trained_on"][0]["dataset"])
    search = Search(method or usual.method, max_proposals or usual.max_proposals)
    keep = Keep(max_iou=max_iou, per_image=limit)
    all_rows = detect_image(store, trained, picture, search=search, keep=keep, device=device)
    rows = [row for row in all_rows if row["score"] >= min_score]
    if not rows and not ctx.obj["quiet"]:
        best = all_rows[0]
        note(
            f"no box scores {min_score:g} or more, the best is a {best['class']} with "
            f"{best['score']:.2f}; lower --min-score to see it"
        )
    if out is None or as_json or as_csv:
        emit(rows, columns=DETECTION_COLUMNS, as_json=as_json, as_csv=as_csv)
    if out is not None:
        _draw(picture, rows, trained, out=out)
        (note if as_json or as_csv else typer.echo)(str(out))


def _check_drawing(out: Path, *, overwrite: bool) -> None:
    if out.suffix.lower() not in PICTURES:
        raise DataError(f"cannot draw to '{out}'; its name must end in .png, .jpg or the like")
    if out.exists() and not overwrite:
        raise DataError(f"{out} exists; choose another name, or add --overwrite")


def _draw(
    picture: Path, rows: Sequence[Mapping[str, Any]], detector: "Detector", *, out: Path
) -> None:
    from fstore.store.commits import storage
    from fstore.workflows.detect import draw_detections, open_image

    drawn = draw_detections(open_image(picture), rows, detector.classes)
    with storage(f"cannot write {out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        drawn.save(out)


LIST_COLUMNS = (
    "detector", "network", "ckpt", "layer", "ablation", "trained_on", "images", "classes",
    "trained_at",
)  # fmt: skip


@detect.command("list")
def list_(ctx: typer.Context, *, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List the detectors of the store: features, training images, classes.

    Example: fstore detect list
    """
    from fstore.queries.detection.detector import detector_names, load_detector

    store = open_store(ctx)
    rows = (_listed(load_detector(store, name)) for name in detector_names(store))
    emit(rows, columns=LIST_COLUMNS, as_json=as_json, as_csv=as_csv)


def _listed(detector: "Detector") -> dict[str, Any]:
    return {
        "detector": detector.name,
        **{key: getattr(detector, key) for key in ("network", "ckpt", "layer", "ablation")},
        "trained_on": ", ".join(
            dict.fromkeys(f"{p['dataset']} {p['part']}" for p in detector.record["trained_on"])
        ),
        "images": detector.record["n_images"],
        "classes": len(detector.classes),
        "trained_at": detector.record["trained_at"],
    }


def find_detector(store: "Store", name: str) -> "Detector":
    """Return the detector of a name, or the only one.

    Raises
    ------
    UnknownNameError
        There is none, or several and no name.
    """
    from fstore.queries.detection.detector import detector_names, how_to_train, load_detector

    names = detector_names(store)
    if not name and len(names) > 1:
        raise UnknownNameError(f"there are several detectors, name one: {', '.join(names)}")
    if not name and not names:
        raise UnknownNameError(f"no detector is trained yet; train one with: {how_to_train(store)}")
    return load_detector(store, name or names[0])


def learned_from(detector: "Detector") -> list[str]:
    """Return the data sets that a detector was trained on."""
    return list(dict.fromkeys(p["dataset"] for p in detector.record["trained_on"]))
