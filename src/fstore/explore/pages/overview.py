"""The first page: what is in the store, and where to look."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from fstore.errors import UnknownNameError
from fstore.explore.page import Asked, page
from fstore.store.files import ACTIVATIONS, Partition

if TYPE_CHECKING:
    from fstore.explore.contents import Contents
    from fstore.store import Store

__all__ = ["layers", "overview"]

THUMBNAILS = 10
RUNS = 12
NAMED = ("study", "network", "ckpt", "dataset", "view", "layers", "layer", "reports")
"""Parameters of runs that say what they were about."""


@page("/", template="overview.html", nav="Overview")
def overview(asked: Asked) -> dict[str, object]:
    """Show checkpoints, data sets, what is stored of each layer, and the last runs."""
    contents, store = asked.contents, asked.store
    tables = (ACTIVATIONS, "layers")
    return {
        "place": str(store.place),
        "trees": contents.kept("trees", ("checkpoints",), lambda: _trees(store)),
        "datasets": contents.kept("datasets", ("datasets", "samples"), lambda: _datasets(store)),
        "stored": contents.kept("stored", tables, lambda: _stored(contents)),
        "runs": contents.kept("last runs", ("runs",), lambda: _runs(store)),
    }


def _trees(store: "Store") -> dict[str, list[dict[str, Any]]]:
    """Return each network's checkpoints, in the order of the tree and with its branches."""
    from fstore.queries.studies.lineage import lineage

    trees: dict[str, list[dict[str, Any]]] = {}
    for down in lineage(store.checkpoints()):
        record = down.record
        trees.setdefault(record.network, []).append({"branch": down.branch, "record": record})
    return trees


def _datasets(store: "Store") -> list[dict[str, Any]]:
    """Return the data sets, each with ids of some images, spread over all of them."""
    told = []
    for info in store.datasets():
        ids = store.samples(info.name, "image", ["sample_id"])["sample_id"].to_pylist()
        step = max(1, len(ids) // THUMBNAILS)
        told.append({"info": info, "ids": ids[::step][:THUMBNAILS]})
    return told


@page("/layers", template="layers.html")
def layers(asked: Asked) -> dict[str, object]:
    """Show the layers that are stored of a checkpoint over a view of a data set."""
    contents = asked.contents
    key = (asked.text("network"), asked.text("ckpt"), asked.text("dataset"), asked.text("view"))
    rows = _groups(contents).get(key)
    if rows is None:
        raise UnknownNameError(f"nothing of {' '.join(key)} is stored")
    tables = (ACTIVATIONS, "layers")
    zeros = contents.kept(("zeros", key), tables, lambda: {p: _share(contents, p) for p, _ in rows})
    largest = max(row["bytes"] for _, row in rows)
    told = [
        {"partition": p, "row": row, "width": 9 * row["bytes"] / largest, "zeros": zeros[p]}
        for p, row in rows
    ]
    return {"key": key, "layers": told}


Group: TypeAlias = tuple[str, str, str, str]
"""A network, a checkpoint, a data set, a view."""


def _groups(contents: "Contents") -> dict[Group, list[tuple[Partition, dict[str, Any]]]]:
    groups: dict[Group, list[tuple[Partition, dict[str, Any]]]] = {}
    for p, row in contents.partitions.items():
        groups.setdefault((p.network, p.ckpt, p.dataset, p.view), []).append((p, row))
    return groups


def _stored(contents: "Contents") -> list[dict[str, Any]]:
    """Return what is stored, in short: an entry a group."""
    return [
        {"key": key, "n": len(rows), "bytes": sum(row["bytes"] for _, row in rows)}
        for key, rows in _groups(contents).items()
    ]


def _share(contents: "Contents", partition: Partition) -> float | None:
    """Return a partition's share; None where a file does not tell."""
    from fstore.store.totals import file_totals

    totals = [file_totals(f) for f in contents.store.files(**partition.values)]
    n_samples = sum(map(len, totals))
    if not all(totals) or not n_samples:
        return None
    shape = contents.shape(partition)
    nonzero = sum(sum(own.values()) for own in totals)
    return 1 - nonzero / (n_samples * shape.channels * shape.positions)


def _runs(store: "Store") -> Sequence[dict[str, Any]]:
    """Return the last runs, newest first."""
    from fstore.store.runs import listed_runs

    return [{**row, "about": _about(row)} for row in listed_runs(store)[:RUNS]]


def _about(run: Mapping[str, Any]) -> str:
    """Say in a few words what a run was about: the names among what it was asked."""
    if run["message"]:
        return str(run["message"])
    asked = {name: run["parameters"].get(name) for name in NAMED}
    return ", ".join(f"{name} {_text(value)}" for name, value in asked.items() if value)


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
