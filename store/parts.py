"""Splits of data sets and their parts: parsed, printed and looked up, here and nowhere else.

``official`` and ``random:0`` name a split, ``official:test`` and ``random:0:test`` a part of one.
``test`` alone is that part of the split that a data set is used with where none is named: the only
one that it has, else ``official``. ``trainval`` are the parts train and val together.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, UnknownNameError
from fstore.seeds import LARGEST_SEED, check_seed
from fstore.types import PARTS

if TYPE_CHECKING:
    from fstore.store.store import Store

__all__ = [
    "OFFICIAL",
    "PART_NAMES",
    "TRAINVAL",
    "Part",
    "Samples",
    "Split",
    "default_split",
    "is_there",
    "part_names",
    "part_samples",
    "parts_of",
    "sample_ids",
    "several_splits",
    "splits_of",
    "used_parts",
    "without_difficult",
]

OFFICIAL = "official"
TRAINVAL = "trainval"
PART_NAMES = (*PARTS, TRAINVAL)
"""What may stand for a part."""

FORM = re.compile(r"([^\s:]+)(?::(-?[0-9]{1,19}))?")


@dataclass(frozen=True, slots=True)
class Split:
    """The name of a split: ``official``, or ``random`` and which."""

    name: str = OFFICIAL
    seed: int = 0

    @classmethod
    def parse(cls, text: str) -> "Split":
        """Read ``official``, ``random:3``; ``random`` is ``random:0``.

        Raises
        ------
        DataError
            The text has another form, or the seed more than 64 bits.
        """
        form = FORM.fullmatch(text)
        if form is None or form[1] in PART_NAMES:
            raise DataError(f"'{text}' names no split; a split is official, random or random:SEED")
        seed = check_seed(int(form[2] or 0), "the seed of a split", least=-LARGEST_SEED)
        return cls(form[1], seed)

    def __str__(self) -> str:
        return self.name if self == Split() else f"{self.name}:{self.seed}"

    def options(self) -> list[str]:
        """Return the words that choose it on the command line."""
        return ["--split", str(self)]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a split; without one, of that which a data set is used with by default."""

    name: str
    split: Split | None = None

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Read ``test``, ``official:test``, ``random:0:test``; ``random:test`` is of ``random:0``.

        Raises
        ------
        UnknownNameError
            The last word is no part.
        DataError
            What stands before it is no split.
        """
        split, _, name = text.rpartition(":")
        if name not in PART_NAMES:
            raise UnknownNameError(f"'{text}' names no part; a part is {', '.join(PART_NAMES)}")
        return cls(name, Split.parse(split) if split else None)

    def __str__(self) -> str:
        return self.name if self.split is None else f"{self.split}:{self.name}"

    def options(self) -> list[str]:
        """Return the words that choose it on the command line."""
        return [*(self.split.options() if self.split else ()), "--part", self.name]


@dataclass(frozen=True, slots=True)
class Samples:
    """One part of one split of a view of a data set."""

    dataset: str
    view: str
    split: str
    seed: int
    part: str

    @property
    def which(self) -> Part:
        """The part, by its name."""
        return Part(self.part, Split(self.split, self.seed))


def part_names(names: Sequence[str]) -> list[str]:
    """Return names of parts with ``trainval`` as the two that it stands for, each once.

    Raises
    ------
    UnknownNameError
        One of them names a split, too.
    """
    if mixed := next((name for name in names if ":" in name), None):
        words = " ".join(Part.parse(mixed).options())
        raise UnknownNameError(f"'{mixed}' is no part alone; write: {words}")
    each = [own for name in names for own in (("train", "val") if name == TRAINVAL else (name,))]
    return list(dict.fromkeys(each))


# What a data set has


def splits_of(store: "Store", dataset: str) -> list[Split]:
    """Return the splits of a data set, the official one first.

    Raises
    ------
    UnknownNameError
        There is no such data set.
    """
    view = next(iter(store.dataset(dataset).views))
    rows = store.splits(dataset, view).group_by(["split", "seed"]).aggregate([]).to_pylist()
    return sorted((Split(row["split"], row["seed"]) for row in rows), key=_place)


def _place(split: Split) -> tuple[bool, str, int]:
    """Say where a split stands in a list: the official one first."""
    return split.name != OFFICIAL, split.name, split.seed


def default_split(store: "Store", datasets: Sequence[str]) -> Split:
    """Return the split that data sets are used with where none is named.

    That is the only one that they have, all of them; else ``official``. It is ``official`` also
    where they have none, and who looks for its parts says what is not there.

    Raises
    ------
    UnknownNameError
        There is no such data set, or it has several splits and no official one: the message has
        the options that choose one.
    """
    first, *others = [splits_of(store, name) for name in dict.fromkeys(datasets)]
    splits = [split for split in first if all(split in own for own in others)] or first
    if len(splits) == 1:
        return splits[0]
    if not splits or Split() in splits:
        return Split()
    raise several_splits(datasets[0], splits)


def several_splits(dataset: str, splits: Sequence[Split]) -> UnknownNameError:
    """Return the error that tells how to choose one of several splits."""
    options = "; or ".join(" ".join(split.options()) for split in splits)
    return UnknownNameError(
        f"data set '{dataset}' has no official split, but several others; add: {options}",
        dataset=dataset,
    )


def parts_of(store: "Store", dataset: str, *, view: str = "image", split: Split) -> set[str]:
    """Return which parts a split of a data set has; none if there is no such split.

    Raises
    ------
    UnknownNameError
        There is no such data set or view.
    """
    rows = store.splits(dataset, view).group_by(["split", "seed", "part"]).aggregate([])
    return {r["part"] for r in rows.to_pylist() if Split(r["split"], r["seed"]) == split}


def used_parts(
    store: "Store",
    dataset: str,
    *,
    view: str = "image",
    split: Split,
    wanted: Sequence[str] = PARTS,
) -> list[Samples]:
    """Return those of the wanted parts that a split has, in the order in which they are wanted."""
    present = parts_of(store, dataset, view=view, split=split)
    names = [name for name in part_names(wanted) if name in present]
    return [Samples(dataset, view, split.name, split.seed, name) for name in names]


def is_there(store: "Store", samples: Samples) -> bool:
    """Whether a data set is registered and has a part."""
    s = samples
    split = Split(s.split, s.seed)
    try:
        return s.part in parts_of(store, s.dataset, view=s.view, split=split)
    except UnknownNameError:
        return False


# Its samples


def part_samples(store: "Store", dataset: str, *, view: str, part: str) -> NDArray[np.int64]:
    """Return the samples of a part that is given as text, ascending; difficult ones too.

    Parameters
    ----------
    store : Store
    dataset, view : str
    part : str
        As :meth:`Part.parse` reads it; without a split that of :func:`default_split`.

    Raises
    ------
    UnknownNameError
        The text names no part, the data set has no such part, or it is not clear of which split.
    """
    named = Part.parse(part)
    split = named.split or default_split(store, [dataset])
    samples = Samples(dataset, view, split.name, split.seed, named.name)
    return sample_ids(store, samples, difficult=True)


def sample_ids(store: "Store", samples: Samples, *, difficult: bool = False) -> NDArray[np.int64]:
    """Return the samples of one part of a split, ascending; shape (n_samples,).

    Parameters
    ----------
    store : Store
    samples : Samples
    difficult : bool
        Keep boxes that are flagged difficult; they are left out by default, as in PASCAL-DET-GT.

    Raises
    ------
    UnknownNameError
        The data set has no such part of such a split; those that it has are listed.
    DataError
        A seed beyond 64 bits.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    s = samples
    check_seed(s.seed, "the seed of a split", least=-LARGEST_SEED)
    rows = store.splits(s.dataset, s.view)
    mask = pc.is_in(rows["part"], value_set=pa.array(part_names([s.part])))
    mask = pc.and_(mask, pc.equal(rows["split"], s.split))
    ids = rows.filter(pc.and_(mask, pc.equal(rows["seed"], s.seed)))["sample_id"].to_numpy()
    if not len(ids):
        raise _no_part(store, samples)
    ids = np.sort(ids)
    return ids if difficult else without_difficult(store, ids, dataset=s.dataset, view=s.view)


def _no_part(store: "Store", samples: Samples) -> UnknownNameError:
    """Return the error that lists the parts that there are, and how to choose the part of one."""
    s = samples
    own: list[Part] = []
    for split in splits_of(store, s.dataset):
        own += [used.which for used in used_parts(store, s.dataset, view=s.view, split=split)]
    example = next((part for part in own if part.name == s.part), None)
    return UnknownNameError(
        f"data set '{s.dataset}', view {s.view}, has no part '{s.which}'; it has: "
        + (", ".join(map(str, own)) or "no split")
        + (f"; choose one with: {' '.join(example.options())}" if example else ""),
        dataset=s.dataset,
    )


def without_difficult(
    store: "Store", ids: NDArray[np.int64], *, dataset: str, view: str
) -> NDArray[np.int64]:
    """Return the samples that are not flagged difficult, ascending."""
    table = store.samples(dataset, view, ["sample_id", "difficult"])
    flagged = table["sample_id"].to_numpy()[table["difficult"].to_numpy(zero_copy_only=False) == 1]
    return np.setdiff1d(ids, flagged)
