"""The samples of a view as pictures, a hundred at a time: look before you compute."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import UnknownNameError
from fstore.explore.page import Asked, page
from fstore.explore.views import parts, shown_classes, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fstore.explore.contents import Contents
    from fstore.store.catalog import DatasetInfo

__all__ = ["images"]

A_PAGE = 100


@page("/images", template="images.html", nav="Images")
def images(asked: Asked) -> dict[str, object]:
    """Show a hundred samples of a view: all, or those of a class, of a part."""
    datasets = {info.name: info for info in asked.store.datasets()}
    if not datasets:
        return {"info": None}
    info = _dataset(asked, datasets)
    view = asked.one_of("view", tuple(info.views))
    ids = _wanted(asked, info, view)
    last = max(0, (len(ids) - 1) // A_PAGE)
    number = min(max(asked.number("page", 1), 1) - 1, last)
    of_page = ids[number * A_PAGE : (number + 1) * A_PAGE]
    return {
        "info": info,
        "datasets": list(datasets),
        "view": view,
        "of_class": asked.given.get("class", ""),
        "label": asked.one_of("label", LABELS),
        "labels": LABELS,
        "of_part": asked.given.get("part", ""),
        "parts": list(parts(asked.contents, info.name, view)),
        "number": number + 1,
        "last": last + 1,
        "first": number * A_PAGE + 1,
        "n": len(ids),
        "samples": _samples(asked.contents, info.name, view, of_page),
    }


LABELS = ("shown", "difficult", "absent")
"""What a class may be to a sample: its labels 1, 0 and -1."""


def _dataset(asked: Asked, datasets: "dict[str, DatasetInfo]") -> "DatasetInfo":
    name = asked.text("dataset", next(iter(datasets)))
    if name not in datasets:
        raise UnknownNameError(f"no data set '{name}'; there are: {', '.join(datasets)}")
    return datasets[name]


def _wanted(asked: Asked, info: "DatasetInfo", view: str) -> "NDArray[np.int64]":
    """Return the samples that the address asks for, ascending."""
    contents = asked.contents
    ids = contents.samples(info.name, view).ids
    if part := asked.given.get("part"):
        own = parts(contents, info.name, view)
        if part not in own:
            raise UnknownNameError(
                f"data set '{info.name}', view {view}, has no part '{part}'; it has: "
                + (", ".join(own) or "no split")
            )
        ids = np.intersect1d(ids, own[part])
    if name := asked.given.get("class"):
        if name not in info.classes:
            raise UnknownNameError(f"data set '{info.name}' has no class '{name}'")
        label = 1 - LABELS.index(asked.one_of("label", LABELS))
        shown = shown_classes(contents, info.name, view)
        ids = ids[[dict(shown.get(i, ())).get(name, -1) == label for i in ids.tolist()]]
    return ids


def _samples(
    contents: "Contents", dataset: str, view: str, ids: "NDArray[np.int64]"
) -> list[dict[str, Any]]:
    rows, shown = contents.samples(dataset, view), shown_classes(contents, dataset, view)
    return [{"id": i, "row": rows[i], "words": words(shown.get(i, ()))} for i in ids.tolist()]
