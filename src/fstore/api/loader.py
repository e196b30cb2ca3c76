"""Stored responses for training in torch: ``store.loader``."""

from typing import TYPE_CHECKING, Literal

from fstore.errors import DataError
from fstore.seeds import check_seed

if TYPE_CHECKING:
    from fstore.api.torch_loader import Loader
    from fstore.store import Store
    from fstore.store.features import LayerShape

__all__ = ["loader"]

BUFFER_BYTES = 1 << 28  # of responses as float32: what the buffer takes by default


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
    threads: int | None = None,
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
    threads : int or None
        That decode a file; None: as many as there are cores, at most 4, in a worker 1.

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
    from fstore.api.samples import chosen_samples
    from fstore.api.torch_loader import Loader
    from fstore.store.export import find_partition
    from fstore.store.features import layer_shape, refuse_bits

    partition = find_partition(
        store, layer=layer, ckpt=ckpt, dataset=dataset, view=view, network=network
    )
    if not bits:
        refuse_bits(store.files(**partition.values))
    place = _place(rank, world_size)
    _check(batch_size=batch_size, buffer=buffer, threads=threads, pool=pool, place=place)
    ids = chosen_samples(store, partition, split=split, part=part, difficult=difficult)
    options = Options(
        batch_size=batch_size,
        shuffle=shuffle,
        seed=check_seed(seed),
        buffer=buffer or _default_buffer(layer_shape(store, partition), pool),
        drop_last=drop_last,
        rank=place[0],
        world_size=place[1],
        threads=threads,
    )
    read = contents(store, partition, ids, pool=pool, labels=labels, difficult=difficult)
    return Loader(read, options)


def _default_buffer(shape: "LayerShape", pool: str | None) -> int:
    values = shape.channels * (1 if pool else shape.positions)
    return max(1, BUFFER_BYTES // (4 * values))


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return rank and world size: those given, else those of torch's process group."""
    if (rank is None) != (world_size is None):
        raise DataError("rank and world_size are given together, or neither")
    if rank is not None and world_size is not None:
        return rank, world_size
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _check(
    *,
    batch_size: int,
    buffer: int | None,
    threads: int | None,
    pool: str | None,
    place: tuple[int, int],
) -> None:
    """Refuse numbers that are out of range."""
    counts = {"batch_size": batch_size, "buffer": buffer, "threads": threads}
    for name, value in counts.items():
        if value is not None and (isinstance(value, bool) or value < 1):
            raise DataError(f"{name}={value}; expected a whole number of at least 1")
    if pool not in (None, "mean", "max"):
        raise DataError(f"pool={pool!r}; expected 'mean', 'max' or None, for whole maps")
    rank, world_size = place
    if not 0 <= rank < world_size:
        raise DataError(f"rank={rank} of world_size={world_size}; ranks count from 0")
