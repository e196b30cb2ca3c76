"""What to do about activations that are not as they should be: commands that work on the store.

A suggestion names what the store has. Where no command would help, the text says what is lacking.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fstore import commands
from fstore.errors import DataError, UnknownNameError
from fstore.store.derived import derived_layers, how_to_derive
from fstore.store.places import place_at

if TYPE_CHECKING:
    from fstore.store.catalog import DatasetInfo
    from fstore.store.files import Partition, StoredFile
    from fstore.store.store import Store
    from fstore.types import CheckpointRecord

__all__ = [
    "extract_command",
    "how_to_make",
    "how_to_replace",
    "no_view",
    "not_finite",
    "rectified",
    "weights_again",
]


def how_to_make(store: "Store", partition: "Partition", layers: Sequence[str] = ()) -> str:
    """Say how activations that are not stored are made, or what stands in the way.

    Parameters
    ----------
    store : Store
    partition : Partition
        Without a network the checkpoint may be that of any.
    layers : sequence of str
        Layers that are wanted in place of the partition's.

    Returns
    -------
    str
        ``make them with: fstore extract ...``; or that the checkpoint, the data set or its view
        is not there, which others there are, and how it is made if a command makes it.
    """
    try:
        dataset = store.dataset(partition.dataset)
        if partition.view not in dataset.views:
            return no_view(store, dataset, partition.view)
        record = store.find_checkpoint(partition.ckpt, partition.network or None)
    except UnknownNameError as error:
        return str(error)
    for layer in layers or [partition.layer]:
        derived = derived_layers(store.place, layer=layer)
        if source := next((s for (n, _), s in derived.items() if partition.network in (n, "")), ""):
            return how_to_derive(layer, source)
    names = layers or [partition.layer]
    same = [replace(partition, network=record.network, layer=name) for name in names]
    rectify = bool(rectified(store, same))
    command = extract_command(store.place, partition, layers, rectify=rectify)
    return f"make them with: {command}"


def rectified(store: "Store", partitions: Sequence["Partition"]) -> "set[Partition]":
    """Return those of the partitions whose layer and checkpoint are stored rectified.

    A layer of a checkpoint is so for all data sets or for none: extraction sees to that.
    """
    first: dict[tuple[str, str, str], StoredFile] = {}
    for file in store.files():
        p = file.partition
        first.setdefault((p.network, p.ckpt, p.layer), file)
    files = {p: first.get((p.network, p.ckpt, p.layer)) for p in partitions}
    return {p for p, file in files.items() if file is not None and file.is_rectified}


def no_view(store: "Store", dataset: "DatasetInfo", view: str) -> str:
    """Say that a data set has no such view, which it has, and how it gets proposals."""
    has = f"it has: {', '.join(dataset.views)}"
    if view == "proposal" and "image" in dataset.views:
        find = commands.proposals(store.place, dataset=dataset.name)
        return f"data set '{dataset.name}' has no view '{view}'; {has}; find proposals with: {find}"
    boxes = "; it has no boxes" if view == "gt" else ""
    return f"data set '{dataset.name}' has no view '{view}'{boxes}; {has}"


def extract_command(
    root: commands.Where,
    partition: "Partition",
    layers: Sequence[str] = (),
    *,
    precision: str | None = None,
    rectify: bool = False,
) -> str:
    """Return the command that makes a partition, or the given layers beside it.

    Without a network in the partition the checkpoint stands alone.
    """
    name = "/".join(part for part in (partition.network, partition.ckpt) if part)
    return commands.extract(
        root,
        layers=layers or [partition.layer],
        ckpts=[name],
        dataset=partition.dataset,
        view=partition.view,
        precision=precision,
        rectify=rectify,
    )


def how_to_replace(
    root: commands.Where,
    partition: "Partition",
    *,
    precision: str | None = None,
    rectify: bool = False,
    yes: bool = False,
) -> str:
    """Return the commands that remove a partition and, that done, extract it again.

    Parameters
    ----------
    root : Place or None
        The store.
    partition : Partition
    precision : str or None
        What stored values are rounded to then.
    rectify : bool
        Whether negative responses are stored as 0 then.
    yes : bool
        Remove it without asking.
    """
    drop = commands.drop(root, partition.values, yes=yes)
    key = (partition.network, partition.layer)
    derived = {} if root is None else derived_layers(place_at(str(root)), layer=partition.layer)
    if key in derived:
        return f"{drop}, and then: {how_to_derive(partition.layer, derived[key])}"
    again = extract_command(root, partition, precision=precision, rectify=rectify)
    return f"{drop} && {again}"


def not_finite(store: "Store", partition: "Partition", *, sample: int, channel: int) -> DataError:
    """Return the error that names a response which is no number, and how to replace it."""
    rectify = bool(rectified(store, [partition]))
    replaced = how_to_replace(store.place, partition, rectify=rectify)
    return DataError(
        f"{partition}: responses are NaN or infinite, one of them that of sample {sample}, "
        f"channel {channel}; use another checkpoint, or replace them: {replaced}"
    )


def weights_again(root: commands.Where, record: "CheckpointRecord") -> str:
    """Say how the weights of a checkpoint can be had again when their file is lost or damaged."""
    network, name = record.network, record.name
    try:
        about = dict(json.loads(record.recipe))
    except (ValueError, TypeError):
        about = {}
    copy, own = "restore the file from a copy", _stated(about.get("preprocess"))
    if about.get("kind") == "init":
        seed = int(about.get("seed", 0))
        again = commands.ckpt_init(
            root, network=network, name=name, seed=seed, options={"preprocess": own}
        )
        return f"{copy}, or draw them again (with --classes, if it was given): {again}"
    if about.get("kind") == "import":
        key = {"key": about.get("key"), "preprocess": own}
        file = str(about.get("file", "FILE"))
        again = commands.ckpt_import(root, file, network=network, name=name, options=key)
        return f"{copy}, or import them again (with --mean, if it was given): {again}"
    drop = commands.drop(root, {"network": network, "ckpt": name}, checkpoint=True)
    return f"{copy}, or drop the checkpoint and train it again: {drop}"


def _stated(options: object) -> str | None:
    """Return fields of preprocessing as ``--preprocess`` takes them; None where there are none."""
    if not isinstance(options, dict) or not options:
        return None

    def text(value: object) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return ",".join(map(text, value)) if isinstance(value, list) else str(value)

    return ",".join(f"{name}={text(value)}" for name, value in options.items())
