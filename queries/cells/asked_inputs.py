"""What the store has of what an analysis reads, as its options say: partitions, samples, labels.

An option that an analysis does not have leaves all: it is asked too often then, never too seldom.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fstore.errors import UnknownNameError
from fstore.store.parts import Split

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.store.files import Partition, StoredFile

__all__ = ["described_inputs", "lacks_responses", "partitions_read", "texts_of"]

CKPTS = ("ckpt", "other")
"""Options that name checkpoints, as NAME or NETWORK/NAME."""

DATASETS = ("dataset", "other_dataset")
"""Options that name data sets."""


def texts_of(options: Mapping[str, Any], *names: str) -> list[str]:
    """Return the texts that some options have, each once; an option may have several or none.

    Parameters
    ----------
    options : mapping
        What an analysis is asked with.
    *names : str
        Of options.

    Examples
    --------
    >>> texts_of({"ckpt": ("5", "15"), "other": None, "layer": "fc"}, "ckpt", "other")
    ['5', '15']
    """
    values = (options.get(name) for name in names)
    several = [each for v in values for each in (v if isinstance(v, tuple) else (v,))]
    return list(dict.fromkeys(str(each) for each in several if each is not None))


def partitions_read(
    stored: "Mapping[Partition, Sequence[StoredFile]]", options: Mapping[str, Any]
) -> "list[Partition]":
    """Return the stored partitions that an analysis may read, sorted.

    Parameters
    ----------
    stored : mapping
        Of each partition its files.
    options : mapping
        What the analysis is asked with, all of it.
    """
    ckpts, datasets = texts_of(options, *CKPTS), texts_of(options, *DATASETS)
    layers, views = texts_of(options, "layer", "other_layer"), texts_of(options, "view")
    networks = texts_of(options, "network")
    found = [
        p
        for p in stored
        if (not ckpts or p.ckpt in ckpts or f"{p.network}/{p.ckpt}" in ckpts)
        and (not datasets or p.dataset in datasets)
        and (not layers or p.layer in layers)
        and (not views or p.view in views)
        and (not networks or p.network in networks)
    ]
    return sorted(found, key=str)


def lacks_responses(partitions: "Sequence[Partition]", options: Mapping[str, Any]) -> bool:
    """Whether a checkpoint or a layer that an analysis asks for has no responses there at all.

    Parameters
    ----------
    partitions : sequence of Partition
        Those that it may read.
    options : mapping
        What the analysis is asked with.
    """
    there = {p.ckpt for p in partitions} | {f"{p.network}/{p.ckpt}" for p in partitions}
    layers = {p.layer for p in partitions}
    return not (
        there.issuperset(texts_of(options, *CKPTS))
        and layers.issuperset(texts_of(options, "layer", "other_layer"))
    )


def described_inputs(
    store: "Store",
    stored: "Mapping[Partition, Sequence[StoredFile]]",
    options: Mapping[str, Any],
) -> dict[str, object]:
    """Return what an analysis depends on, as ``Inputs.described`` does for the paper's reports.

    Parameters
    ----------
    store : Store
    stored : mapping
        Of each partition its files.
    options : mapping
        What the analysis is asked with, all of it.
    """
    from fstore.store.versions import partition_version

    read = partitions_read(stored, options)
    names = {*texts_of(options, *DATASETS), *(p.dataset for p in read)}
    known = {info.name: info for info in store.datasets()}
    if absent := sorted(names.difference(known)):
        raise UnknownNameError(
            f"no data set '{absent[0]}'; there are: {', '.join(sorted(known)) or 'none'}",
            dataset=absent[0],
        )
    infos = [known[name] for name in sorted(names)]
    sums = {(r.network, r.name): r.sha256 for r in store.checkpoints()}
    ckpts = sorted({(p.network, p.ckpt) for p in read})
    return {
        "partitions": {str(p): partition_version(stored[p]) for p in read},
        "samples": {d.name: _hash([d.views, _splits(store, d.name, options)]) for d in infos},
        "labels": {d.name: _hash([d.task, d.classes, d.labels]) for d in infos},
        "weights": {"/".join(pair): sums.get(pair, "") for pair in ckpts},
    }


def _splits(store: "Store", dataset: str, options: Mapping[str, Any]) -> list[object]:
    """Return what is stored of the split that is asked for, in whatever order; none: of all."""
    split = Split.parse(options["split"]) if options.get("split") else None
    rows = [
        [row["view"], row["sample_id"], row["part"], row["split"], row["seed"]]
        for row in store.rows("splits", dataset=dataset).to_pylist()
        if split is None or (row["split"], row["seed"]) == (split.name, split.seed)
    ]
    return sorted(rows, key=str)


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
