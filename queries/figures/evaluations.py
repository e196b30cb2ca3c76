"""Tables and figures of an evaluation."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.detection.voc_eval import Evaluation
from fstore.queries.figures.precision_recall import curve_panels

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "CURVE_COLUMNS",
    "EVALUATION_COLUMNS",
    "MEAN",
    "curve_rows",
    "evaluation_rows",
    "plot_curves",
]

MEAN = "(mean)"

EVALUATION_COLUMNS = (
    "class", "ap_11", "ap_all", "objects", "difficult", "detections", "found",
)  # fmt: skip

CURVE_COLUMNS = ("class", "ap_11", "objects", "score", "recall", "precision")


def evaluation_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return a row a class and one of the means; keys :data:`EVALUATION_COLUMNS`.

    APs from 0 to 1, None for a class without objects, which is not in the mean. ``objects`` are
    not difficult, ``difficult`` are; ``found`` counts the objects that a detection is right about.
    """
    rows: list[dict[str, Any]] = [
        {
            "class": c.name,
            "ap_11": c.ap_11,
            "ap_all": c.ap_all,
            "objects": c.n_objects,
            "difficult": c.n_difficult,
            "detections": len(c.scores),
            "found": int((c.outcome > 0).sum()),
        }
        for c in evaluation.classes
    ]
    totals = {name: sum(row[name] for row in rows) for name in EVALUATION_COLUMNS[3:]}
    means = {"ap_11": evaluation.map_11, "ap_all": evaluation.map_all}
    return [*rows, {"class": MEAN, **means, **totals}]


def curve_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the points of every class's precision-recall curve; keys :data:`CURVE_COLUMNS`."""
    rows: list[dict[str, Any]] = []
    for evaluated in evaluation.classes:
        if evaluated.ap_11 is None:
            continue
        same = {"class": evaluated.name, "ap_11": evaluated.ap_11, "objects": evaluated.n_objects}
        curve = evaluated.curve
        points = zip(curve.scores, curve.recall, curve.precision, strict=True)
        columns = ("score", "recall", "precision")
        rows += [
            {**same, **dict(zip(columns, map(float, point), strict=True))} for point in points
        ] or [{**same, **dict.fromkeys(columns)}]
    return rows


def plot_curves(rows: Sequence[Mapping[str, Any]], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw precision against recall, a panel a class.

    Parameters
    ----------
    rows : sequence of mapping
        As from :func:`curve_rows`; at least one.
    title : str
    """
    points = [
        {
            "panel": f"{row['class']}: AP {100 * row['ap_11']:.1f} %, n = {row['objects']}",
            "line": row["class"],
            "x": row["recall"],
            "y": row["precision"],
            "ap": 100 * row["ap_11"],
        }
        for row in rows
    ]
    note = "AP at 11 recalls; n: objects to find, difficult ones left out."
    return curve_panels(points, title=title, of="Class", notes=[note])  # type: ignore[no-any-return]
