"""The data sets that a store knows: their samples, labels and splits."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fstore import commands
from fstore.errors import IdentityError
from fstore.names import check_storable
from fstore.store.images import images_key, images_root
from fstore.store.locks import naming
from fstore.store.schema import TABLES
from fstore.store.tables import append_once, read_rows, replace_rows
from fstore.types import DatasetManifest, SampleRecord, ViewManifest

if TYPE_CHECKING:
    from fstore.store.place import Place
    from fstore.types import ImageFolder

__all__ = [
    "DatasetInfo",
    "add_dataset",
    "datasets",
    "hashes_of_rows",
    "manifest_hash",
    "sample_rows",
]


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """A registered data set; ``views``, ``labels`` map a view to the hash of its samples, labels.

    ``counts`` maps a view to its number of samples. ``proposals`` says how those of view
    ``proposal`` were found; empty where there are none, or where nobody noted it.
    """

    name: str
    format: str
    task: str
    classes: tuple[str, ...]
    root: "ImageFolder"
    views: dict[str, str]
    labels: dict[str, str]
    counts: dict[str, int]
    proposals: dict[str, Any]


def datasets(root: "Place") -> list[DatasetInfo]:
    """Return the registered data sets, by name."""
    rows = sorted(read_rows(root, "datasets").to_pylist(), key=lambda row: str(row["name"]))
    return [
        DatasetInfo(
            name=row["name"],
            format=row["format"],
            task=row["task"],
            classes=tuple(row["classes"]),
            root=images_root(root, row["name"], row["root"]),
            views={v["view"]: v["manifest"] for v in row["views"]},
            labels={v["view"]: v["labels"] for v in row["views"]},
            counts={v["view"]: v["samples"] for v in row["views"]},
            proposals=json.loads(row["proposals"]) if row["proposals"] else {},
        )
        for row in rows
    ]


def add_dataset(root: "Place", manifest: DatasetManifest) -> bool:
    """Register a data set, or add views and splits to one that is registered.

    Returns
    -------
    bool
        False if all of it was there already.

    Raises
    ------
    DataError
        The name cannot be stored.
    IdentityError
        The name stands for other files, boxes, labels or splits.
    """
    check_storable(manifest.name, "data set")
    with naming(root):
        return _add_dataset(root, manifest)


def _add_dataset(root: "Place", manifest: DatasetManifest) -> bool:
    registered = next((d for d in datasets(root) if d.name == manifest.name), None)
    if registered is not None:
        _check_same(root, registered, manifest)
    new = [v for v in manifest.views if registered is None or v.view not in registered.views]
    for view in new:
        where = {"dataset": manifest.name, "view": view.view}
        replace_rows(root, "samples", sample_rows(manifest.name, view), **where)
        replace_rows(root, "labels", _label_rows(manifest.name, view), **where)
        # What an interrupted registration left; the row in `datasets` is written last.
        replace_rows(root, "splits", _split_rows(manifest.name, view), **where)
    added = append_once(
        root,
        "splits",
        lambda: _missing_splits(root, manifest),
        key=f"splits:{manifest.name}",
    )
    row = _dataset_row(root, manifest, registered)
    moved = registered is not None and registered.root != images_root(
        root, registered.name, str(row["root"])
    )
    if registered is None or new or moved:
        replace_rows(root, "datasets", [row], name=manifest.name)
    return bool(new or added or moved)


def sample_rows(dataset: str, view: ViewManifest) -> pa.Table:
    """Return a view's samples as rows of table ``samples``; the place is the id."""
    rows = [
        {
            "dataset": dataset,
            "view": view.view,
            "sample_id": i,
            "image_id": s.image_id,
            "uri": s.uri,
            "digest": s.digest,
            "width": s.width,
            "height": s.height,
            "box": s.box and dict(zip(("xmin", "ymin", "xmax", "ymax"), s.box, strict=True)),
            "difficult": s.difficult,
        }
        for i, s in enumerate(view.samples)
    ]
    return pa.Table.from_pylist(rows, schema=TABLES["samples"].schema)


def manifest_hash(view: ViewManifest) -> str:
    """Sha256 over what activations depend on: files, their content, boxes; not labels."""
    return _hash_rows(view.samples, _sample_identity)


def labels_hash(view: ViewManifest) -> str:
    """Sha256 over the labels of a view's samples, in order."""
    return _hash_rows(view.samples, _label_identity)


def hashes_of_rows(
    rows: Sequence[Mapping[str, Any]], labels: Mapping[int, Mapping[str, int]]
) -> tuple[str, str]:
    """Return :func:`manifest_hash` and :func:`labels_hash` of what the tables hold of a view.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of table ``samples``, by ``sample_id``.
    labels : mapping
        ``sample_id`` -> class -> label.
    """
    samples = [
        SampleRecord(
            row["image_id"],
            row["uri"],
            row["digest"],
            0,
            0,
            labels.get(row["sample_id"], {}),
            box=row["box"] and tuple(row["box"].values()),
            difficult=row["difficult"],
        )
        for row in rows
    ]
    return _hash_rows(samples, _sample_identity), _hash_rows(samples, _label_identity)


def _label_identity(sample: SampleRecord) -> list[tuple[str, int]]:
    return sorted(sample.labels.items())


def _sample_identity(sample: SampleRecord) -> list[object]:
    box = None if sample.box is None else [float(x) for x in sample.box]
    return [sample.image_id, sample.uri, sample.digest, box, sample.difficult]


def _hash_rows(samples: Sequence[SampleRecord], part: Callable[[SampleRecord], object]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(json.dumps(part(sample)).encode() + b"\n")
    return digest.hexdigest()


def _dataset_row(
    root: "Place", manifest: DatasetManifest, registered: DatasetInfo | None
) -> dict[str, object]:
    views: dict[str, dict[str, object]] = {
        v.view: {
            "view": v.view,
            "samples": len(v.samples),
            "manifest": manifest_hash(v),
            "labels": labels_hash(v),
        }
        for v in manifest.views
    }
    if registered is not None:
        for view, samples in registered.views.items():
            kept = {"samples": registered.counts[view], "manifest": samples}
            views.setdefault(view, {"view": view, **kept, "labels": registered.labels[view]})
    key = images_key(root, manifest.copied or manifest.root)
    return {
        "name": manifest.name,
        "format": manifest.format,
        "task": manifest.task,
        "classes": list(manifest.classes),
        "root": str(manifest.root.resolve()) if key is None else key or ".",
        "views": list(views.values()),
        "registered_at": datetime.now(UTC),
        "proposals": json.dumps(registered.proposals)
        if registered and registered.proposals
        else None,
    }


def _label_rows(dataset: str, view: ViewManifest) -> list[dict[str, object]]:
    return [
        {"dataset": dataset, "view": view.view, "sample_id": i, "class": name, "label": label}
        for i, sample in enumerate(view.samples)
        for name, label in sample.labels.items()
    ]


def _split_rows(dataset: str, view: ViewManifest) -> list[dict[str, object]]:
    return [
        {
            "dataset": dataset,
            "view": view.view,
            "split": split.name,
            "seed": split.seed,
            "sample_id": i,
            "part": part,
        }
        for split in view.splits
        for i, part in enumerate(split.parts)
        if part is not None
    ]


def _missing_splits(root: "Place", manifest: DatasetManifest) -> list[dict[str, object]]:
    """Return the rows of splits that are not stored; a stored one must have the same parts."""
    stored: dict[tuple[str, str, int], dict[int, str]] = {}
    for view in manifest.views:
        for row in read_rows(root, "splits", dataset=manifest.name, view=view.view).to_pylist():
            key = (row["view"], row["split"], row["seed"])
            stored.setdefault(key, {})[row["sample_id"]] = row["part"]
    rows: list[dict[str, object]] = []
    for view in manifest.views:
        for split in view.splits:
            old = stored.get((view.view, split.name, split.seed))
            new = {i: part for i, part in enumerate(split.parts) if part is not None}
            if old is None:
                rows += _split_rows(manifest.name, replace(view, splits=(split,)))
            elif old != new:
                raise IdentityError(
                    f"data set '{manifest.name}', view {view.view}: split {split.name} with seed "
                    f"{split.seed} is registered with other parts; register it under another name"
                )
    return rows


def _check_same(root: "Place", registered: DatasetInfo, manifest: DatasetManifest) -> None:
    if registered.classes != manifest.classes or registered.task != manifest.task:
        raise IdentityError(
            f"data set '{registered.name}' is registered with {len(registered.classes)} classes "
            f"({registered.task}), the folder now has {len(manifest.classes)} ({manifest.task}); "
            "register it under another name, or first: "
            + commands.drop(root, {"dataset": registered.name})
        )
    for view in manifest.views:
        if view.view not in registered.views:
            continue
        if registered.views[view.view] != manifest_hash(view):
            where = _first_difference(root, manifest.name, view)
            raise IdentityError(
                _changed(
                    root,
                    registered.name,
                    f"view {view.view}, is registered with other samples{where}",
                )
            )
        if registered.labels[view.view] != labels_hash(view):
            raise IdentityError(
                _changed(
                    root, registered.name, f"view {view.view}, is registered with other labels"
                )
            )


def _changed(root: "Place", name: str, how: str) -> str:
    return (
        f"data set '{name}', {how}; register the folder under another name, or first: "
        + commands.drop(root, {"dataset": name})
    )


def _first_difference(root: "Place", name: str, view: ViewManifest) -> str:
    stored = read_rows(root, "samples", dataset=name, view=view.view).sort_by("sample_id")
    columns = ["image_id", "uri", "digest", "box", "difficult"]
    old = stored.select(columns).to_pylist()
    new = sample_rows(name, view).select(columns).to_pylist()
    for i, (a, b) in enumerate(zip(old, new, strict=False)):
        differ = [c for c in columns if a[c] != b[c]]
        if differ:
            parts = ", ".join("content" if c == "digest" else c for c in differ)
            return f": sample {i} ({b['uri']}) differs in {parts}"
    return f": {len(old)} samples then, {len(new)} now"
