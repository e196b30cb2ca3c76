"""What an exported file holds, and the table of formats."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fstore.extras import need
from fstore.registry import Entry, Registry

__all__ = ["FORMATS", "RowLabels", "Table", "check_installed", "file_format"]

Mapped: TypeAlias = np.memmap[tuple[int, int], np.dtype[np.float32]]

BLOCK_BYTES = 1 << 24
"""Of features, held at once."""


@dataclass(frozen=True, slots=True)
class RowLabels:
    """What the rows of a matrix are.

    Attributes
    ----------
    sample_ids : array of shape (n_samples,), int64
    image_ids : pyarrow.Array of n_samples texts
    labels : array of shape (n_samples, n_classes), int8
        1, 0 (only difficult objects) or -1.
    classes : tuple of str
        Of the columns of labels.
    """

    sample_ids: NDArray[np.int64]
    image_ids: pa.Array
    labels: NDArray[np.int8]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """What a file is to hold.

    Attributes
    ----------
    matrix : Path
        A ``.npy`` file of shape (n_samples, n_features), float32, by rows.
    shape : tuple of three int
        Channels, height and width: the last two give the place of a feature in its map.
    describe : callable
        ``describe()`` gives what the rows are.
    provenance : mapping
        Where the features come from, in types that JSON knows.
    """

    matrix: Path
    shape: tuple[int, int, int]
    describe: Callable[[], RowLabels]
    provenance: Mapping[str, Any]

    @cached_property
    def rows(self) -> RowLabels:
        """What the rows are."""
        return self.describe()

    @cached_property
    def features(self) -> Mapped:
        """The matrix, mapped into memory, read-only."""
        mapped: Mapped = np.load(self.matrix, mmap_mode="r")
        return mapped

    @property
    def n_features(self) -> int:
        """Columns of the matrix."""
        return self.features.shape[1]

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield the matrix some rows at a time, and which rows these are."""
        step = max(1, BLOCK_BYTES // (4 * self.n_features))
        with self.matrix.open("rb") as file:
            file.seek(self.features.offset)
            for start in range(0, len(self.features), step):
                n = min(step, len(self.features) - start)
                # read, not mapped: pages of a map count as this process's memory
                block = np.fromfile(file, np.float32, n * self.n_features)
                yield slice(start, start + n), block.reshape(n, -1)

    def json(self) -> str:
        """Return the provenance as a text."""
        return json.dumps(dict(self.provenance), ensure_ascii=False)


Write: TypeAlias = Callable[[Path, Table], None]
IsFolder: TypeAlias = Callable[[Path], bool]

FORMATS: "Registry[Write]" = Registry("format of files")
"""Functions ``write(path, table)`` by the ending of a file's name."""


def file_format(
    suffix: str, *, needs: str = "", extra: str = "", is_folder: IsFolder | None = None
) -> Callable[[Write], Write]:
    """Register a format: a function that writes a table to a path where nothing is.

    A module here is called as the ending that it is for: so the command line lists the endings
    without loading the formats.

    Parameters
    ----------
    suffix : str
        ``.h5``: by it the format is chosen.
    needs : str
        Module that must be installed.
    extra : str
        Extra of fstore that installs it.
    is_folder : callable or None
        Of a format whose files are folders: tells whether a folder is of this format, and holds
        nothing else, so that it may be replaced.
    """
    return FORMATS.register(suffix, needs=needs, extra=extra, is_folder=is_folder)


def check_installed(entry: "Entry[Write]") -> None:
    """Refuse a format whose library is not installed.

    Raises
    ------
    MissingExtraError
        With the command that installs it.
    """
    if entry.meta["needs"]:
        need(entry.meta["needs"], extra=entry.meta["extra"])
