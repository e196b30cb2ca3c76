"""Search many images for regions: in several processes, each image's boxes kept as it is done."""

import io
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np

from fstore.errors import DataError, StorageError
from fstore.extractor.images import ChangedFileError, decode, read_bytes_checked
from fstore.extractor.proposals._api import METHODS, Boxes
from fstore.types import ImageFolder

__all__ = ["SearchImage", "Searched", "search"]


@dataclass(frozen=True, slots=True)
class SearchImage:
    """An image to search: its sample id in view ``image``, its file and the file's digest."""

    sample_id: int
    uri: str
    digest: str


@dataclass(frozen=True, slots=True)
class Searched:
    """What was found in an image: its boxes, best first; None and a reason if it is unreadable."""

    image: SearchImage
    boxes: Boxes | None
    reason: str = ""


def search(
    root: ImageFolder,
    images: Sequence[SearchImage],
    *,
    method: str,
    folder: Path,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[Searched]:
    """Find the regions of images and yield them in the order of the images.

    Parameters
    ----------
    root : ImageFolder
        Folder of the data set.
    images : sequence of SearchImage
    method : str
        A name in :data:`METHODS`.
    folder : Path
        Keeps each image's boxes: what is there is not searched again, so that a run that was
        killed goes on. The caller gives each method, version and data set its own.
    workers : int
        Processes; with 1, this one searches.
    on_progress : callable or None
        Called with (images done, images in all).

    Yields
    ------
    Searched
        With at least one box a readable image: the whole of it where nothing was found.

    Raises
    ------
    ChangedFileError
        A file is not the registered one any more.
    MissingExtraError
        The method needs a library that is not installed.
    DataError
        A search process died.
    """
    _make(folder)
    missing = [image for image in images if not _file(folder, image).exists()]
    done = len(images) - len(missing)
    reasons: dict[int, str] = {}
    tell = on_progress or (lambda _done, _total: None)
    tell(done, len(images))
    with _running(root, missing, method=method, folder=folder, workers=workers) as results:
        for image, reason in results:
            if reason:
                reasons[image.sample_id] = reason
            done += 1
            tell(done, len(images))
    for image in images:
        reason = reasons.get(image.sample_id, "")
        yield Searched(image, None if reason else _load(_file(folder, image)), reason)


Result = tuple[SearchImage, str]

QUIET = "ignore:resource_tracker:UserWarning"
"""For processes that this one starts."""


@contextmanager
def _running(
    root: ImageFolder, images: Sequence[SearchImage], *, method: str, folder: Path, workers: int
) -> Iterator[Iterator[Result]]:
    """Give an iterator over the images as they are done; end what still runs behind it."""
    if workers == 1 or len(images) <= 1:
        yield ((image, _search_one(root, image, method=method, folder=folder)) for image in images)
        return
    # of a killed run multiprocessing's own watcher removes the semaphores; it need not say so
    if QUIET not in sys.warnoptions:
        sys.warnoptions.append(QUIET)
    pool = ProcessPoolExecutor(
        min(workers, len(images)),
        mp_context=multiprocessing.get_context("spawn"),  # torch's threads do not survive a fork
        initializer=_start,
    )
    try:
        with _deaf():
            tasks = {
                pool.submit(_search_one, root, i, method=method, folder=folder): i for i in images
            }
        yield _as_done(tasks)
    except BrokenExecutor as exc:
        raise DataError(
            "a search process died. If memory ran out, run it again with fewer --workers. If this "
            'is a script of your own, its calls must stand below `if __name__ == "__main__":`, '
            "because search processes import it. Images that are done are kept"
        ) from exc
    except BaseException:
        _kill(pool)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _kill(pool: ProcessPoolExecutor) -> None:
    """End the search processes: an image takes seconds, and whoever stops a run waits for none.

    Boxes of an image are written whole or not at all, so nothing but time is lost.
    """
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.kill()


@contextmanager
def _deaf() -> Iterator[None]:
    """Have processes that are started here not hear Ctrl-C, not even while they are loading."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _as_done(tasks: dict[Future[str], SearchImage]) -> Iterator[Result]:
    for task in as_completed(tasks):
        yield tasks[task], task.result()


def _start() -> None:
    """Prepare a search process: Ctrl-C is its parent's business, and it ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _search_one(root: ImageFolder, image: SearchImage, *, method: str, folder: Path) -> str:
    """Search an image and keep its boxes; return why it cannot be read, or nothing."""
    entry = METHODS[method]
    file = _file(folder, image)
    if file.exists():  # another run was quicker
        return ""
    try:
        pixels = decode(read_bytes_checked(root / image.uri, image.digest, uri=image.uri))
    except ChangedFileError:
        raise
    except DataError as error:
        return str(error)
    _save(file, tidy(entry.function(pixels), pixels.width, pixels.height))
    return ""


def tidy(boxes: Boxes, width: int, height: int) -> Boxes:
    """Return boxes kept inside the image, each once, in order; the whole image if there is none.

    An image always has a proposal, so that the images of the view are those that were searched.
    """
    kept = np.clip(boxes, 1, [width, height, width, height])
    _, first = np.unique(kept, axis=0, return_index=True)
    kept = kept[np.sort(first)]
    return kept if len(kept) else np.array([[1.0, 1.0, width, height]])


def _file(folder: Path, image: SearchImage) -> Path:
    return folder / f"{image.sample_id:08d}.npy"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise StorageError(f"cannot make {folder}: {exc}") from exc


def _load(file: Path) -> Boxes:
    try:
        boxes: Boxes = np.load(file, allow_pickle=False).astype(np.float64)
    except (OSError, ValueError, EOFError) as exc:
        raise DataError(f"{file} is damaged: {exc}; delete it to search its image again") from exc
    return boxes


def _save(file: Path, boxes: Boxes) -> None:
    """Write an image's boxes as float32; a kill at any moment leaves a whole file or none."""
    content = io.BytesIO()
    np.save(content, boxes.astype(np.float32))
    temporary = ""
    try:
        with tempfile.NamedTemporaryFile(
            dir=file.parent, prefix=f".{file.name}.", delete=False
        ) as opened:
            temporary = opened.name
            opened.write(content.getvalue())
            opened.flush()
            os.fsync(opened.fileno())
        Path(temporary).replace(file)
    except OSError as exc:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise StorageError(f"cannot write {file}: {exc}") from exc
