"""SQL macros and functions that every session has."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from fstore.store.permutation import permutation
from fstore.store.precision import AveragePrecision, ap, voc_ap

if TYPE_CHECKING:
    import duckdb

__all__ = ["FUNCTIONS", "MACROS", "Function", "Macro", "register_functions"]


@dataclass(frozen=True, slots=True)
class Macro:
    """A macro: how it is called, what it gives, the statement that creates it.

    An ``aggregate`` takes a group's rows, as ``sum`` does; the others take one row.
    """

    name: str
    signature: str
    summary: str
    sql: str
    aggregate: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A scalar function in NumPy, called with Arrow arrays.

    DuckDB answers NULL for NULL by itself, unless the function ``sees_null``.
    """

    name: str
    signature: str
    summary: str
    parameters: tuple[str, ...]
    returns: str
    call: Callable[..., pa.Array]
    sees_null: bool = False


MACROS: tuple[Macro, ...] = (
    Macro(
        "binarize",
        "binarize(map)",
        "Map with 1 where a response is above 0, else 0; `binarize(map, t)`: above t",
        """CREATE MACRO
            binarize(map) AS list_transform(map, lambda x: (x > 0)::FLOAT),
            (map, t) AS list_transform(map, lambda x: (x > t::FLOAT)::FLOAT)""",
    ),
    Macro(
        "threshold",
        "threshold(map, t)",
        "Map with 0 where a response is not above t",
        """CREATE MACRO threshold(map, t) AS
            list_transform(map, lambda x: CASE WHEN x > t::FLOAT THEN x ELSE 0::FLOAT END)""",
    ),
    Macro(
        "top_k",
        "top_k(map, k)",
        "Mean of the k largest responses of a map: `sp_max` for 1, the mean for all places",
        "CREATE MACRO top_k(map, k) AS"
        " list_avg(list_slice(list_reverse_sort(map), 1, k)::DOUBLE[])::FLOAT",
    ),
    Macro(
        "sp_max",
        "sp_max(map)",
        "Largest response of a map; column `act_max` has it stored",
        "CREATE MACRO sp_max(map) AS list_max(map)",
    ),
    Macro(
        "sp_shuffle",
        "sp_shuffle(map, perm)",
        "Map whose place i holds `map[perm[i]]`, places counted from 0; `perm` from"
        " `sp_permutation`",
        "CREATE MACRO sp_shuffle(map, perm) AS"
        " list_select(map, list_transform(perm, lambda p: p + 1))",
    ),
    Macro(
        "map_at",
        "map_at(map, y, x, width)",
        "Response at row y, column x, both from 0, of a map `width` wide",
        "CREATE MACRO map_at(map, y, x, width) AS map[y * width + x + 1]",
    ),
    Macro(
        "centre_of_mass",
        "centre_of_mass(map, width)",
        "Mean place {y, x}, from 0, weighted by the responses above 0; NULL if there are none",
        """CREATE MACRO centre_of_mass(map, width) AS CASE WHEN list_max(map) > 0 THEN {
            'y': list_dot_product(_positive(map), list_transform(
                range(len(map)), lambda i: (i // width)::DOUBLE)) / list_sum(_positive(map)),
            'x': list_dot_product(_positive(map), list_transform(
                range(len(map)), lambda i: (i % width)::DOUBLE)) / list_sum(_positive(map))
        } END""",
    ),
    Macro(
        "iou",
        "iou(box_a, box_b)",
        "Intersection over union of two boxes; areas count pixels, both edges included, as VOC",
        """CREATE MACRO iou(a, b) AS _intersection(a, b)
            / (_box_area(a) + _box_area(b) - _intersection(a, b))""",
    ),
    Macro(
        "sparsity",
        "sparsity(nnz, positions)",
        "Share of responses that are not 0, from 0 to 1: sum(nnz) / sum(positions);"
        " `positions` is a map's height x width",
        "CREATE MACRO sparsity(nnz, positions) AS sum(nnz) / sum(positions)",
        aggregate=True,
    ),
    Macro(
        "cosine",
        "cosine(x, y)",
        "Cosine of the angle between two vectors that lie along the rows; NULL if one is all 0",
        """CREATE MACRO cosine(x, y) AS sum(x::DOUBLE * y::DOUBLE)
            / nullif(sqrt(sum(x::DOUBLE * x::DOUBLE) * sum(y::DOUBLE * y::DOUBLE)), 0)""",
        aggregate=True,
    ),
    Macro(
        "voc_ap",
        "voc_ap(score, label)",
        "Average precision at 11 recalls (VOC 2007); label 1 positive, -1 negative, 0 left out;"
        " equal scores enter as one block; NULL without a positive",
        "CREATE MACRO voc_ap(score, label) AS _voc_ap(_ranking(score, label))",
        aggregate=True,
    ),
    Macro(
        "ap",
        "ap(score, label)",
        "Average precision over all points (VOC 2010 and later): the area under the interpolated"
        " precision-recall curve; labels and ties as for `voc_ap`",
        "CREATE MACRO ap(score, label) AS _ap(_ranking(score, label))",
        aggregate=True,
    ),
)

HELPERS = (
    "CREATE MACRO _positive(map) AS list_transform(map, lambda v: greatest(v, 0)::DOUBLE)",
    "CREATE MACRO _box_area(a) AS (a.xmax - a.xmin + 1) * (a.ymax - a.ymin + 1)",
    """CREATE MACRO _intersection(a, b) AS
        greatest(least(a.xmax, b.xmax) - greatest(a.xmin, b.xmin) + 1, 0)
        * greatest(least(a.ymax, b.ymax) - greatest(a.ymin, b.ymin) + 1, 0)""",
    """CREATE MACRO _ranking(score, label) AS
        list({'score': score::DOUBLE, 'label': label::INTEGER})
        FILTER (WHERE score IS NOT NULL AND label IS NOT NULL)""",
)


def register_functions(duck: "duckdb.DuckDBPyConnection") -> None:
    """Add the functions that need NumPy, and what macros build on."""
    from duckdb.func import ARROW, DEFAULT, SPECIAL

    for function in FUNCTIONS:
        duck.create_function(
            function.name,
            function.call,
            list(function.parameters),
            function.returns,
            type=ARROW,
            null_handling=SPECIAL if function.sees_null else DEFAULT,
        )
    for statement in HELPERS:
        duck.execute(statement)


def _permutations(
    seed: pa.ChunkedArray,
    view: pa.ChunkedArray,
    sample_id: pa.ChunkedArray,
    positions: pa.ChunkedArray,
) -> pa.Array:
    """Permutations for the rows of a batch.

    A function and not a table: a table would have to be filled beforehand for every sample,
    view, map size and seed that a query may ask for. What repeats, as for the channels of a
    sample, is computed once.
    """
    columns = (c.to_pylist() for c in (seed, view, sample_id, positions))
    orders = [
        permutation(p, seed=s, view=v, sample_id=i) for s, v, i, p in zip(*columns, strict=True)
    ]
    ends = np.cumsum([0, *(len(order) for order in orders)])
    return pa.ListArray.from_arrays(ends.astype(np.int32), np.concatenate(orders))


def _each(measure: AveragePrecision) -> Callable[[pa.ChunkedArray], pa.Array]:
    """Apply a measure to every list of {score, label}.

    In NumPy because SQL (a subquery with windows over the list) took 1.4 s for 16 lists of 300
    and did not end within ten minutes for 5,120 lists of 2,000; this takes 0.02 s and 2 s.
    """

    def measures(rankings: pa.ChunkedArray) -> pa.Array:
        lists = _one(rankings)
        score, label = (column.to_numpy() for column in lists.values.flatten())
        ends = lists.offsets.to_numpy()
        values = [measure(score[a:b], label[a:b]) for a, b in itertools.pairwise(ends)]
        return pa.array(values, pa.float64())  # a NULL list is empty, as is the group it is of

    return measures


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


RANKING = "STRUCT(score DOUBLE, label INTEGER)[]"

FUNCTIONS: tuple[Function, ...] = (
    Function(
        "sp_permutation",
        "sp_permutation(seed, view, sample_id, positions)",
        "Permutation of 0 ... positions - 1 (INTEGER[]) that belongs to a sample; the same on"
        " every machine, whatever its data set is called",
        ("BIGINT", "VARCHAR", "BIGINT", "INTEGER"),
        "INTEGER[]",
        _permutations,
    ),
    Function("_voc_ap", "", "", (RANKING,), "DOUBLE", _each(voc_ap), sees_null=True),
    Function("_ap", "", "", (RANKING,), "DOUBLE", _each(ap), sees_null=True),
)
