"""The view ``proposal`` of a data set: its rows in four tables, all there or none."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fstore import commands
from fstore.errors import IdentityError
from fstore.store import catalog
from fstore.store.locks import naming
from fstore.store.schema import TABLES
from fstore.store.tables import append_once, read_columns, read_rows, replace_rows

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = [
    "VIEW",
    "Overlaps",
    "Proposals",
    "add_proposals",
    "hide_proposals",
    "inherit_splits",
    "manifest_hash",
]

VIEW = "proposal"


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Which proposals meet which ground-truth boxes.

    Attributes
    ----------
    proposal : array of shape (n,), int64
        ``sample_id`` in view ``proposal``.
    gt : array of shape (n,), int64
        ``sample_id`` in view ``gt``.
    iou : array of shape (n,)
        Above 0.
    """

    proposal: NDArray[np.int64]
    gt: NDArray[np.int64]
    iou: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Proposals:
    """Proposals of some images of a data set, in the order of their sample ids.

    Attributes
    ----------
    images : array of shape (n_images,), int64
        ``sample_id`` in view ``image`` of each image that was searched, ascending.
    counts : array of shape (n_images,), int64
        Proposals of each, at least 1.
    boxes : array of shape (n, 4), float64
        Image after image, in each the best first: a box's place is its ``sample_id``.
    """

    images: NDArray[np.int64]
    counts: NDArray[np.int64]
    boxes: NDArray[np.float64]


def manifest_hash(root: "Place", dataset: str, proposals: Proposals) -> str:
    """Return the sha256 over files, their content, and boxes in order: what activations see."""
    rows = _images(root, dataset, proposals, columns=["image_id", "uri", "digest"]).to_pylist()
    return _hash(rows, proposals.counts.tolist(), proposals.boxes)


def hash_of_rows(samples: pa.Table) -> str:
    """Return :func:`manifest_hash` of what table ``samples`` holds, rows by ``sample_id``."""
    names = samples["image_id"].to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.r_[len(names) > 0, names[1:] != names[:-1]])
    counts = np.diff(np.r_[starts, len(names)])
    sides = samples["box"].combine_chunks().flatten()
    boxes = np.column_stack([side.to_numpy() for side in sides])
    rows = samples.select(["image_id", "uri", "digest"]).take(starts).to_pylist()
    return _hash(rows, counts.tolist(), boxes)


def _hash(rows: Sequence[Mapping[str, Any]], counts: Sequence[int], X: NDArray[np.float64]) -> str:
    """Hash images, each with its number of boxes, and their boxes, X of shape (n, 4)."""
    digest = hashlib.sha256()
    start = 0
    for row, count in zip(rows, counts, strict=True):
        boxes = X[start : start + count]
        text = json.dumps([row["image_id"], row["uri"], row["digest"], count])
        digest.update(text.encode() + b"\n")
        digest.update(np.ascontiguousarray(boxes, dtype="<f8").tobytes())
        start += count
    return digest.hexdigest()


def add_proposals(
    root: "Place",
    dataset: str,
    proposals: Proposals,
    *,
    overlaps: Overlaps,
    found_how: Mapping[str, Any] | None = None,
) -> bool:
    """Register a data set's proposals: samples, splits, overlaps, then the view itself.

    Until the last step the view is not there; a call that was cut off is completed by the next.

    Parameters
    ----------
    root : Place
        The store.
    dataset : str
        A registered data set.
    proposals : Proposals
    overlaps : Overlaps
    found_how : mapping or None
        How they were found, in types that JSON knows; what was noted first of the same boxes stays.

    Returns
    -------
    bool
        False if the same proposals were there already; splits that came since are added then.

    Raises
    ------
    IdentityError
        The data set has other proposals.
    """
    with naming(root):
        return _add(root, dataset, proposals, overlaps=overlaps, found_how=found_how)


def _add(
    root: "Place",
    dataset: str,
    proposals: Proposals,
    *,
    overlaps: Overlaps,
    found_how: Mapping[str, Any] | None,
) -> bool:
    manifest = manifest_hash(root, dataset, proposals)
    info = _known(root, dataset)
    if VIEW in info.views:
        if info.views[VIEW] != manifest:
            raise IdentityError(other_proposals(root, dataset))
        inherit_splits(root, dataset)
        if found_how and not info.proposals:
            _register(
                root,
                dataset,
                {"samples": info.counts[VIEW], "manifest": manifest},
                found_how=found_how,
            )
        return False
    where = {"dataset": dataset, "view": VIEW}
    replace_rows(root, "samples", _samples(root, dataset, proposals), **where)
    replace_rows(root, "splits", [], **where)  # what a call that was cut off left
    inherit_splits(root, dataset)
    replace_rows(root, "overlaps", _overlaps(root, dataset, overlaps), dataset=dataset)
    _register(
        root, dataset, {"samples": len(proposals.boxes), "manifest": manifest}, found_how=found_how
    )
    return True


def other_proposals(root: "Place", dataset: str) -> str:
    """Say that a data set has other proposals, and how to make room."""
    first = commands.drop(root, {"dataset": dataset, "view": VIEW})
    return (
        f"data set '{dataset}' has other proposals already; to replace them, first: {first} "
        "(activations of them go, too)"
    )


def hide_proposals(root: "Place", dataset: str) -> None:
    """Take a data set's view ``proposal`` off its entry, so that nobody finds it any more."""
    with naming(root):
        if any(d.name == dataset and VIEW in d.views for d in catalog.datasets(root)):
            _register(root, dataset, None)


def inherit_splits(root: "Place", dataset: str) -> int:
    """Give proposals the part of their image in every split that they have no part in yet.

    Returns
    -------
    int
        Rows added.
    """

    def missing() -> pa.Table:
        mine = read_columns(root, "samples", ["sample_id", "image_id"], dataset=dataset, view=VIEW)
        images = read_columns(
            root, "samples", ["sample_id", "image_id"], dataset=dataset, view="image"
        )
        theirs = read_rows(root, "splits", dataset=dataset, view="image")
        inherited = _kinds(read_rows(root, "splits", dataset=dataset, view=VIEW))
        new = [kind for kind in _kinds(theirs) if kind not in inherited]
        return _split_rows(dataset, mine, images, splits=theirs, wanted=new)

    with naming(root):
        return append_once(root, "splits", missing, key=f"splits:{dataset}:{VIEW}")


def _kinds(splits: pa.Table) -> list[tuple[str, int]]:
    """Name and seed of each split."""
    rows = splits.group_by(["split", "seed"]).aggregate([]).to_pylist()
    return sorted((row["split"], row["seed"]) for row in rows)


def _split_rows(
    dataset: str,
    samples: pa.Table,
    images: pa.Table,
    *,
    splits: pa.Table,
    wanted: Sequence[tuple[str, int]],
) -> pa.Table:
    """Rows of table ``splits`` for samples, from those of their images."""
    samples = samples.sort_by("sample_id")
    place = pc.index_in(samples["image_id"], images["image_id"])
    tables = [TABLES["splits"].schema.empty_table()]
    for split, seed in wanted:
        mask = pc.and_(pc.equal(splits["split"], split), pc.equal(splits["seed"], seed))
        chosen = splits.filter(mask)
        at = pc.index_in(images["sample_id"], chosen["sample_id"]).take(place)
        table = pa.table({"sample_id": samples["sample_id"], "part": chosen["part"].take(at)})
        table = table.filter(pc.is_valid(table["part"]))
        fixed = {"dataset": dataset, "view": VIEW, "split": split, "seed": seed}
        tables.append(_with_constants("splits", table, fixed))
    return pa.concat_tables(tables)


def _images(
    root: "Place", dataset: str, proposals: Proposals, *, columns: Sequence[str]
) -> pa.Table:
    """Return columns of the searched images, one row an image."""
    rows = read_columns(root, "samples", ["sample_id", *columns], dataset=dataset, view="image")
    return rows.sort_by("sample_id").take(proposals.images).select(list(columns))


def _samples(root: "Place", dataset: str, proposals: Proposals) -> pa.Table:
    columns = ["image_id", "uri", "digest", "width", "height"]
    repeated = np.repeat(np.arange(len(proposals.images)), proposals.counts)
    table = _images(root, dataset, proposals, columns=columns).take(repeated)
    names = ("xmin", "ymin", "xmax", "ymax")
    sides = [pa.array(np.ascontiguousarray(proposals.boxes[:, i])) for i in range(4)]
    table = table.append_column("sample_id", pa.array(np.arange(len(repeated))))
    table = table.append_column("box", pa.StructArray.from_arrays(sides, names=names))
    return _with_constants("samples", table, {"dataset": dataset, "view": VIEW, "difficult": False})


def _overlaps(root: "Place", dataset: str, overlaps: Overlaps) -> pa.Table:
    labels = read_columns(root, "labels", ["sample_id", "class"], dataset=dataset, view="gt")
    gt = pa.array(overlaps.gt)
    table = pa.table(
        {
            "sample_id": pa.array(overlaps.proposal),
            "gt_sample_id": gt,
            "class": labels["class"].take(pc.index_in(gt, labels["sample_id"])),
            "iou": pa.array(overlaps.iou.astype(np.float32)),
        }
    )
    return _with_constants("overlaps", table, {"dataset": dataset})


def _with_constants(name: str, table: pa.Table, constants: Mapping[str, Any]) -> pa.Table:
    """Add columns of one value each; return all in the order and of the types of a table."""
    schema = TABLES[name].schema
    for column, value in constants.items():
        scalar = pa.scalar(value, type=schema.field(column).type)
        table = table.append_column(column, pa.repeat(scalar, table.num_rows))
    return table.select(schema.names).cast(schema)


def _known(root: "Place", dataset: str) -> "catalog.DatasetInfo":
    return next(d for d in catalog.datasets(root) if d.name == dataset)


def _register(
    root: "Place",
    dataset: str,
    view: Mapping[str, object] | None,
    *,
    found_how: Mapping[str, Any] | None = None,
) -> None:
    """Write the data set's entry with the view and how it was found, or without it."""
    (row,) = read_rows(root, "datasets", name=dataset).to_pylist()
    views = [v for v in row["views"] if v["view"] != VIEW]
    if view is not None:
        none = hashlib.sha256().hexdigest()  # labels come from overlaps when they are asked for
        views.append({"view": VIEW, "labels": none, **view})
    noted = json.dumps(found_how) if found_how else None
    row |= {"views": views, "registered_at": datetime.now(UTC), "proposals": noted}
    replace_rows(root, "datasets", [row], name=dataset)
