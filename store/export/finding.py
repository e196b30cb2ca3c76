"""Find what is stored by the names that a user gives."""

from typing import TYPE_CHECKING

from fstore import commands
from fstore.errors import UnknownNameError
from fstore.names import check_texts, checkpoint_name, network_name
from fstore.store.files import Partition, StoredFile
from fstore.store.remedies import how_to_make, no_view

if TYPE_CHECKING:
    from fstore.store.store import Store

__all__ = ["find_files", "find_partition", "select_files"]


def find_partition(
    store: "Store",
    *,
    layer: str,
    ckpt: str,
    dataset: str,
    view: str = "image",
    network: str | None = None,
) -> Partition:
    """Return the one stored partition that fits; see :func:`find_files`."""
    files = find_files(store, layer=layer, ckpt=ckpt, dataset=dataset, view=view, network=network)
    return files[0].partition


def find_files(
    store: "Store",
    *,
    layer: str,
    ckpt: str,
    dataset: str,
    view: str = "image",
    network: str | None = None,
) -> list[StoredFile]:
    """Return the files, at least one, of the one stored partition that fits.

    Raises
    ------
    DataError
        A name is no text.
    UnknownNameError
        None fits, or checkpoints of several networks do (all are listed).
    """
    check_texts(layer=layer, ckpt=ckpt, dataset=dataset, view=view, network=network)
    ckpt, network = checkpoint_name(ckpt), None if network is None else network_name(network)
    where = {"layer": layer, "dataset": dataset, "view": view}
    files = store.files(**where)
    stored = {file.partition for file in files}
    names = {ckpt, *([f"{network}/{ckpt}"] if network else [])}
    fit = sorted(
        p
        for p in stored
        if (p.ckpt in names or f"{p.network}/{p.ckpt}" in names) and network in (None, p.network)
    )
    if len(fit) == 1:
        return [file for file in files if file.partition == fit[0]]
    info = store.dataset(dataset)  # what is not stored may not be registered
    if view not in info.views:
        raise UnknownNameError(no_view(store, info, view), dataset=dataset)
    if fit:
        candidates = ", ".join(f"{p.network}/{p.ckpt}" for p in fit)
        raise UnknownNameError(
            f"checkpoint '{ckpt}' is ambiguous: {candidates}; write one of these"
        )
    ckpts = ", ".join(sorted({f"{p.network}/{p.ckpt}" for p in stored}))
    others = f"those of {ckpts}" if ckpts else "none"
    raise UnknownNameError(
        f"no activations of layer '{layer}' for checkpoint '{ckpt}' and {dataset}.{view}; "
        f"of this layer there are {others}; "
        + how_to_make(store, Partition(network or "", ckpt, dataset, view, layer))
    )


def select_files(
    store: "Store",
    *,
    layer: str = "",
    ckpt: str = "",
    dataset: str = "",
    view: str = "",
    network: str = "",
) -> list[StoredFile]:
    """Return the files, at least one, of all stored partitions that fit; an empty name fits all.

    Raises
    ------
    UnknownNameError
        None fits. It says which name nothing is stored of, or that no partition has all of them.
    """
    network, ckpt = network and network_name(network), ckpt and checkpoint_name(ckpt)
    equal = {"network": network, "dataset": dataset, "view": view, "layer": layer}
    wanted = {column: value for column, value in equal.items() if value}
    files = store.files()
    fit = [
        file
        for file in files
        if wanted.items() <= file.partition.values.items()
        and ckpt in ("", file.partition.ckpt, f"{file.partition.network}/{file.partition.ckpt}")
    ]
    if fit:
        return fit
    stored = {file.partition for file in files}
    for column, value in wanted.items():
        values = sorted({p.values[column] for p in stored})
        if value not in values:
            raise UnknownNameError(
                f"nothing is stored of {column} '{value}'; there are: {', '.join(values) or 'none'}"
            )
    ckpts = sorted({f"{p.network}/{p.ckpt}" for p in stored})
    if ckpt and not any(ckpt in (name, name.rpartition("/")[2]) for name in ckpts):
        raise UnknownNameError(
            f"nothing is stored of checkpoint '{ckpt}'; there are: {', '.join(ckpts) or 'none'}"
        )
    raise UnknownNameError(
        "no partition that is stored has all of the given names; see what there is: "
        + commands.status(store.place)
        if stored
        else "no activations are stored yet"
    )
