"""Stored responses for training in torch: ``store.loader``."""

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from fstore.errors import DataError

if TYPE_CHECKING:
    from fstore.api.contents import Options
    from fstore.api.torch_loader import Loader
    from fstore.store import Store

__all__ = ["loader"]


def loader(
    store: "Store",
    layer: str,
    ckpt: str,
    dataset: str,
    *,
    view: Literal["image", "gt", "proposal"] = "image",
    network: str | None = None,
    split: str | None = None,
    part: Literal["train", "val", "test", "trainval"] | None = None,
    batch_size: int = 64,
    shuffle: bool = True,
    seed: int = 0,
    buffer: int | None = None,
    drop_last: bool = False,
    labels: bool = True,
    pool: Literal["mean", "max"] | None = None,
    difficult: bool = False,
    bits: bool = False,
    rank: int | None = None,
    world_size: int | None = None,
) -> "Loader":
    """Return batches of a layer's stored responses, as a torch ``IterableDataset``.

    Files are read in random order, each once an epoch; a buffer of samples mixes them. Several
    workers of a ``DataLoader`` (``batch_size=None``) and several ranks share the files: each
    sample is yielded once an epoch. The order depends on ``seed``, the epoch, ``buffer``, the
    files of the store, the number of workers and of ranks, and NumPy's generators; on nothing
    else. What is added to the store later is not seen. What is dropped can be read until
    ``fstore gc``.

    Memory, in each worker: the buffer, two files (as a rule some tens of MB), one batch.

    Parameters
    ----------
    layer, ckpt, dataset, view, network, split, part, difficult
        As for ``store.features``: which responses to which samples.
    batch_size : int
        Samples of a batch. The last one of each worker may be smaller.
    shuffle : bool
        False: samples in ascending order of their files.
    seed : int
    buffer : int or None
        Samples that are held to choose from; more mix better. None: as many as take 256 MiB.
    drop_last : bool
        Leave out batches that are smaller. All ranks then get the same number of batches.
    labels : bool
        Yield ``y``.
    pool : {"mean", "max"} or None
        One value of a map: its mean, or its largest. None for whole maps.
    bits : bool
        Whether responses that are stored as bits (1 above 0, else 0) will do.
    rank, world_size : int or None
        Which of how many processes this is; None: as ``torch.distributed`` says, if it is
        initialised, else the only one.

    Returns
    -------
    Loader
        Yields dictionaries: ``X`` (B, C, H, W) or (B, C), float32; ``y`` (B,) int64, the number
        of the class in ``loader.classes``, or where an image may show several (B, n_classes)
        int8 of 1 (shown), -1 (not shown) and 0 (difficult objects only); ``ids`` (B,) int64.

    Raises
    ------
    UnknownNameError
        Something of that name is not there, or not stored; the message says how it is made.
    DataError
        An option is out of range; the layer is stored as bits, and they will not do; the data
        set has no labels.
    """
    from fstore.api.contents import Options, contents
    from fstore.api.samples import chosen_part, chosen_samples
    from fstore.api.torch_loader import Loader
    from fstore.queries.samples.asked import Asked

    asked = Asked(layer=layer, ckpt=ckpt, dataset=dataset, view=view, network=network)
    partition = asked.partition(store)
    chosen = chosen_part(store, dataset, split=split, part=part)
    ids = chosen_samples(store, partition, chosen, difficult=difficult)
    options = Options(
        batch_size=batch_size, shuffle=shuffle, seed=seed, buffer=buffer, drop_last=drop_last
    )
    read = contents(store, partition, ids, pool=pool, labels=labels, difficult=difficult, bits=bits)
    return Loader(read, _placed(options, rank, world_size))


def _placed(options: "Options", rank: int | None, world_size: int | None) -> "Options":
    """Say which rank this is: that which is given, else that in torch's process group."""
    if (rank is None) != (world_size is None):
        raise DataError("rank and world_size are given together, or neither")
    if rank is not None and world_size is not None:
        return replace(options, rank=rank, world_size=world_size)
    from torch import distributed

    if not distributed.is_available() or not distributed.is_initialized():
        return options
    return replace(options, rank=distributed.get_rank(), world_size=distributed.get_world_size())
