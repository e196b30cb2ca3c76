"""Where the images of data sets are: in a folder of this machine, or in the store.

A store in a local folder has its images' paths. One that is elsewhere reads an image when it is
wanted, each by itself: nothing is copied to the local disk.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fstore.errors import DataError, StorageError
from fstore.store.commits import storage
from fstore.store.local import local_folder
from fstore.store.place import inside
from fstore.system_errors import reason

if TYPE_CHECKING:
    from fstore.store.place import Place
    from fstore.types import ImageFile, ImageFolder

__all__ = ["StoredImages", "images_key", "images_root", "local_path", "upload_images"]

AT_ONCE = 16
"""Images that are under way to a store: each waits for an answer most of its time."""


@dataclass(frozen=True)
class StoredImages:
    """A folder of images in a store, or a file in it: what :class:`Path` is for a local one."""

    place: "Place"
    key: str

    def __truediv__(self, uri: str) -> "StoredImages":
        return StoredImages(self.place, f"{self.key}/{uri}" if self.key else uri)

    def __str__(self) -> str:
        return f"{self.place}/{self.key}"

    @property
    def name(self) -> str:
        """What stands after the last ``/``."""
        return self.key.rpartition("/")[2]

    def read_bytes(self) -> bytes:
        """Return a file's content."""
        return self.place.read(self.key)

    def is_file(self) -> bool:
        """Tell whether the file is there."""
        return self.place.entry(self.key) is not None

    def local(self) -> Path:
        """Return the path of a local copy of the file."""
        return self.place.local(self.key)


def local_path(file: "ImageFile") -> Path:
    """Return the path of an image file on this machine; one in a store elsewhere is copied.

    Raises
    ------
    DataError
        It is in the store no more, or cannot be read.
    """
    if not isinstance(file, StoredImages):
        return Path(str(file))
    try:
        return file.local()
    except OSError as error:
        raise DataError(f"cannot read image {reason(error)}") from error


def images_key(root: "Place", images: "ImageFolder") -> str | None:
    """Return the key of a folder of images; None if it is not in the store."""
    if isinstance(images, StoredImages):
        if images.place != root:
            raise StorageError(f"{images} is in another store than {root}; copy the images first")
        return images.key
    return root.key_of(Path(str(images)))


def images_root(root: "Place", name: str, place: str) -> "ImageFolder":
    """Return a data set's folder: absolute, and only read; or in the store.

    Parameters
    ----------
    root : Place
        The store.
    name : str
        The data set.
    place : str
        As table ``datasets`` has it.
    """
    if Path(place).is_absolute():
        return Path(place)
    row = f"data set '{name}'"
    key = "" if place == "." else inside(root, place, table="datasets", row=row)
    folder = local_folder(root)
    return StoredImages(root, key) if folder is None else folder / key


def upload_images(
    root: "Place",
    name: str,
    folder: Path,
    *,
    uris: Iterable[str],
    on_progress: Callable[[int, int], None] | None = None,
) -> "ImageFolder":
    """Copy images into the store, and return where they are then.

    Those of a data set that is registered are left as they are, and none is sent twice: what is
    registered is told by digests, which reading compares.

    Parameters
    ----------
    root : Place
        The store.
    name : str
        The data set, which need not be registered yet.
    folder : Path
        Where the images are.
    uris : iterable of str
        The files' paths in there.
    on_progress : callable or None
        Called with (files copied, files in all).

    Raises
    ------
    StorageError
        They cannot be read, or the store not be written.
    """
    from fstore.store.tables import read_rows

    key = f"images/{name}"
    registered = any(
        row["root"] == key for row in read_rows(root, "datasets", name=name).to_pylist()
    )
    sent = {entry.key for entry in root.entries(key)} if registered else set()
    wanted = [uri for uri in dict.fromkeys(uris) if f"{key}/{uri}" not in sent]
    with storage(f"cannot copy images into {root}"), ThreadPoolExecutor(AT_ONCE) as pool:
        copies = pool.map(partial(_copy, root, folder, key=key), wanted)
        for done, _ in enumerate(copies, start=1):
            if on_progress is not None:
                on_progress(done, len(wanted))
    return images_root(root, name, key)


def _copy(root: "Place", folder: Path, uri: str, *, key: str) -> None:
    root.write(f"{key}/{uri}", (folder / uri).read_bytes())
