"""The boxes that some class keeps in mind while negatives are mined: features in bounded memory."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pool", "PoolFullError"]


class PoolFullError(Exception):
    """There is no room for more rows."""


class Pool:
    """Rows of features, each there once however many classes hold it; freed when none does.

    Parameters
    ----------
    n_features : int
    max_bytes : int
        Of the features. The memory is reserved at once, and taken by the system as it is filled.
    """

    def __init__(self, n_features: int, max_bytes: int) -> None:
        capacity = max(1, max_bytes // (4 * n_features))
        self.values = np.empty((capacity, n_features), dtype=np.float32)
        self._holders = np.zeros(capacity, dtype=np.int64)
        self._key_of = np.zeros(capacity, dtype=np.int64)
        self._place_of: dict[int, int] = {}
        self._free: list[int] = []
        self._reached = 0  # rows behind it were never used

    @property
    def held_bytes(self) -> int:
        """Bytes of the rows that are held."""
        return 4 * len(self._place_of) * self.values.shape[1]

    def places(self, keys: Sequence[int], X: NDArray[np.float32]) -> NDArray[np.intp]:
        """Return where rows are, storing those that are not there yet; none is held by this.

        Parameters
        ----------
        keys : sequence of int
            What tells rows apart.
        X : array of shape (len(keys), n_features), float32

        Raises
        ------
        PoolFullError
            Not all of them fit; nothing is stored then.
        """
        new = [i for i, key in enumerate(keys) if key not in self._place_of]
        at = self._take(len(new))
        self.values[at] = X[new]
        for i, place in zip(new, at, strict=True):
            self._place_of[keys[i]] = place
            self._key_of[place] = keys[i]
        return np.array([self._place_of[key] for key in keys], dtype=np.intp)

    def _take(self, n: int) -> list[int]:
        """Return free rows, those first that were used before."""
        fresh = max(0, n - len(self._free))
        if self._reached + fresh > len(self.values):
            raise PoolFullError
        again = [self._free.pop() for _ in range(n - fresh)]
        self._reached += fresh
        return [*again, *range(self._reached - fresh, self._reached)]

    def keys(self, places: NDArray[np.intp]) -> list[int]:
        """Return what tells the rows at some places apart."""
        keys: list[int] = self._key_of[places].tolist()
        return keys

    def hold(self, places: NDArray[np.intp]) -> None:
        """Hold rows once more; each place is named once."""
        self._holders[places] += 1

    def release(self, places: NDArray[np.intp]) -> None:
        """Hold rows once less; those that nobody holds any more make room."""
        self._holders[places] -= 1
        for place in places[self._holders[places] == 0].tolist():
            del self._place_of[int(self._key_of[place])]
            self._free.append(place)
