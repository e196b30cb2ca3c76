"""Region proposals into a store: searched or read from published files, compared, registered."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from fstore.errors import DataError, IdentityError, UnknownNameError
from fstore.machine import cores
from fstore.reading import read_text
from fstore.store.runs import recorded
from fstore.store.unreadable import noting_unreadable

if TYPE_CHECKING:
    from fstore.extractor.proposals import Boxes, Searched
    from fstore.store import Store
    from fstore.store.runs import Run

__all__ = ["RECALL_COLUMNS", "Added", "Choice", "add_proposals"]

RECALL_COLUMNS = ("proposals", "kept", "iou", "recall", "low", "high", "objects", "images")
TOLD = (0.5, 0.7)
"""Overlaps at which recall is told."""

VIEW = "proposal"

FOLDER = "proposals"
"""Folder of the store that keeps what was found in each image."""


Found: TypeAlias = "tuple[Mapping[str, Any], Boxes]"
"""An image's row of table ``samples``, and its boxes, best first."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which proposals: how they are found, in which images, how many of them.

    Attributes
    ----------
    method : str
        ``selective-search``, ``components``, or another of
        :data:`fstore.extractor.proposals.METHODS`; unused if there are ``files``.
    files : sequence of Path
        Published boxes (``.mat``) to take in place of a search.
    max_proposals : int or None
        The first so many of an image become samples; None for all.
    part : str or None
        Only images of a part, as :meth:`fstore.store.parts.Part.parse` reads it: ``test``,
        ``official:test``, ``random:0:trainval``.
    image_list : Path or None
        Only the images that this text file names, one id a line.
    skip_unknown : bool
        Leave out images of ``files`` that the data set does not have, instead of refusing.
    """

    method: str = "selective-search"
    files: Sequence[Path] = ()
    max_proposals: int | None = None
    part: str | None = None
    image_list: Path | None = None
    skip_unknown: bool = False


@dataclass
class Added:
    """What is registered now.

    Attributes
    ----------
    new : bool
        False if the same proposals were there already.
    images, found, kept : int
        Images of the view, proposals found in them, and proposals that became samples.
    recall : list of dict
        Keys :data:`RECALL_COLUMNS`; over ALL proposals that were found. ``kept`` marks the number
        of proposals an image at which the view ends. Empty for a data set without labelled boxes.
    unlisted : int
        Chosen images that the files do not have: not in the view.
    skipped : int
        Images of the files that the data set does not have.
    unreadable : list of dict
        Images that could not be decoded: not in the view.
    """

    new: bool = False
    images: int = 0
    found: int = 0
    kept: int = 0
    recall: list[dict[str, Any]] = field(default_factory=list)
    unlisted: int = 0
    skipped: int = 0
    unreadable: list[dict[str, Any]] = field(default_factory=list)


def add_proposals(
    store: "Store",
    dataset: str,
    choice: Choice | None = None,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Added:
    """Find region proposals and register them as view ``proposal``, with their overlaps.

    Boxes of an image are kept in the store's folder ``proposals`` as they are found, so that a run
    that was killed goes on where it was, and another number of them needs no second search. The
    view appears at once when all images are done. Proposals play the part of their image in every
    split; they have no labels: classes come from ``overlaps``.

    Parameters
    ----------
    store : Store
    dataset : str
        A registered data set.
    choice : Choice or None
        None for selective search, all boxes of all images.
    workers : int or None
        Processes; None for one a core.
    on_progress : callable or None
        Called with (images done, images in all).

    Returns
    -------
    Added

    Raises
    ------
    UnknownNameError
        No such data set, method, part or image.
    IdentityError
        The data set has other proposals.
    DataError
        A file is not what it should be, a box lies outside its image, or an image changed.
    MissingExtraError
        The method needs a library that is not installed.
    """
    work = _Work(store, dataset, choice or Choice())
    registered = work.registered()
    if registered is not None:
        return registered
    with recorded(store, "proposals", {}, libraries=("numpy", "pillow")) as run:
        began = perf_counter()
        try:
            with noting_unreadable(store, work.added.unreadable):
                work.do(workers or cores(), on_progress)
        finally:
            work.tell(run, perf_counter() - began)
    return work.added


class _Work:
    """One call of :func:`add_proposals`."""

    def __init__(self, store: "Store", dataset: str, choice: Choice) -> None:
        if choice.max_proposals is not None and choice.max_proposals < 1:
            raise DataError(f"at most {choice.max_proposals} proposals an image leave none; use 1+")
        self.store = store
        self.info = store.dataset(dataset)
        self.choice = choice
        self.images = _chosen_images(store, dataset, choice)
        self.source = _published(choice.files) if choice.files else _searched(choice.method)
        self.added = Added()
        self.manifest = ""

    @property
    def identity(self) -> dict[str, object]:
        """What decides the boxes of the view, beside the images' content."""
        ids = json.dumps([row["image_id"] for row in self.images])
        return {
            **self.source,
            "max_proposals": self.choice.max_proposals,
            "images": hashlib.sha256(ids.encode()).hexdigest()[:16],
        }

    def registered(self) -> Added | None:
        """Return what an earlier run registered if it is the same; refuse if it is not."""
        from fstore.store.proposals import other_proposals

        noted = self.info.proposals
        if not noted:
            return None
        stored = noted["identity"]
        mine = json.loads(json.dumps(self.identity))
        if differ := [k for k in {**stored, **mine} if stored.get(k) != mine.get(k)]:
            texts = [f"{k} (stored {stored.get(k)}, now {mine.get(k)})" for k in differ]
            told = other_proposals(self.store.place, self.info.name)
            raise IdentityError(f"{told}; they differ in: {', '.join(texts)}")
        self.store.inherit_splits(self.info.name)
        return Added(**{**noted["added"], "new": False})

    def do(self, workers: int, on_progress: Callable[[int, int], None] | None) -> None:
        """Collect the boxes of all images, and register them."""
        from fstore.queries.detection.overlaps import Collector, ground_truth

        by_image = self._read() if self.choice.files else self._search(workers, on_progress)
        objects = ground_truth(self.store, self.info.name)
        collected = Collector(objects, max_proposals=self.choice.max_proposals)
        for image, boxes in by_image:
            collected.add(image["sample_id"], image["image_id"], boxes)
            self.added.images += 1
        if not self.added.images:
            raise DataError(
                f"no chosen image of data set '{self.info.name}' has proposals: "
                f"{self.added.unlisted} not in the files, {len(self.added.unreadable)} unreadable"
            )
        self.added.found, self.added.kept = collected.found, collected.kept
        self.added.recall = collected.recall(TOLD)
        name = self.info.name
        self.added.new = self.store.add_proposals(
            name, collected.proposals(), collected.overlaps(), found_how=self._how()
        )
        self.manifest = self.store.dataset(name).views[VIEW]

    def _search(
        self, workers: int, on_progress: Callable[[int, int], None] | None
    ) -> Iterator[Found]:
        from fstore.extractor.proposals import SearchImage, search

        wanted = [SearchImage(r["sample_id"], r["uri"], r["digest"]) for r in self.images]
        searching = search(
            self.info.root,
            wanted,
            method=self.choice.method,
            folder=self._folder(),
            workers=workers,
            on_progress=on_progress,
        )
        for row, searched in zip(self.images, searching, strict=True):
            if searched.boxes is None:
                self._unreadable(searched)
            else:
                yield row, searched.boxes

    def _unreadable(self, searched: "Searched") -> None:
        where = {"dataset": self.info.name, "view": "image"}
        image = {"sample_id": searched.image.sample_id, "uri": searched.image.uri}
        self.added.unreadable.append({**where, **image, "reason": searched.reason})

    def _folder(self) -> Path:
        """Return where the boxes of this method, its version and these files are kept."""
        key = json.dumps([self.source, self.info.views["image"]], sort_keys=True)
        name = f"{self.info.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        return self.store.place.workspace(f"{FOLDER}/{name}")

    def _read(self) -> Iterator[Found]:
        from fstore.extractor.proposals import check_inside, read_published

        boxes: dict[str, Boxes] = {}
        for file in self.choice.files:
            for name, published in read_published(file).items():
                if name in boxes:
                    raise DataError(f"{file} has boxes of image {name!r}, and so has another file")
                boxes[name] = published
        self._check_names(boxes)
        for row in self.images:
            name = row["image_id"]
            if name in boxes:
                size = {"width": row["width"], "height": row["height"]}
                yield row, check_inside(boxes[name], name, **size)
            else:
                self.added.unlisted += 1

    def _check_names(self, boxes: Mapping[str, object]) -> None:
        table = self.store.samples(self.info.name, "image", ["sample_id", "image_id"])
        registered = set(table["image_id"].to_pylist())
        strange = [name for name in boxes if name not in registered]
        self.added.skipped = len(strange)
        if strange and not self.choice.skip_unknown:
            raise UnknownNameError(
                f"{len(strange)} images of {', '.join(map(str, self.choice.files))} are not in "
                f"data set '{self.info.name}', the first of them {strange[0]!r}; leave them out "
                "with --skip-unknown"
            )

    def _how(self) -> dict[str, object]:
        """Return what is kept with the proposals: what decides them, and what was found."""
        return {"identity": self.identity, "added": asdict(self.added)}

    def tell(self, run: "Run", seconds: float) -> None:
        """Put what came of it on record."""
        run.parameters = {"dataset": self.info.name, **self._how()}
        run.fingerprints = {f"{self.info.name}.{VIEW}": self.manifest}
        run.device, run.samples, run.rows, run.bytes = "cpu", self.added.kept, 0, 0
        run.images_per_s = self.added.images / seconds
        run.quarantined = self.added.unreadable


def _chosen_images(store: "Store", dataset: str, choice: Choice) -> list[dict[str, Any]]:
    """Return the images to search, in the order of their sample ids."""
    from fstore.store.parts import part_samples

    columns = ["sample_id", "image_id", "uri", "digest", "width", "height"]
    table = store.samples(dataset, "image", columns)
    rows: list[dict[str, Any]] = table.to_pylist()
    if choice.part is not None:
        part = set(part_samples(store, dataset, view="image", part=choice.part).tolist())
        rows = [row for row in rows if row["sample_id"] in part]
    if choice.image_list is not None:
        listed = _listed(choice.image_list)
        registered = set(table["image_id"].to_pylist())
        if strange := [name for name in listed if name not in registered]:
            raise UnknownNameError(
                f"{choice.image_list} names {len(strange)} images that data set '{dataset}' does "
                f"not have, the first of them {strange[0]!r}"
            )
        rows = [row for row in rows if row["image_id"] in set(listed)]
    if not rows:
        raise DataError(f"no image of data set '{dataset}' is chosen")
    return rows


def _listed(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def _searched(method: str) -> dict[str, object]:
    """Say what decides the boxes of a search; the libraries' versions are part of it."""
    from importlib.metadata import PackageNotFoundError, version

    from fstore.extractor.proposals import METHODS

    entry = METHODS[method]
    identity: dict[str, object] = {"method": method, "version": entry.meta["version"]}
    for library in entry.meta["libraries"]:
        try:
            identity[library] = version(library)
        except PackageNotFoundError:  # another distribution may hold it; else the method says so
            identity[library] = "unknown"
    return identity


def _published(files: Sequence[Path]) -> dict[str, object]:
    """Say what decides the boxes of published files: their bytes."""
    try:
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    except OSError as exc:
        raise DataError(f"cannot read the box file: {exc}") from exc
    return {"method": "import", "files": digests}
