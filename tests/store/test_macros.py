"""Macros and functions against arithmetic that is written out here."""

import math
import re
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fstore.errors import QueryError
from fstore.store import Store
from fstore.store.macros import FUNCTIONS, MACROS, register_functions
from fstore.store.permutation import permutation
from fstore.store.precision import ap, voc_ap

Pairs = Sequence[tuple[float, int]]
Rows = list[tuple[object, ...]]


@pytest.fixture(scope="module")
def duck() -> duckdb.DuckDBPyConnection:
    """Return a DuckDB with the macros and no store."""
    connection = duckdb.connect()
    register_functions(connection)
    for macro in MACROS:
        connection.execute(macro.sql)
    return connection


def one(duck: duckdb.DuckDBPyConnection, expression: str) -> object:
    """Return the value of an expression."""
    row = duck.execute(f"SELECT {expression}").fetchone()
    assert row is not None
    return row[0]


def both(duck: duckdb.DuckDBPyConnection, pairs: Pairs) -> tuple[float | None, float | None]:
    """Return voc_ap and ap of (score, label) rows, by SQL."""
    rows = pa.table({"s": [float(s) for s, _ in pairs], "l": [label for _, label in pairs]})
    found = duck.from_arrow(rows).aggregate("voc_ap(s, l), ap(s, l)").fetchall()[0]
    return found[0], found[1]


def by_hand(pairs: Pairs) -> tuple[float | None, float | None]:
    """Return both measures from their definitions: cut at every score, take the best."""
    kept = [(s, label) for s, label in pairs if label != 0]
    n_positive = sum(label > 0 for _, label in kept)
    if n_positive == 0:
        return None, None
    curve = []
    for cut in sorted({s for s, _ in kept}, reverse=True):
        taken = [label for s, label in kept if s >= cut]
        hits = sum(label > 0 for label in taken)
        curve.append((hits, hits / len(taken)))

    def best(hits: float) -> float:
        return max(p for h, p in curve if h >= hits)

    eleven = sum(best(k * n_positive / 10 - 1e-9) for k in range(11)) / 11
    return eleven, sum(best(h) for h in range(1, n_positive + 1)) / n_positive


@pytest.mark.parametrize(
    ("pairs", "eleven", "all_points"),
    [
        ([(3, 1), (2, 1), (1, -1)], 1, 1),  # perfect
        ([(3, -1), (2, -1), (1, 1)], 1 / 3, 1 / 3),  # the only positive comes last
        # precision 1 up to recall 1/2 (0 ... 0.5: six recalls), 2/3 above (five recalls)
        ([(3, 1), (2, -1), (1, 1)], (6 + 5 * 2 / 3) / 11, (1 + 2 / 3) / 2),
        ([(1, 1), (1, -1)], 1 / 2, 1 / 2),  # a tie is one block, in either order
        ([(1, -1), (1, 1)], 1 / 2, 1 / 2),
        ([(0, -1), (0, 1), (0, -1), (0, -1)], 1 / 4, 1 / 4),  # never fires: the base rate
        ([(3, 0), (2, 1), (1, 0)], 1, 1),  # difficult samples are neither
        ([(1, 1), (0, 1)], 1, 1),  # all positive
        ([(1, -1), (0, -1)], None, None),  # no positive
        ([(1, 0)], None, None),
        ([], None, None),
        ([(math.inf, 1), (-math.inf, -1)], 1, 1),
        ([(0.0, 1), (-0.0, -1)], 1 / 2, 1 / 2),  # the two zeros are one score
        # three of ten positives reach recall 0.3 exactly, where 3 / 10 >= 0.1 * 3 is false
        ([(9, 1)] * 3 + [(5, -1)] * 6 + [(1, 1)] * 7, (4 + 7 * 10 / 16) / 11, 0.3 + 0.7 * 10 / 16),
    ],
)
def test_precision_by_hand(
    duck: duckdb.DuckDBPyConnection,
    pairs: Pairs,
    eleven: float | None,
    all_points: float | None,
) -> None:
    """Both average precisions have their textbook values."""
    expected = [eleven, all_points]
    for found in (both(duck, pairs), by_hand(pairs)):
        assert list(found) == [pytest.approx(x) for x in expected]


ranking = st.lists(st.tuples(st.integers(-3, 6), st.sampled_from([-1, -1, 0, 1])), max_size=40)


@settings(max_examples=150, deadline=None)
@given(pairs=ranking, seed=st.integers(0, 2**32 - 1))
def test_precision_of_any_ranking(pairs: Pairs, seed: int) -> None:
    """Both measures follow their definitions, whatever the order of rows and the scale."""
    expected = by_hand(pairs)
    score = np.array([s for s, _ in pairs], dtype=float)
    label = np.array([x for _, x in pairs], dtype=np.int32)
    order = np.random.default_rng(seed).permutation(len(pairs))
    for scores in (score, 7 * score + 3, np.exp(score)):
        found = [measure(scores[order], label[order]) for measure in (voc_ap, ap)]
        # the sums have another order: at most 40 roundings of numbers up to 1
        assert found == [pytest.approx(x, abs=1e-12) for x in expected]


def test_precision_left_out_and_nan(duck: duckdb.DuckDBPyConnection) -> None:
    """Rows without score or label are left out; a NaN score makes the result NaN."""
    rows = "(VALUES (3.0, 1), (NULL, 1), (2, NULL), (1, -1)) AS t(s, l)"
    assert duck.execute(f"SELECT voc_ap(s, l), ap(s, l) FROM {rows}").fetchall() == [(1, 1)]
    nan = "(VALUES (3.0, 1), ('NaN'::DOUBLE, -1)) AS t(s, l)"
    found = duck.execute(f"SELECT voc_ap(s, l), ap(s, l) FROM {nan}").fetchall()[0]
    assert all(math.isnan(x) for x in found)
    difficult = "(VALUES (3.0, 1), ('NaN'::DOUBLE, 0)) AS t(s, l)"
    assert duck.execute(f"SELECT ap(s, l) FROM {difficult}").fetchall() == [(1,)]


def test_precision_of_thousands_of_groups(duck: duckdb.DuckDBPyConnection, seed: int) -> None:
    """Every group of a GROUP BY gets its own value, on several threads, in seconds."""
    rng = np.random.default_rng(seed)
    n_groups, n = 5000, 40
    score = rng.integers(0, 8, size=(n_groups, n)).astype(np.float32)
    label = rng.choice([-1, -1, -1, 0, 1], size=(n_groups, n))
    shuffled = rng.permutation(n_groups * n)
    rows = pa.table(
        {
            "g": np.repeat(np.arange(n_groups), n)[shuffled],
            "s": score.reshape(-1)[shuffled],
            "l": label.reshape(-1)[shuffled],
        }
    )
    before = time.perf_counter()
    found = (
        duck.from_arrow(rows)
        .aggregate("g, voc_ap(s, l), ap(s, l), sum(s)", "g")
        .order("g")
        .fetchall()
    )
    assert time.perf_counter() - before < 30  # 0.5 s alone; others may use the machine
    for g in range(0, n_groups, 97):
        expected = by_hand(list(zip(score[g].tolist(), label[g].tolist(), strict=True)))
        assert found[g][:3] == (g, pytest.approx(expected[0]), pytest.approx(expected[1]))
        assert found[g][3] == score[g].sum()


def test_binarize_and_max(duck: duckdb.DuckDBPyConnection) -> None:
    """Only responses above 0 become 1; the largest response may be negative."""
    assert one(duck, "binarize([-1, 0, 0.5, 2])") == [0, 0, 1, 1]
    assert one(duck, "sp_max([-3, -1, -2])") == -1
    assert one(duck, "binarize(NULL::FLOAT[])") is None


def test_map_at(duck: duckdb.DuckDBPyConnection) -> None:
    """Row and column count from 0, in a map that lies row by row."""
    grid = np.arange(12).reshape(3, 4)
    for y, x in np.ndindex(grid.shape):
        assert one(duck, f"map_at({grid.reshape(-1).tolist()}, {y}, {x}, 4)") == grid[y, x]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-3, 5), min_size=12, max_size=12))
def test_centre_of_mass(duck: duckdb.DuckDBPyConnection, values: list[int]) -> None:
    """The centre is that of the positive responses; without one there is none."""
    weight = np.maximum(values, 0).reshape(3, 4)
    found = one(duck, f"centre_of_mass({values}, 4)")
    if weight.sum() == 0:
        assert found is None
        return
    y, x = (float((weight * at).sum() / weight.sum()) for at in np.indices((3, 4)))
    assert found == {"y": pytest.approx(y), "x": pytest.approx(x)}


def box(x0: int, y0: int, x1: int, y1: int) -> str:
    """Write a box in SQL."""
    return f"{{'xmin': {x0}, 'ymin': {y0}, 'xmax': {x1}, 'ymax': {y1}}}"


boxes = st.tuples(*[st.integers(1, 9)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


@settings(max_examples=50, deadline=None)
@given(a=boxes, b=boxes)
def test_iou(
    duck: duckdb.DuckDBPyConnection, a: tuple[int, int, int, int], b: tuple[int, int, int, int]
) -> None:
    """Intersection over union counts pixels, the edges included."""
    pixels = [
        {(x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)} for x0, y0, x1, y1 in (a, b)
    ]
    expected = len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])
    assert one(duck, f"iou({box(*a)}, {box(*b)})") == pytest.approx(expected)


def test_sparsity_and_cosine(duck: duckdb.DuckDBPyConnection) -> None:
    """Sparsity weighs rows by their positions; a vector of zeros has no angle."""
    rows = "(VALUES (1, 4, 3, 4), (3, 12, 4, 3)) AS t(nnz, positions, x, y)"
    found = duck.execute(f"SELECT sparsity(nnz, positions), cosine(x, y) FROM {rows}").fetchall()
    assert found == [(4 / 16, pytest.approx(24 / 25))]
    assert one(duck, "cosine(x, 0) FROM range(3) AS t(x)") is None


# sp-shuffle


def philox(key: int, n: int) -> list[int]:
    """Return n words of Philox 4x64-10, counters from 1 (Salmon et al. 2011)."""
    mask = 2**64 - 1
    words: list[int] = []
    for counter in range(1, -(-n // 4) + 1):
        c = [counter, 0, 0, 0]
        k = [key & mask, key >> 64]
        for _ in range(10):
            left, right = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
            c = [right >> 64 ^ c[1] ^ k[0], right & mask, left >> 64 ^ c[3] ^ k[1], left & mask]
            k = [(k[0] + 0x9E3779B97F4A7C15) & mask, (k[1] + 0xBB67AE8584CAA73B) & mask]
        words += c
    return words[:n]


def test_permutation_is_pinned() -> None:
    """The permutation is Philox's words in order, keyed by the first half of a sha256."""
    import hashlib

    text = '[3, "gt", 12]'
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    words = philox(key, 36)
    found = permutation(36, seed=3, view="gt", sample_id=12)
    assert found.tolist() == sorted(range(36), key=lambda i: words[i])


@settings(max_examples=60, deadline=None)
@given(
    positions=st.integers(0, 200),
    seed=st.integers(-(2**63), 2**63 - 1),
    sample_id=st.integers(0, 2**62),
)
def test_permutation_by_sql(
    duck: duckdb.DuckDBPyConnection, positions: int, seed: int, sample_id: int
) -> None:
    """SQL and Python give the same permutation, and it is one."""
    expected = permutation(positions, seed=seed, view="image", sample_id=sample_id)
    assert sorted(expected.tolist()) == list(range(positions))
    found = duck.execute(
        "SELECT sp_permutation(?, 'image', ?, ?)", [seed, sample_id, positions]
    ).fetchone()
    assert found == (expected.tolist(),)


def test_permutations_differ() -> None:
    """Seed, view and sample all matter."""
    about = {"seed": 0, "view": "image", "sample_id": 1}
    first = permutation(36, **about)  # type: ignore[arg-type]
    for key, other in {"seed": 1, "view": "gt", "sample_id": 2}.items():
        assert not np.array_equal(first, permutation(36, **{**about, key: other}))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 0


def test_permutations_are_uniform(seed: int) -> None:
    """Over samples every value is equally frequent at every place."""
    n, places = 6000, 5
    drawn = np.array([permutation(places, seed=seed, view="gt", sample_id=i) for i in range(n)])
    for place in range(places):
        counts = np.bincount(drawn[:, place], minlength=places)
        # six standard deviations of a binomial: fails once in 10^8 seeds
        assert np.abs(counts - n / places).max() < 6 * math.sqrt(n / places * (1 - 1 / places))


def test_permutation_in_any_order(duck: duckdb.DuckDBPyConnection) -> None:
    """Row order, threads and repetition change nothing; all channels of a sample agree."""
    query = """
        SELECT sample, count(DISTINCT p), any_value(p)
        FROM (SELECT i % 300 AS sample, sp_permutation(1, 'gt', i % 300, 9) AS p
              FROM range(60000) AS t(i) ORDER BY hash(i))
        GROUP BY sample ORDER BY sample
    """
    found = duck.execute(query).fetchall()
    for sample, distinct, order in found:
        expected = permutation(9, seed=1, view="gt", sample_id=sample)
        assert (distinct, order) == (1, expected.tolist())


def test_permutation_of_null(duck: duckdb.DuckDBPyConnection) -> None:
    """Where an argument is NULL, so is the permutation, and only there."""
    found = duck.execute(
        "SELECT sp_permutation(0, v, 1, 3) IS NULL FROM (VALUES ('gt'), (NULL), ('b')) t(v)"
    ).fetchall()
    assert found == [(False,), (True,), (False,)]


def test_shuffle(duck: duckdb.DuckDBPyConnection) -> None:
    """A shuffled map is `map[perm]`."""
    values = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    perm = permutation(6, seed=0, view="gt", sample_id=1)
    found = one(duck, f"sp_shuffle({values}, sp_permutation(0, 'gt', 1, 6))")
    assert found == np.array(values)[perm].tolist()


def test_macros_on_every_layer(store: Store) -> None:
    """Every macro runs on a layer of maps, on a sparse one and on a fully connected one."""
    rows = store.sql(
        """SELECT layer, sp_max(map) = act_max AS same, len(binarize(map)) AS n,
                  sp_shuffle(map, sp_permutation(0, "view", sample_id,
                             (height * width)::INTEGER)) AS shuffled, map
           FROM activations JOIN layers USING (network, layer)"""
    ).polars()
    assert rows["same"].all()
    assert set(rows["n"]) == {1, 16}
    assert all(sorted(a) == sorted(b) for a, b in zip(rows["shuffled"], rows["map"], strict=True))


def test_negative_size_is_an_error(store: Store) -> None:
    """A map of negative size is refused by name."""
    with pytest.raises(QueryError, match="negative"):
        store.sql("SELECT sp_permutation(0, 'gt', 1, -1)").arrow()


def test_every_macro_is_described() -> None:
    """Every macro has a signature that names it, a summary, and a page in the reference."""
    page = (Path(__file__).parents[2] / "docs" / "sql.md").read_text()
    described = [(m.name, m.signature, m.summary) for m in MACROS]
    described += [(f.name, f.signature, f.summary) for f in FUNCTIONS if f.name[0] != "_"]
    for name, signature, summary in described:
        assert signature.startswith(name + "(")
        assert summary
        assert re.search(rf"`{re.escape(signature)}`", page), name
