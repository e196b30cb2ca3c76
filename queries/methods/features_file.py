"""A feature matrix in a file of this machine: rows are read when they are needed.

Memory is that of one block of channels while it is written and of the rows asked for afterwards.
"""

import tempfile
import weakref
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from fstore.types import IntArray

__all__ = ["FeaturesFile"]

PIECE_BYTES = 1 << 24
"""Features that are put in order, or read in a row, at a time."""

FLOAT = 4


class FeaturesFile:
    """Features of samples, in a nameless file of the folder for temporary files (``TMPDIR``).

    The file takes ``4 n_samples n_features`` bytes and is gone when the object is, or the process,
    however it ends.

    Attributes
    ----------
    n_samples, n_features : int
    squares : array of shape (n_samples,), float64
        Squared L2 norms of the rows.
    """

    def __init__(
        self, blocks: Iterable[NDArray[np.float32]], *, n_samples: int, n_features: int
    ) -> None:
        """Write blocks of shape (n_samples, ...), float32; trailing axes are one."""
        self.n_samples, self.n_features = n_samples, n_features
        self.squares = np.zeros(n_samples)
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - see the next line
        weakref.finalize(self, self._file.close)
        done = 0
        for X in blocks:
            done += self._write(X, done)
        if done != n_features:
            raise ValueError(f"blocks have {done} features, not {n_features}")

    def read(self, rows: IntArray) -> NDArray[np.float32]:
        """Return some rows, (len(rows), n_features), those that follow each other at once."""
        out = np.empty((len(rows), self.n_features), dtype=np.float32)
        ends = np.flatnonzero(np.diff(rows) != 1) + 1
        for start, end in zip([0, *ends], [*ends, len(rows)], strict=True):
            if end > start:
                self._fill(out[start:end], int(rows[start]))
        return out

    def pieces(self, rows: IntArray) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield rows in order, a bounded number at a time, and their places among ``rows``."""
        step = max(1, PIECE_BYTES // (FLOAT * self.n_features))
        for start in range(0, len(rows), step):
            part = slice(start, min(start + step, len(rows)))
            yield part, self.read(rows[part])

    def _write(self, X: NDArray[np.float32], before: int) -> int:
        """Put a block's features behind those of earlier blocks; return how many."""
        width = int(np.prod(X.shape[1:]))
        step = max(1, PIECE_BYTES // (FLOAT * width))
        for start in range(0, self.n_samples, step):
            piece = np.ascontiguousarray(X[start : start + step]).reshape(-1, width)
            self.squares[start : start + step] += np.einsum(
                "ij,ij->i", piece, piece, dtype=np.float64
            )
            if width == self.n_features:
                self._put(piece, start * width)
                continue
            for row, values in enumerate(piece, start):
                self._put(values, row * self.n_features + before)
        return width

    def _put(self, values: NDArray[np.float32], at: int) -> None:
        self._file.seek(FLOAT * at)
        left = values.data.cast("B")
        while left:
            left = left[self._file.write(left) :]

    def _fill(self, out: NDArray[np.float32], row: int) -> None:
        self._file.seek(FLOAT * row * self.n_features)
        left = out.data.cast("B")
        while left:
            left = left[self._file.readinto(left) :]
