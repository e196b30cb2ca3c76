"""Put together what a classifier learns from: rows of a kernel, labels, and the parts of splits."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.samples.blocks import Rows
from fstore.queries.samples.labels import check_apart, class_names, label_matrix, readable
from fstore.store.parts import Samples, Split, sample_ids, used_parts
from fstore.types import PARTS, IntArray

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Places", "Problem", "SplitRows", "problem", "split_samples"]


@dataclass(frozen=True, slots=True)
class SplitRows:
    """Rows of a kernel that play a part in one split; ``val`` may be empty.

    ``tests`` is where each row of ``test`` stands among all samples that the split tests on, those
    left out that cannot be read of this layer; None where none is.
    """

    train: IntArray
    val: IntArray
    test: IntArray
    tests: "Places | None" = field(default=None, kw_only=True)

    @property
    def fitted(self) -> IntArray:
        """Rows of train and val together: what the final SVMs learn from."""
        return np.concatenate([self.train, self.val])


@dataclass(frozen=True, slots=True)
class Places:
    """Where some samples stand among others, by number of sample, and how many those are."""

    at: IntArray
    among: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Samples, what they show, and the splits that use them.

    Attributes
    ----------
    rows : list of Rows
        Where the activations are; a kernel's rows are theirs in this order.
    classes : tuple of str
    Y : array of shape (n_samples, n_classes), int8
        1, -1, or 0: left out for that class.
    splits : dict
        Seed to parts. Where several data sets play one part, the seed of the first one.
    """

    rows: list[Rows]
    classes: tuple[str, ...]
    Y: NDArray[np.int8]
    splits: dict[int, SplitRows]


def problem(
    store: "Store",
    samples: Sequence[Samples],
    *,
    network: str,
    ckpt: str,
    layer: str,
    difficult: bool = False,
) -> Problem:
    """Put together a problem from the parts of splits that play in it.

    Parameters
    ----------
    store : Store
    samples : sequence of Samples
        Parts of one or several seeds of a split, of one or several data sets that count as one.
        A data set with one seed takes part in the runs of all. Where none is of a part ``test``
        (ImageNet), ``val`` is what is tested on.
    network, ckpt, layer : str
    difficult : bool
        Keep boxes that are flagged difficult, as boxes of their class.

    Raises
    ------
    UnknownNameError
        A split, or activations of a sample, are not there.
    DataError
        Data sets differ in their classes or in their number of seeds; test images of one are
        training images of another.
    """
    from fstore.store.files import Partition

    ids, named, places = {}, {}, {}
    for s in dict.fromkeys(samples):
        partition = Partition(network, ckpt, s.dataset, s.view, layer)
        named[s] = np.unique(sample_ids(store, s, difficult=difficult))
        ids[s] = readable(store, partition, named[s])
        places[s.dataset, s.view] = partition
    rows = [
        Rows(partition, _union([ids[s] for s in ids if (s.dataset, s.view) == place]))
        for place, partition in places.items()
    ]
    starts = dict(zip(places, np.cumsum([0, *(len(r.ids) for r in rows)]), strict=False))
    at = {
        s: starts[s.dataset, s.view]
        + np.searchsorted(rows[list(places).index((s.dataset, s.view))].ids, own)
        for s, own in ids.items()
    }
    classes = class_names(store, [r.partition.dataset for r in rows])
    labels = [_labels(store, r, classes, difficult=difficult) for r in rows]
    runs = _runs(list(at))
    for run in runs.values():
        check_apart(store, [*run["train"], *run["val"]], run["test"])
    splits = {
        seed: SplitRows(
            *(_joined([at[s] for s in run[part]]) for part in PARTS),
            tests=_placed([(named[s], ids[s]) for s in run["test"]]),
        )
        for seed, run in runs.items()
    }
    return Problem(rows, classes, np.concatenate(labels), splits)


def _labels(
    store: "Store", rows: Rows, classes: Sequence[str], *, difficult: bool
) -> NDArray[np.int8]:
    """Return the labels of a partition's rows, of shape (n_rows, n_classes)."""
    place = rows.partition
    return label_matrix(
        store, place.dataset, place.view, ids=rows.ids, classes=classes, difficult=difficult
    )


def split_samples(
    store: "Store",
    dataset: str,
    view: str,
    *,
    split: str,
    seed: int,
    parts: Sequence[str] = (),
    alone: bool = True,
) -> list[Samples]:
    """Return the parts of one split; ``val`` may be absent, or ``test`` if there is a ``val``.

    Parameters
    ----------
    store : Store
    dataset, view, split : str
    seed : int
    parts : sequence of str
        Those that are used; none named: all.
    alone : bool
        No other data set plays the same part of a study. One of several need not have both a part
        to learn from and one to test on (PASCAL VOC 2012 has no ``test``).
    """
    wanted = [part for part in PARTS if part in (parts or PARTS)]
    used = used_parts(store, dataset, view=view, split=Split(split, seed), wanted=wanted)
    if used and not (alone and (used[0].part != "train" or len(used) < 2)):
        return used
    # asking for them gives an error that names what there is
    needed = [part for part in ("train", "test") if part in wanted]
    return [Samples(dataset, view, split, seed, part) for part in needed]


def _union(ids: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.unique(np.concatenate(ids))


def _joined(rows: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, dtype=np.int64), *rows])


def _placed(pairs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> Places:
    """Return where the second samples of pairs stand among the first ones of all pairs."""
    starts = np.cumsum([0, *(len(named) for named, _ in pairs)])
    at = [start + np.searchsorted(*pair) for start, pair in zip(starts, pairs, strict=False)]
    return Places(_joined(at), int(starts[-1]))


def _runs(samples: Sequence[Samples]) -> dict[int, dict[str, list[Samples]]]:
    """Return what plays each part of every run; a data set with one seed is in each of them."""
    seeds: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for s in samples:
        if s.seed not in seeds[s.dataset, s.view, s.split]:
            seeds[s.dataset, s.view, s.split].append(s.seed)
    counts = {len(own) for own in seeds.values()}
    if len(counts - {1}) > 1:
        raise DataError(
            "data sets that play one part have different numbers of seeds: "
            + ", ".join(f"{dataset} {len(own)}" for (dataset, _, _), own in seeds.items())
        )
    leading = max(seeds.values(), key=len)
    tested = {(s.dataset, s.view, s.split, s.seed) for s in samples if s.part == "test"}
    runs: dict[int, dict[str, list[Samples]]] = {}
    for run, seed in enumerate(leading):
        runs[seed] = {part: [] for part in PARTS}
        for s in samples:
            own = seeds[s.dataset, s.view, s.split]
            if s.seed == own[run if len(own) > 1 else 0]:
                untested = (s.dataset, s.view, s.split, s.seed) not in tested
                runs[seed]["test" if s.part == "val" and untested else s.part].append(s)
    return runs
