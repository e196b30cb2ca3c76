"""What pages about samples share: what they show, their parts, and which partition is looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.errors import UnknownNameError
from fstore.store.files import Partition

if TYPE_CHECKING:
    from fstore.explore.contents import Contents
    from fstore.explore.page import Asked

__all__ = [
    "Chosen",
    "by_image",
    "chosen",
    "corners",
    "parts",
    "sample_row",
    "shown_classes",
    "words",
]

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def sample_row(contents: "Contents", dataset: str, view: str, *, sample: int) -> dict[str, Any]:
    """Return a sample's row of table ``samples``.

    Raises
    ------
    UnknownNameError
    """
    row = contents.samples(dataset, view).get(sample)
    if row is None:
        raise UnknownNameError(f"no sample {sample} in view {view} of data set '{dataset}'")
    return row


def corners(row: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Return a row's box as ``xmin, ymin, xmax, ymax``, pixels from 1; None for a whole image."""
    box = row["box"]
    return None if box is None else tuple(float(box[k]) for k in CORNERS)


def shown_classes(
    contents: "Contents", dataset: str, view: str
) -> dict[int, tuple[tuple[str, int], ...]]:
    """Return what samples show, by id: pairs of a class and its label, in the data set's order.

    1 is shown, 0 only as a difficult object. Samples that show nothing are not in it.
    """
    tables = ("labels", "samples", "datasets")
    what = ("classes of samples", dataset, view)
    return contents.kept(what, tables, lambda: _shown_classes(contents, dataset, view))


def _shown_classes(
    contents: "Contents", dataset: str, view: str
) -> dict[int, tuple[tuple[str, int], ...]]:
    place = {name: i for i, name in enumerate(contents.dataset(dataset).classes)}
    own: dict[int, list[tuple[str, int]]] = {}
    for row in contents.store.labels(dataset, view).to_pylist():
        if row["label"] >= 0:
            own.setdefault(int(row["sample_id"]), []).append((row["class"], int(row["label"])))
    return {i: tuple(sorted(each, key=lambda pair: place[pair[0]])) for i, each in own.items()}


def words(classes: Sequence[tuple[str, int]]) -> str:
    """Say what a sample shows.

    Examples
    --------
    >>> words([("car", 1), ("dog", 0)])
    'car, dog (difficult)'
    """
    return ", ".join(name if label else f"{name} (difficult)" for name, label in classes)


def parts(contents: "Contents", dataset: str, view: str) -> dict[str, NDArray[np.int64]]:
    """Return the samples of each part of each split, ascending, by the name of the part.

    The names are those that ``--part`` takes: ``official:test``, ``random:0:train``.
    """
    tables = ("splits", "datasets")
    what = ("parts", dataset, view)
    return contents.kept(what, tables, lambda: _parts(contents, dataset, view))


def _parts(contents: "Contents", dataset: str, view: str) -> dict[str, NDArray[np.int64]]:
    from fstore.store.parts import sample_ids, splits_of, used_parts

    store = contents.store
    used = [
        samples
        for split in splits_of(store, dataset)
        for samples in used_parts(store, dataset, view=view, split=split)
    ]
    return {str(s.which): sample_ids(store, s, difficult=True) for s in used}


def by_image(contents: "Contents", dataset: str, view: str) -> dict[str, list[int]]:
    """Return a view's samples of each image, by the image's id; empty if there is no such view."""
    what = ("samples by image", dataset, view)
    return contents.kept(what, ("samples", "datasets"), lambda: _by_image(contents, dataset, view))


def _by_image(contents: "Contents", dataset: str, view: str) -> dict[str, list[int]]:
    own: dict[str, list[int]] = {}
    if view in contents.dataset(dataset).views:
        rows = contents.samples(dataset, view)
        for sample, image in zip(rows, rows.column("image_id"), strict=True):
            own.setdefault(image, []).append(sample)
    return own


# Which partition


@dataclass(frozen=True)
class Chosen:
    """The partition that a page looks at, and those that it might.

    Attributes
    ----------
    partition : Partition or None
        None where nothing is stored of the data set's view.
    networks, ckpts, layers : sequence of str
        What may be chosen: checkpoints of this network, layers of this checkpoint.
    note : str
        Says if another one was asked for, which is not stored.
    """

    partition: Partition | None
    networks: Sequence[str] = ()
    ckpts: Sequence[str] = ()
    layers: Sequence[str] = ()
    note: str = ""


def chosen(asked: "Asked", dataset: str, view: str) -> Chosen:
    """Return the partition of a view that the address asks for by network, checkpoint and layer.

    What the address leaves out is chosen: the checkpoint with most layers, of these the one that
    was registered last; of its layers the last that has maps.
    """
    stored = [p for p in asked.contents.partitions if (p.dataset, p.view) == (dataset, view)]
    if not stored:
        return Chosen(None)
    stored.sort(key=lambda p: _age(asked.contents).get((p.network, p.ckpt), -1))  # stable
    networks = list(dict.fromkeys(p.network for p in stored))
    usual = _most_layers(stored)
    network = _pick(asked.given.get("network"), networks, usual.network)
    own = [p for p in stored if p.network == network]
    ckpts = list(dict.fromkeys(p.ckpt for p in own))
    ckpt = _pick(asked.given.get("ckpt"), ckpts, _most_layers(own).ckpt)
    own = [p for p in own if p.ckpt == ckpt]
    maps = [p.layer for p in own if asked.contents.shape(p).positions > 1]
    layers = [p.layer for p in own]
    layer = _pick(asked.given.get("layer"), layers, (maps or layers)[-1])
    partition = Partition(network, ckpt, dataset, view, layer)
    return Chosen(partition, networks, ckpts, layers, _note(asked, partition))


def _pick(wanted: str | None, choices: Sequence[str], usual: str) -> str:
    return wanted if wanted is not None and wanted in choices else usual


def _note(asked: "Asked", partition: Partition) -> str:
    """Say what was asked for and is not stored."""
    wanted = {name: asked.given.get(name) for name in ("network", "ckpt", "layer")}
    other = [f"{n} '{v}'" for n, v in wanted.items() if v and v != partition.values[n]]
    if not other:
        return ""
    return f"Nothing is stored of {' and '.join(other)} here; this is of {partition}."


def _most_layers(stored: Sequence[Partition]) -> Partition:
    """Return a partition of the checkpoint with most layers; of equals of the last."""
    counts: dict[tuple[str, str], int] = {}
    for p in stored:
        counts[p.network, p.ckpt] = counts.get((p.network, p.ckpt), 0) + 1
    most = max(counts.values())
    return [p for p in stored if counts[p.network, p.ckpt] == most][-1]


def _age(contents: "Contents") -> dict[tuple[str, str], int]:
    """Return each checkpoint's place in the order of iterations and registration."""
    return contents.kept("age of checkpoints", ("checkpoints",), lambda: _ages(contents))


def _ages(contents: "Contents") -> dict[tuple[str, str], int]:
    from fstore.queries.studies.lineage import lineage

    records = [down.record for down in lineage(contents.store.checkpoints())]
    return {(r.network, r.name): i for i, r in enumerate(records)}
