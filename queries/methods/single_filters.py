"""Single filters as detectors of a class: curves and average precision."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["curve_rows", "ranked_filters"]


RECALLS = tuple(round(0.02 * i, 2) for i in range(51))


def ranked_filters(
    X: "NDArray[np.float32]", Y: "NDArray[np.int8]", classes: Sequence[str], *, top: int | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the best filters of each class: the class' column, and what is known of the filter.

    Classes without a positive are passed over. ``top`` None is all filters.

    Raises
    ------
    DataError
        No class has a positive.
    """
    from fstore.queries.methods.filters import single_filter_aps

    ap_11, ap_all = single_filter_aps(X, Y)
    if np.isnan(ap_11).all():
        raise DataError(f"no class has a positive among {len(X)} samples; take another part")
    for c, name in enumerate(classes):
        if np.isnan(ap_11[c]).any():
            continue
        counted = Y[:, c] != 0
        prior, n = float((Y[counted, c] > 0).mean()), int(counted.sum())
        for rank, i in enumerate(np.argsort(-ap_11[c], kind="stable")[:top], start=1):
            at_11, at_all = float(ap_11[c, i]), float(ap_all[c, i])
            row = {"class": name, "rank": rank, "channel": int(i), "ap_11": at_11, "ap_all": at_all}
            yield c, {**row, "prior": prior, "n": n}


def curve_rows(
    X: "NDArray[np.float32]", Y: "NDArray[np.int8]", classes: Sequence[str], *, top: int
) -> list[dict[str, Any]]:
    """Return the points of the best filters' curves: a row a filter and recall."""
    from fstore.queries.methods.filters import interpolated_precision

    rows: list[dict[str, Any]] = []
    for c, best in ranked_filters(X, Y, classes, top=top):
        line = {key: best[key] for key in ("class", "rank", "channel", "ap_11")}
        same = {key: best[key] for key in ("prior", "n")}
        values = interpolated_precision(X[:, best["channel"]], Y[:, c], RECALLS)
        rows += [
            {**line, "recall": recall, "precision": float(value), **same}
            for recall, value in zip(RECALLS, values, strict=True)
        ]
    return rows
