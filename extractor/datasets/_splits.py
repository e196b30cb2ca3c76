"""Splits of data sets: stated by the data set, or drawn class by class from a seed."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from fstore.errors import DataError
from fstore.types import Part, SampleRecord, Split, ViewManifest

__all__ = [
    "DEFAULT_FRACTIONS",
    "EVEN_PARTS_OF_TEN",
    "PARTS_OF_TEN",
    "Fractions",
    "image_view",
    "inherit_parts",
    "official_split",
    "random_splits",
    "stratified_parts",
]


Fractions: TypeAlias = tuple[float, float, float]


DEFAULT_FRACTIONS: Fractions = (0.5, 0.1, 0.4)
"""Train, val, test, as the paper splits SUN."""

PARTS_OF_TEN: tuple[Part, ...] = (
    *("train", "test", "train", "test", "train"),
    *("val", "train", "test", "train", "test"),
)
"""Parts of ten generated images in a row, in these fractions."""

EVEN_PARTS_OF_TEN: tuple[Part, ...] = (
    *("train", "test", "val", "test", "test"),
    *("test", "train", "test", "val", "test"),
)
"""Ten with as many in val as in train, and most of them to test on: 20/20/60."""


def stratified_parts(
    ids: Sequence[str],
    labels: Sequence[Mapping[str, int]],
    *,
    seed: int,
    fractions: Fractions = DEFAULT_FRACTIONS,
) -> tuple[Part, ...]:
    """Deal samples into train, val and test so that every class is dealt in proportion.

    Within a class, samples are ordered by a hash of (seed, id), so the deal depends on nothing
    else: not on their order, the platform or a library's version. A sample with several classes
    counts for its rarest one. Part sizes are those of the fractions, rounded, class by class.

    Parameters
    ----------
    ids : sequence of str
        Unique names of the samples.
    labels : sequence of mappings
        Classes of each sample (value 1; those with 0 are counted too).
    seed : int
    fractions : three floats
        Train, val, test; from 0 to 1, sum 1.

    Returns
    -------
    tuple of str
        The part of each sample, in order.
    """
    _check_fractions(fractions)
    counts = Counter(name for mapping in labels for name in mapping)
    strata: dict[str, list[int]] = {}
    for i, mapping in enumerate(labels):
        key = min(mapping, key=lambda name: (counts[name], name), default="")
        strata.setdefault(key, []).append(i)
    parts: list[Part] = ["test"] * len(ids)
    for members in strata.values():
        members.sort(key=lambda i: _rank(seed, ids[i]))
        for place, i in enumerate(members):
            parts[i] = _part(place, len(members), fractions)
    return tuple(parts)


def _rank(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=16).digest()


def _part(place: int, n: int, fractions: Fractions) -> Part:
    """Part of the ``place``-th of ``n``; cumulated bounds, so rounding errors do not add up."""
    if place < round(fractions[0] * n):
        return "train"
    return "val" if place < round((fractions[0] + fractions[1]) * n) else "test"


def _check_fractions(fractions: Fractions) -> None:
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise DataError(
            f"fractions {fractions} are not three shares of train, val and test that sum to 1, "
            "such as 0.5,0.1,0.4"
        )


def random_splits(
    samples: Sequence[SampleRecord], seeds: Sequence[int], fractions: Fractions | None
) -> tuple[Split, ...]:
    """Return a stratified split named ``random`` for each seed."""
    if fractions is not None:
        _check_fractions(fractions)
        if not seeds:
            raise DataError("fractions without seeds split nothing; add --seeds 0")
    if len(set(seeds)) < len(seeds):
        raise DataError(f"seeds {list(seeds)} repeat; give each once")
    ids = [s.image_id for s in samples]
    labels = [s.labels for s in samples]
    return tuple(
        Split(
            "random",
            seed,
            stratified_parts(ids, labels, seed=seed, fractions=fractions or DEFAULT_FRACTIONS),
        )
        for seed in seeds
    )


def official_split(
    samples: Iterable[SampleRecord], parts: Mapping[str, Part | None]
) -> tuple[Split, ...]:
    """Return the data set's own split from the part of each image; () if it states none."""
    dealt = tuple(parts.get(s.image_id) for s in samples)
    return (Split("official", 0, dealt),) if any(dealt) else ()


def image_view(
    samples: Sequence[SampleRecord],
    parts: Mapping[str, Part | None],
    *,
    seeds: Sequence[int],
    fractions: Fractions | None,
) -> ViewManifest:
    """Return the view of whole images with its splits: the official one, and one a seed."""
    splits = official_split(samples, parts) + random_splits(samples, seeds, fractions)
    return ViewManifest("image", tuple(samples), splits)


def inherit_parts(images: ViewManifest, samples: Sequence[SampleRecord]) -> tuple[Split, ...]:
    """Return the splits of boxes: each box plays the part of its image."""
    place = {s.image_id: i for i, s in enumerate(images.samples)}
    where = [place[s.image_id] for s in samples]
    return tuple(Split(s.name, s.seed, tuple(s.parts[i] for i in where)) for s in images.splits)
