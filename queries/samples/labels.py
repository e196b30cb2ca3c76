"""Which samples can be read, and which classes they show."""

from collections.abc import Sequence
from functools import cache, partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, UnknownNameError
from fstore.store.parts import Samples, sample_ids, without_difficult

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.store.files import Partition

__all__ = [
    "check_apart",
    "class_names",
    "label_matrix",
    "readable",
    "shared_images",
]


def readable(store: "Store", partition: "Partition", ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the wanted samples without those whose images cannot be read, ascending.

    Raises
    ------
    UnknownNameError
        The partition is not stored, or lacks a sample for another reason; the message has the
        ``fstore extract`` command that makes it.
    """
    from fstore.store.features import stored_samples
    from fstore.store.remedies import how_to_make
    from fstore.store.unreadable import unreadable

    absent = np.setdiff1d(ids, stored_samples(store, partition))
    if len(absent) == 0:
        return np.unique(ids)
    bad = unreadable(store)[partition.dataset, partition.view]
    if lacking := set(absent.tolist()) - bad:
        raise UnknownNameError(
            f"{partition} lacks activations of {len(lacking)} of {len(ids)} samples; "
            + how_to_make(store, partition)
        )
    return np.setdiff1d(ids, absent)


def class_names(store: "Store", datasets: Sequence[str]) -> tuple[str, ...]:
    """Return the classes of data sets that play one part together, in the first one's order.

    Raises
    ------
    DataError
        They differ in their classes.
    """
    first, *others = [store.dataset(name) for name in dict.fromkeys(datasets)]
    for other in others:
        if differ := sorted(set(first.classes) ^ set(other.classes)):
            raise DataError(
                f"data sets '{first.name}' and '{other.name}' cannot be used as one: "
                f"only one of them has class {', '.join(differ[:5])}"
            )
    return tuple(first.classes)


def check_apart(
    store: "Store",
    learned: Sequence[Samples],
    tested: Sequence[Samples],
    *,
    remedy: str = "leave one of these parts out: parts in the study file",
) -> None:
    """Refuse images that are both learned from and tested on; see :func:`shared_images`.

    Parameters
    ----------
    store : Store
    learned, tested : sequence of Samples
    remedy : str
        What to do about it.

    Raises
    ------
    DataError
        There are such images.
    """
    if shared := shared_images(store, learned, tested):
        raise DataError(f"{shared}; {remedy}")


def shared_images(store: "Store", learned: Sequence[Samples], tested: Sequence[Samples]) -> str:
    """Say which images are both learned from and tested on; empty if none are.

    Images of two data sets are the same if the digests of their files are. Within one data set an
    image goes by its name: the parts of one split are apart, those of two splits may not be.

    Parameters
    ----------
    store : Store
    learned, tested : sequence of Samples

    Raises
    ------
    UnknownNameError
        A data set has no such part.
    """
    read = cache(partial(_images, store))
    for of, other in product(tested, learned):
        same_split = (of.dataset, of.split, of.seed) == (other.dataset, other.split, other.seed)
        if same_split and of.part != other.part:
            continue
        key = "image_id" if of.dataset == other.dataset else "digest"
        mine, theirs = read(of, key), read(other, key)
        if shared := [k for k in mine if k in theirs]:
            name, other_name = mine[shared[0]], theirs[shared[0]]
            return (
                f"{len(shared)} test images of '{of.dataset}' ({of.which}) are among the training "
                f"images of '{other.dataset}' ({other.which}), such as '{name}'"
                + ("" if name == other_name else f" ('{other_name}' there)")
            )
    return ""


def _images(store: "Store", samples: Samples, key: str) -> dict[str, str]:
    """Return the ids of the images that samples are of, by what they are compared by."""
    ids = sample_ids(store, samples, difficult=True)
    table = store.samples(samples.dataset, samples.view, ["sample_id", "image_id", "digest"])
    table = table.filter(np.isin(table["sample_id"].to_numpy(), ids))
    pairs = zip(table[key].to_pylist(), table["image_id"].to_pylist(), strict=True)
    return {k: name for k, name in pairs if k}


def label_matrix(
    store: "Store",
    dataset: str,
    view: str,
    *,
    ids: NDArray[np.int64],
    classes: Sequence[str],
    difficult: bool = False,
) -> NDArray[np.int8]:
    """Return what samples show, densely; shape (n_samples, n_classes).

    1 where a class is present, 0 where it is present only as difficult objects (left out of
    training and evaluation of that class), -1 where it is absent.

    Parameters
    ----------
    store : Store
    dataset, view : str
    ids : array of shape (n_samples,), int64
        Ascending.
    classes : sequence of str
        Of the columns.
    difficult : bool
        Boxes that are flagged difficult are kept, see :func:`fstore.store.parts.sample_ids`: they
        show their class, 1 in place of 0.

    Raises
    ------
    UnknownNameError
        A sample is not one of the view's.
    """
    in_view = store.samples(dataset, view)["sample_id"].to_numpy()
    if len(strange := np.setdiff1d(ids, in_view)):
        raise UnknownNameError(
            f"samples {strange[:5].tolist()} are not in view '{view}' of data set '{dataset}', "
            f"which has {len(in_view)}"
        )
    table = store.labels(dataset, view)
    at = {name: i for i, name in enumerate(classes)}
    columns = np.array([at.get(name, -1) for name in table["class"].to_pylist()], dtype=np.int64)
    samples, values = table["sample_id"].to_numpy(), table["label"].to_numpy()
    used = (columns >= 0) & np.isin(samples, ids)
    Y = np.full((len(ids), len(classes)), -1, dtype=np.int8)
    if difficult:
        plain = without_difficult(store, ids, dataset=dataset, view=view)
        values = np.where(np.isin(samples, plain), values, 1)
    Y[np.searchsorted(ids, samples[used]), columns[used]] = values[used]
    return Y
