"""What every data-set reader needs: file facts, listings, splits, checks."""

import errno
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from fstore.errors import DataError
from fstore.extractor.datasets._folders import (
    IMAGE_SUFFIXES,
    check_twins,
    is_utf8,
    list_images,
    shown,
    sub_folders,
)
from fstore.pixels.image_files import digest_bytes, image_size
from fstore.reading import is_endless
from fstore.types import Box, DatasetManifest, Part, SampleRecord, Split, ViewManifest

__all__ = [
    "DEFAULT_FRACTIONS",
    "IMAGE_SUFFIXES",
    "FileFacts",
    "Fractions",
    "Note",
    "Progress",
    "check_box",
    "check_folder",
    "check_manifest",
    "digest_file",
    "file_facts",
    "find_file",
    "inherit_parts",
    "list_images",
    "official_split",
    "random_splits",
    "relative_uri",
    "stratified_parts",
    "sub_folders",
]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the files read so far and their number."""

Note: TypeAlias = Callable[[str], None]
"""Called with a sentence that the user must know, as what was left out."""

Fractions: TypeAlias = tuple[float, float, float]

DEFAULT_FRACTIONS: Fractions = (0.5, 0.1, 0.4)
"""Train, val, test, as the paper splits SUN."""

_HASHING_THREADS = 8
_PARTS: tuple[Part, Part, Part] = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Digest and size of an image file; empty and 0 where they could not be read."""

    digest: str
    width: int
    height: int


def digest_file(path: Path) -> str:
    """Return the BLAKE2b-128 digest of a file's bytes, hex."""
    return digest_bytes(path.read_bytes())


def file_facts(
    root: Path, uris: Sequence[str], *, on_progress: Progress | None = None
) -> list[FileFacts]:
    """Hash the files and read their headers, several at a time.

    Parameters
    ----------
    root : Path
    uris : sequence of str
        Paths relative to ``root``; a missing file is a DataError, an unreadable one is not.
    on_progress : callable or None
        Called from this thread with (files done, files in all).
    """
    facts: list[FileFacts] = []
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        for fact in pool.map(lambda uri: _facts(root / uri), uris):
            facts.append(fact)
            if on_progress is not None:
                on_progress(len(facts), len(uris))
    return facts


def _facts(path: Path) -> FileFacts:
    try:
        if is_endless(path):
            raise DataError(f"image {path} is no regular file; take it off the list")
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise DataError(f"no image file {path}; put it there or take it off the list") from exc
    except OSError as exc:
        if exc.errno == errno.ENAMETOOLONG:
            raise DataError(f"no image file {path}: its name is too long for a file") from exc
        return FileFacts("", 0, 0)
    return FileFacts(digest_bytes(data), *image_size(data))


def relative_uri(text: str, where: str) -> str:
    """Return the normal form of a path below the root; DataError if it is none."""
    if "\0" in text or not is_utf8(text):
        raise DataError(f"{where}: {text!a} is no name that a file can have")
    path = PurePosixPath(text)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise DataError(f"{where}: {text!r} is not a path below --root")
    return str(path)


def check_folder(root: Path) -> Path:
    """Return the data set's folder, links resolved.

    Raises
    ------
    DataError
        It is no folder, or its name is no UTF-8 and could not be recorded.
    """
    if not root.is_dir():
        raise DataError(f"no folder {shown(root)}; give the data set's folder with --root")
    root = root.resolve()
    if not is_utf8(str(root)):
        raise DataError(f"the name of folder {shown(root)} is no UTF-8; rename it")
    return root


def find_file(text: str, root: Path, option: str) -> Path:
    """Return the file that an option names: from the working directory, else from the root.

    Parameters
    ----------
    text : str
        A path, absolute or relative.
    root : Path
        The data set's folder.
    option : str
        For messages.

    Raises
    ------
    DataError
        There is none, only a folder, or two different ones that the path may mean.
    """
    places = [Path.cwd() / text, root / text]
    try:
        existing = [p for p in places if p.exists()]
        files = [p for p in existing if not p.is_dir()]
        differ = len(files) == 2 and not files[0].samefile(files[1])
    except (OSError, ValueError) as exc:
        raise DataError(f"{option} {text!r}: {exc}") from exc
    if differ:
        raise DataError(f"{option} {text!r} may be {files[0]} or {files[1]}; give an absolute path")
    if files:
        return files[0]
    if existing:
        raise DataError(f"{existing[0]} is a folder, not a file; give a file with {option}")
    looked = " or ".join(dict.fromkeys(shown(p) for p in places))
    raise DataError(f"no file {looked}; give it with {option}")


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


def inherit_parts(images: ViewManifest, samples: Sequence[SampleRecord]) -> tuple[Split, ...]:
    """Return the splits of boxes: each box plays the part of its image."""
    place = {s.image_id: i for i, s in enumerate(images.samples)}
    where = [place[s.image_id] for s in samples]
    return tuple(Split(s.name, s.seed, tuple(s.parts[i] for i in where)) for s in images.splits)


def check_box(image_id: str, box: Box, size: tuple[int, int]) -> None:
    """Raise DataError unless the box lies inside the image; a size of 0 is not known."""
    xmin, ymin, xmax, ymax = box
    width, height = size if all(size) else (math.inf, math.inf)
    if not (1 <= xmin <= xmax <= width and 1 <= ymin <= ymax <= height):
        raise DataError(
            f"image {image_id}: box ({xmin:g}, {ymin:g}, {xmax:g}, {ymax:g}) is not inside "
            f"1 ... {width:g} x 1 ... {height:g}; boxes are xmin, ymin, xmax, ymax in pixels, "
            "counted from 1, last pixel included"
        )


def check_manifest(manifest: DatasetManifest) -> DatasetManifest:
    """Return the manifest if its image view is sound.

    Raises
    ------
    DataError
        No image, an image listed twice, a class without images, a split whose length differs.
    """
    images = next(v for v in manifest.views if v.view == "image").samples
    where = f"data set {manifest.name!r} ({manifest.root})"
    if not images:
        raise DataError(f"{where} has no image; files need one of {', '.join(_suffixes())}")
    for kind, values in (("id", (s.image_id for s in images)), ("file", (s.uri for s in images))):
        twice = [name for name, n in Counter(values).items() if n > 1]
        if twice:
            raise DataError(f"{where} lists the {kind} {twice[0]!r} twice; list each image once")
    check_twins(manifest.classes, f"{where}: classes", spaces=True)
    check_twins((s.uri for s in images), f"{where}: images")
    used = {name for s in images for name in s.labels}
    if empty := [name for name in manifest.classes if name not in used]:
        raise DataError(
            f"{where} has no image of class {', '.join(map(repr, empty[:5]))}; "
            "add some, or remove the class (its folder, lists or category)"
        )
    if unknown := used.difference(manifest.classes):
        raise ValueError(f"labels outside the class list: {sorted(unknown)[:5]}")
    return manifest


def _suffixes() -> list[str]:
    return sorted(IMAGE_SUFFIXES)
