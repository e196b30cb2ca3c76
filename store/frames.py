"""Stored responses for readers that are not ours: lazy frames, lists of files, Arrow tables.

On disk NULL stands for 0 where a layer is sparse, and for what follows from ``act_max`` where a map
is 1x1 (``views.RESPONSES`` says it in SQL). Here the same rules stand as Polars expressions, which
leave conditions on samples and channels to the files, and as a function over an Arrow table, for
engines that read the files themselves. A file without NULL for 0 comes out as it went in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fstore.errors import UnknownNameError
from fstore.store.schema import (
    ACT_MAX,
    ACT_SUM,
    ARGMAX,
    CHANNEL,
    MAP,
    NNZ,
    NPOS,
    PARTITION,
    SAMPLE_ID,
    TABLES,
)

if TYPE_CHECKING:
    import polars as pl

    from fstore.store.files import StoredFile

__all__ = ["DataFile", "data_files", "fill_zeros", "scan_files"]

COLUMNS = TABLES["activations"].schema.names


@dataclass(frozen=True, slots=True)
class DataFile:
    """A Parquet file of responses, for a program that reads it itself.

    In it NULL stands for 0; :func:`fill_zeros` puts the zeros back. Partition columns are not in
    the file.
    """

    uri: str
    partition: dict[str, str]
    """Column -> value."""


def data_files(files: "Sequence[StoredFile]") -> list[DataFile]:
    """Return stored files as addresses and partition values, in order."""
    return [DataFile(file.uri, file.partition.values) for file in files]


def scan_files(
    files: "Sequence[StoredFile]", *, columns: Sequence[str] | None = None
) -> "pl.LazyFrame":
    """Return files as a lazy frame in which zeros are 0; nothing but footers is read yet.

    Parameters
    ----------
    files : sequence of StoredFile, at least one
        Of one store.
    columns : sequence of str or None
        Of the table ``activations``; None for all.

    Returns
    -------
    pl.LazyFrame
        A row a sample and channel, in the order of the files.

    Raises
    ------
    UnknownNameError
        The table has no such column.
    """
    import polars as pl

    names = list(COLUMNS if columns is None else columns)
    if strange := [name for name in names if name not in COLUMNS]:
        raise UnknownNameError(
            f"table 'activations' has no column '{strange[0]}'; it has: {', '.join(COLUMNS)}"
        )
    of: dict[Any, list[str]] = {}
    for file in files:
        of.setdefault(file.partition, []).append(file.uri)
    options = files[0].place.storage_options or None
    frames = [_partition(uris, part.values, options) for part, uris in of.items()]
    return (pl.concat(frames) if len(frames) > 1 else frames[0]).select(names)


def _partition(
    uris: list[str], values: dict[str, str], options: dict[str, str] | None
) -> "pl.LazyFrame":
    import polars as pl

    stored = pl.scan_parquet(
        uris,
        glob=False,
        hive_partitioning=False,
        schema=_file_schema(),
        extra_columns="ignore",
        missing_columns="insert",
        storage_options=options,
    )
    constants = [pl.lit(value, pl.String).alias(name) for name, value in values.items()]
    return stored.select(*constants, SAMPLE_ID, CHANNEL, *_filled())


def _file_schema() -> "dict[str, Any]":
    import polars as pl

    kinds = {pa.float32(): pl.Float32, pa.float64(): pl.Float64}
    kinds |= {
        pa.int32(): pl.Int32,
        pa.int64(): pl.Int64,
        pa.list_(pa.float32()): pl.List(pl.Float32),
    }
    fields = TABLES["activations"].schema
    return {field.name: kinds[field.type] for field in fields if field.name not in PARTITION}


def _filled() -> "list[pl.Expr]":
    """Return the columns that may be NULL on disk, as views.RESPONSES has them."""
    import polars as pl

    largest, responses = pl.col(ACT_MAX), pl.col(MAP)
    zero = largest.fill_null(0)
    return [
        zero,
        pl.coalesce(ACT_SUM, zero.cast(pl.Float64)),
        pl.coalesce(NNZ, (zero != 0).cast(pl.Int32)),
        pl.coalesce(NPOS, (zero > 0).cast(pl.Int32)),
        pl.col(ARGMAX).fill_null(0),
        pl.when(responses.is_null())
        .then(pl.concat_list(zero))
        .otherwise(responses.list.eval(pl.element().fill_null(0)))
        .alias(MAP),
    ]


def fill_zeros(table: pa.Table) -> pa.Table:
    """Return rows of a stored file with the zeros that are NULL in it.

    For engines that read files themselves, as in
    ``ray.data.read_parquet(uris).map_batches(fill_zeros, batch_format="pyarrow")``.

    Parameters
    ----------
    table : pa.Table
        Some or all columns of a file. All but ``sample_id``, ``channel``, ``act_max``, ``argmax``
        and a whole ``map`` need ``act_max`` beside them where a map is 1x1.

    Returns
    -------
    pa.Table
        The same columns, without NULL.

    Raises
    ------
    UnknownNameError
        A column is NULL where ``act_max`` tells its value, and ``act_max`` is not there.
    """
    names = table.schema.names
    largest = _largest(table)
    for at, name in enumerate(names):
        column = table[name]
        if name == MAP:
            filled = _filled_maps(column, largest)
        elif name == ACT_MAX:
            filled = largest
        elif name == ARGMAX:
            filled = pc.fill_null(column, 0)
        elif name in (ACT_SUM, NNZ, NPOS) and column.null_count:
            filled = pc.coalesce(column, _told(name, largest).cast(column.type))
        else:
            continue
        table = table.set_column(at, pa.field(name, column.type), filled)
    return table


def _largest(table: pa.Table) -> pa.ChunkedArray | None:
    if ACT_MAX not in table.schema.names:
        return None
    return pc.fill_null(table[ACT_MAX], pa.scalar(0, table[ACT_MAX].type))


def _told(name: str, largest: pa.ChunkedArray | None) -> pa.ChunkedArray:
    """Return what ``act_max`` says of a column where a map is 1x1."""
    if largest is None:
        raise UnknownNameError(
            f"column '{name}' is NULL where '{ACT_MAX}' tells it; read '{ACT_MAX}' with it"
        )
    if name in (ACT_SUM, MAP):
        return largest
    zero = pa.scalar(0, largest.type)
    # SQL and Polars take NaN for the largest of numbers, so it counts as above 0
    return (
        pc.not_equal(largest, zero)
        if name == NNZ
        else pc.or_(pc.greater(largest, zero), pc.is_nan(largest))
    )


def _filled_maps(column: pa.ChunkedArray, largest: pa.ChunkedArray | None) -> pa.ChunkedArray:
    maps = column.combine_chunks()
    maps = maps.chunk(0) if isinstance(maps, pa.ChunkedArray) else maps
    values = pc.fill_null(maps.flatten(), pa.scalar(0, column.type.value_type))
    lengths = np.asarray(pc.fill_null(pc.list_value_length(maps), 0))
    if maps.null_count:
        ones = np.asarray(_told(MAP, largest))
        starts = np.concatenate([[0], np.cumsum(lengths)])[:-1]
        alone = maps.is_null().to_numpy(zero_copy_only=False)
        values = pa.array(np.insert(values.to_numpy(), starts[alone], ones[alone]))
        lengths = np.where(alone, 1, lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    filled = pa.ListArray.from_arrays(pa.array(offsets), values)
    return pa.chunked_array([filled.cast(column.type)])
