"""The samples of a view, kept as columns: a view may have millions, a page shows a hundred."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["SampleRows"]


class SampleRows(Mapping[int, dict[str, Any]]):
    """Rows of table ``samples`` by the sample's id, made Python's when they are asked for.

    Parameters
    ----------
    table : pa.Table
        Of one view.
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table.sort_by("sample_id").combine_chunks()
        self.ids: NDArray[np.int64] = self._table["sample_id"].to_numpy()

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return int(self._table.nbytes)

    def column(self, name: str) -> list[Any]:
        """Return a column, in order of id."""
        values: list[Any] = self._table[name].to_pylist()
        return values

    def __getitem__(self, sample: int) -> dict[str, Any]:
        at = int(np.searchsorted(self.ids, sample))
        if at == len(self.ids) or self.ids[at] != sample:
            raise KeyError(sample)
        row: dict[str, Any] = self._table.slice(at, 1).to_pylist()[0]
        return row

    def __iter__(self) -> Iterator[int]:
        return iter(self.ids.tolist())

    def __len__(self) -> int:
        return len(self.ids)
