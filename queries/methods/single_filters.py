"""Single filters as detectors of a class: curves and average precision."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["curve_rows", "label_aps"]


RECALLS = tuple(round(0.02 * i, 2) for i in range(51))


def curve_rows(
    X: "NDArray[np.float32]", Y: "NDArray[np.int8]", classes: Sequence[str], *, top: int
) -> list[dict[str, Any]]:
    """Return the points of the best filters' curves; see :func:`filter_curves`."""
    from fstore.queries.methods.filters import interpolated_precision

    ap_11, _ = label_aps(X, Y)
    rows: list[dict[str, Any]] = []
    for c, name in enumerate(classes):
        if np.isnan(ap_11[c]).any():
            continue
        counted = Y[:, c] != 0
        same = {"prior": float((Y[counted, c] > 0).mean()), "n": int(counted.sum())}
        for rank, i in enumerate(np.argsort(-ap_11[c], kind="stable")[:top], start=1):
            line = {"class": name, "rank": rank, "channel": int(i), "ap_11": float(ap_11[c, i])}
            values = interpolated_precision(X[:, i], Y[:, c], RECALLS)
            rows += [
                {**line, "recall": recall, "precision": float(value), **same}
                for recall, value in zip(RECALLS, values, strict=True)
            ]
    return rows


def label_aps(
    X: "NDArray[np.float32]", Y: "NDArray[np.int8]"
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return AP by class and filter; NaN for a class without a positive, but not for all."""
    from fstore.queries.methods.filters import single_filter_aps

    ap_11, ap_all = single_filter_aps(X, Y)
    if np.isnan(ap_11).all():
        raise DataError(f"no class has a positive among {len(X)} samples; take another part")
    return ap_11, ap_all
