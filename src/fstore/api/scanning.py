"""Stored responses for Polars, and for engines that read files: ``store.scan``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

    from fstore.store import Store
    from fstore.store.frames import DataFile

__all__ = ["parquet_files", "scan"]

View = Literal["image", "gt", "proposal"]


def scan(
    store: "Store",
    layer: str,
    ckpt: str,
    dataset: str,
    *,
    view: View = "image",
    network: str | None = None,
    columns: Sequence[str] | None = None,
) -> "pl.LazyFrame":
    """Return a layer's stored responses as a lazy Polars frame, zeros as 0.

    Conditions on ``sample_id`` and ``channel``, and the choice of columns, are left to the files:
    what they rule out is not read. A frame holds the files that are committed now.

    Parameters
    ----------
    layer : str
    ckpt : str
        Checkpoint, as NAME or NETWORK/NAME.
    dataset : str
    view : {"image", "gt", "proposal"}
        Whole images, ground-truth boxes, or proposals.
    network : str or None
        Where several have a checkpoint of this name.
    columns : sequence of str or None
        Of the table ``activations``; None for all.

    Returns
    -------
    pl.LazyFrame
        A row a sample and channel, as the rows of ``activations`` in SQL.

    Raises
    ------
    UnknownNameError
        Nothing of that name is stored, or the table has no such column.
    """
    from fstore.store.export import find_files
    from fstore.store.frames import scan_files

    files = find_files(store, layer=layer, ckpt=ckpt, dataset=dataset, view=view, network=network)
    return scan_files(files, columns=columns)


def parquet_files(
    store: "Store",
    layer: str,
    ckpt: str,
    dataset: str,
    *,
    view: View = "image",
    network: str | None = None,
) -> "list[DataFile]":
    """Return a layer's committed files, for engines that read Parquet: Ray Data, Daft, Spark.

    In these files NULL stands for 0. :func:`fstore.store.frames.fill_zeros` puts the zeros back;
    ``fstore export --portable`` writes a copy that needs no such thing.

    Parameters
    ----------
    layer, ckpt, dataset, view, network
        As for :func:`scan`.

    Returns
    -------
    list of DataFile
        Each with ``uri`` and ``partition``, the values of columns that are not in the file.

    Raises
    ------
    UnknownNameError
        Nothing of that name is stored.
    """
    from fstore.store.export import find_files
    from fstore.store.frames import data_files

    files = find_files(store, layer=layer, ckpt=ckpt, dataset=dataset, view=view, network=network)
    return data_files(files)
