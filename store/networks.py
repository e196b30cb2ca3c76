"""What a store knows of networks: checkpoints, whose weights lie in the store, and layers."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fstore import commands
from fstore.errors import IdentityError, UnknownNameError
from fstore.names import check_storable, checkpoint_name, network_name, own_file
from fstore.store.commits import storage
from fstore.store.leases import working
from fstore.store.locks import naming
from fstore.store.place import inside
from fstore.store.tables import append_once, read_rows
from fstore.types import CheckpointRecord, LayerSpec

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = ["add_checkpoint", "add_layers", "checkpoints", "find_checkpoint", "weights_key"]


WEIGHTS, OLD_WEIGHTS = "weights", "checkpoints"
"""Folders of the weights; those of older stores lie beside the files of a table."""


def checkpoints(root: "Place", network: str | None = None) -> list[CheckpointRecord]:
    """Return the checkpoints, by network, iteration and name."""
    where = {} if network is None else {"network": network_name(network)}
    names = {f.name for f in fields(CheckpointRecord)}
    records = [
        CheckpointRecord(**{k: v for k, v in row.items() if k in names})
        for row in read_rows(root, "checkpoints", **where).to_pylist()
    ]
    return sorted(records, key=lambda r: (r.network, r.iteration or 0, r.name))


def find_checkpoint(root: "Place", name: str, network: str | None = None) -> CheckpointRecord:
    """Return one checkpoint by its name, or by ``network/name``.

    Raises
    ------
    UnknownNameError
        There is none, or several networks have one of that name (all are listed).
    """
    registered = checkpoints(root)
    name, network = checkpoint_name(name), None if network is None else network_name(network)
    exact = [
        r for r in registered if f"{r.network}/{r.name}" == name and network in (None, r.network)
    ]
    fitting = exact or [r for r in registered if r.name == name and network in (None, r.network)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(f"{r.network}/{r.name}" for r in fitting)
        raise UnknownNameError(
            f"checkpoint '{name}' is ambiguous: {names}; write one of these, or name the network"
        )
    names = ", ".join(f"{r.network}/{r.name}" for r in registered[-20:]) or "none yet"
    of = f" of network '{network}'" if network else ""
    raise UnknownNameError(f"no checkpoint '{name}'{of}; there are: {names}")


def add_checkpoint(root: "Place", record: CheckpointRecord, weights: Path) -> CheckpointRecord:
    """Move a safetensors file into the store and register it.

    Returns
    -------
    CheckpointRecord
        With ``uri`` set. Registering the same weights under the same name again is no error.

    Raises
    ------
    DataError
        The name cannot be stored.
    IdentityError
        The name stands for other weights or another preprocessing.
    StorageError
        The record of the same name names a file outside the store.
    """
    check_storable(record.name, "checkpoint")
    check_storable(f"{record.network}+{record.name}", "checkpoint, with its network,")
    with naming(root), working(root, f"add checkpoint {record.network}/{record.name}"):
        return _add_checkpoint(root, record, weights)


def _add_checkpoint(root: "Place", record: CheckpointRecord, weights: Path) -> CheckpointRecord:
    stored = _same_checkpoint(root, record)
    uri = f"{WEIGHTS}/{_file_name(record)}" if stored is None else stored.uri
    key = weights_key(root, replace(record, uri=uri))
    with storage("cannot store the checkpoint"):
        root.put(weights, key)  # the same bytes where it is there already
    if stored is not None:
        return stored
    row = {f.name: getattr(record, f.name) for f in fields(record) if f.name != "extra"}
    row |= {"uri": uri, "created_at": datetime.now(UTC)}

    def missing() -> list[dict[str, Any]]:
        return [] if _same_checkpoint(root, record) else [row]

    append_once(root, "checkpoints", missing, key=f"checkpoint:{record.network}/{record.name}")
    return find_checkpoint(root, f"{record.network}/{record.name}", record.network)


def weights_key(root: "Place", record: CheckpointRecord) -> str:
    """Return the key of a checkpoint's file.

    Raises
    ------
    StorageError
        The record names a file that is not among the store's checkpoints.
    """
    folder = OLD_WEIGHTS if record.uri.startswith(f"{OLD_WEIGHTS}/") else WEIGHTS
    row = f"checkpoint '{record.network}/{record.name}'"
    return inside(root, record.uri, table="checkpoints", row=row, folder=folder)


def _same_checkpoint(root: "Place", record: CheckpointRecord) -> CheckpointRecord | None:
    same_name = [r for r in checkpoints(root, record.network) if r.name == record.name]
    if not same_name:
        return None
    old = same_name[0]
    differ = [
        label
        for label, a, b in (
            ("weights", old.sha256, record.sha256),
            ("preprocessing", old.preprocessing_hash, record.preprocessing_hash),
        )
        if a != b
    ]
    if differ:
        raise IdentityError(
            f"checkpoint '{record.network}/{record.name}' is registered with other "
            f"{' and '.join(differ)}; use another --name, or first: "
            + commands.drop(root, {"network": record.network, "ckpt": record.name}, checkpoint=True)
        )
    return old


def _file_name(record: CheckpointRecord) -> str:
    from urllib.parse import quote

    folder = quote(record.network, safe="")
    return f"{folder}/{quote(record.name, safe='')}-{record.sha256[:12]}.safetensors"


def add_layers(root: "Place", network: str, specs: Sequence[LayerSpec]) -> None:
    """Record the taps of a network; one that is known must be the same.

    Raises
    ------
    IdentityError
        A layer's shape or the computation up to it changed.
    """
    for spec in specs:
        check_storable(spec.name, "layer")
    with naming(root):
        _add_layers(root, network, specs)


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _way_back(network: str, *, resized: bool) -> str:
    """Say how a changed network can be had beside what is stored of the former one."""
    path = own_file(network)
    if path is None:
        own_store = "at another input size, or changed, it needs a store of its own"
        return own_store if resized else "give the changed network another name"
    return (
        f"{path.name}, or a file that it imports, was edited since: undo that, or copy the changed "
        f"one to another name ({path.stem}_2.py) and import the weights for it"
    )


def _add_layers(root: "Place", network: str, specs: Sequence[LayerSpec]) -> None:
    def missing() -> list[dict[str, Any]]:
        recorded = {r["layer"]: r for r in read_rows(root, "layers", network=network).to_pylist()}
        for spec in specs:
            old = recorded.get(spec.name)
            if old is not None and old["definition"] != spec.definition:
                then = old["channels"], old["height"], old["width"]
                now = spec.channels, spec.height, spec.width
                raise IdentityError(
                    f"layer '{spec.name}' of network '{network}' was stored as "
                    f"{_by(then)} with another definition; "
                    + (f"now it is {_by(now)}; " if then != now else "")
                    + f"{_way_back(network, resized=then != now)}, or first: "
                    + commands.drop(root, {"network": network})
                )
        return [
            {
                "network": network,
                "layer": s.name,
                "channels": s.channels,
                "height": s.height,
                "width": s.width,
                "kind": s.kind,
                "order": s.order,
                "definition": s.definition,
            }
            for s in specs
            if s.name not in recorded
        ]

    append_once(root, "layers", missing, key=f"layers:{network}")
