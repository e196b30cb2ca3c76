"""SQL of footers and sidecars gives what SQL of the rows gives."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from numpy.typing import NDArray
from pyarrow import parquet as pq

from _build import add_dataset, add_layers, put
from fstore.errors import DataError, QueryError, SchemaError, StorageError
from fstore.store import Store, summaries
from fstore.store.compact import compact
from fstore.store.delta_log import Log
from fstore.store.files import Partition, StoredFile
from fstore.store.interrupt import Limit
from fstore.store.kept import Kept, sidecar_key
from fstore.store.maintenance import Selection, drop
from fstore.store.place import Place
from fstore.store.reads import StatementReader
from fstore.store.sidecars import read_sidecar
from fstore.store.summaries import RANKS, Summaries
from fstore.store.totals import load_totals

SHAPES = {"conv": (5, 2, 2), "fc": (4, 1, 1)}
RANKED = f"""
    SELECT ckpt, layer, channel, sample_id, act_max, argmax,
        row_number() OVER (PARTITION BY ckpt, layer, channel
                           ORDER BY act_max DESC, sample_id) AS "rank"
    FROM activations QUALIFY "rank" <= {RANKS} ORDER BY ALL
"""
STRONGEST = """
    SELECT ckpt, layer, channel, sample_id, act_max, argmax, "rank" FROM strongest_samples
"""
COUNTED = """
    SELECT ckpt, layer, sample_id, sum(nnz)::BIGINT AS nnz FROM activations GROUP BY ALL
    ORDER BY ALL
"""
TOTALS = "SELECT ckpt, layer, sample_id, nnz FROM sample_totals ORDER BY ALL"


def where(layer: str, ckpt: str) -> Partition:
    """Return a partition of the store."""
    return Partition("net", ckpt, "d", "image", layer)


def drawn(seed: int, n: int, layer: str) -> NDArray[np.float32]:
    """Draw few distinct values: ties, zeros, and filters that never fire."""
    channels, height, width = SHAPES[layer]
    random = np.random.default_rng(seed)
    x = random.integers(0, 9, (n, channels, height * width)).astype(np.float32) / 4
    x[random.random(x.shape) < 0.5] = 0
    x[:, -1] = 0
    return x.astype(np.float32)


def fill(store: Store) -> None:
    """Put two files into each partition: one with a sidecar, one with too few samples for it."""
    add_dataset(store, "d", ["train"] * 100)
    add_layers(store, "net", SHAPES)
    for seed, (layer, ckpt) in enumerate((name, c) for name in SHAPES for c in ("5", "05")):
        x = drawn(seed, 100, layer)
        put(store, where(layer, ckpt), x[:90])
        put(store, where(layer, ckpt), x[90:], sample_ids=range(90, 100))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store that no test changes."""
    store = Store.create(tmp_path_factory.mktemp("summaries") / "store")
    fill(store)
    return store


@pytest.fixture
def own(empty: Store) -> Store:
    """Return such a store, to change."""
    fill(empty)
    return empty


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note which files' sidecars are read."""
    keys: list[str] = []

    def noted(place: Place, key: str) -> Kept | None:
        keys.append(key)
        return read_sidecar(place, key)

    monkeypatch.setattr("fstore.store.summaries.read_sidecar", noted)
    return keys


def files_of(store: Store, *partitions: Partition) -> list[str]:
    """Return the keys of the files of partitions."""
    return sorted(file.key for p in partitions for file in store.files(**p.values))


def large(store: Store) -> StoredFile:
    """Return a file that has a sidecar."""
    return max(store.files(layer="conv", ckpt="5"), key=lambda file: file.n_samples)


def test_the_strongest_are_those_of_all_rows(shared: Store) -> None:
    """Each filter's first samples, of each layer and checkpoint, ties and zeros included."""
    expected = shared.sql(RANKED).arrow().to_pylist()
    assert len(expected) == 2 * (5 + 4) * RANKS
    assert shared.sql(STRONGEST + "ORDER BY ALL").arrow().to_pylist() == expected


def test_totals_are_those_of_all_rows(shared: Store) -> None:
    """Each sample's responses that are not 0, by layer."""
    expected = shared.sql(COUNTED).arrow().to_pylist()
    assert len(expected) == 4 * 100
    assert shared.sql(TOTALS).arrow().to_pylist() == expected


def test_only_what_conditions_leave_is_looked_up(own: Store, asked: list[str]) -> None:
    """Conditions on partition columns choose; what was looked up is known from then on."""
    one = STRONGEST + "JOIN layers USING (network, layer) WHERE layer = ? AND ckpt = '5'"
    assert own.sql(one, ["conv"]).arrow().num_rows == 5 * RANKS
    assert sorted(asked) == files_of(own, where("conv", "5"))
    first = own.sql(f'WITH x AS ({one}) FROM x WHERE "rank" = 1', ["conv"])
    assert first.arrow().num_rows == 5
    assert sorted(asked) == files_of(own, where("conv", "5"))
    own.sql(f"EXPLAIN {STRONGEST} WHERE layer = 'fc' AND ckpt = '05'").arrow()
    assert sorted(asked) == files_of(own, where("conv", "5"), where("fc", "05"))
    own.sql(STRONGEST + "WHERE channel = 0").arrow()
    assert sorted(asked) == files_of(own, *(where(name, c) for name in SHAPES for c in ("5", "05")))


def test_sidecars_spare_their_files(own: Store) -> None:
    """A file whose sidecar answers is not read, but for its footer."""
    expected = own.sql(STRONGEST + "ORDER BY ALL").arrow()
    path = Path(large(own).uri)
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(1000) + content[1004:])
    assert Store.open(own.path).sql(STRONGEST + "ORDER BY ALL").arrow() == expected
    with pytest.raises(QueryError):
        Store.open(own.path).sql(RANKED).arrow()


def test_without_a_sidecar_the_rows_are_read(own: Store) -> None:
    """A sidecar that is lost costs time, and changes nothing."""
    expected = own.sql(STRONGEST + "ORDER BY ALL").arrow()
    (own.path / sidecar_key(large(own).key)).unlink()
    assert Store.open(own.path).sql(STRONGEST + "ORDER BY ALL").arrow() == expected


def test_a_name_in_a_text_is_understood(own: Store) -> None:
    """query_table() names a table as a text; it gets all rows, not those of earlier statements."""
    own.sql(STRONGEST + "WHERE layer = 'conv' AND ckpt = '5'").arrow()
    count = "SELECT count(*) AS n FROM query_table('strongest_samples')"
    assert own.sql(count).arrow()["n"].to_pylist() == [2 * (5 + 4) * RANKS]
    count = "SELECT count(*) AS n FROM query_table('sample_totals')"
    assert own.sql(count).arrow()["n"].to_pylist() == [400]


def test_new_files_are_seen(own: Store) -> None:
    """Samples that come later take their places, in a session that asked before."""
    own.sql(STRONGEST).arrow()
    own.sql(TOTALS).arrow()
    add_dataset(own, "e", ["train"] * 3)
    put(own, Partition("net", "5", "e", "image", "conv"), drawn(9, 3, "conv") + 5)
    ids = "SELECT sample_id FROM strongest_samples WHERE dataset = 'e' AND channel = 1"
    assert sorted(own.sql(ids).arrow()["sample_id"].to_pylist()) == [0, 1, 2]
    assert own.sql(TOTALS).arrow().num_rows == 403


def test_no_row_of_what_was_dropped(own: Store) -> None:
    """A partition that is dropped has no rows from then on."""
    own.sql(STRONGEST).arrow()
    own.sql(TOTALS).arrow()
    drop(own.place, Selection(network="net", ckpt="5", dataset="d", layer="conv"))
    assert own.sql(STRONGEST).arrow().num_rows == (5 + 2 * 4) * RANKS
    assert own.sql(TOTALS).arrow().num_rows == 300


def test_a_result_keeps_its_rows(own: Store) -> None:
    """Rows that are taken late are those of the statement, whatever was written and asked since."""
    late = [own.sql(STRONGEST), own.sql(TOTALS), own.sql(STRONGEST + "WHERE layer = 'fc'")]
    first = [result.arrow().num_rows for result in late]
    assert first == [2 * (5 + 4) * RANKS, 400, 2 * 4 * RANKS]
    for ckpt in ("6", "7"):
        put(own, where("conv", ckpt), drawn(1, 20, "conv"))
        own.sql(STRONGEST + "WHERE layer = 'conv'").arrow()
        own.sql("SELECT count(*) FROM partitions").arrow()
    compact(own.place, Selection())
    own.sql(TOTALS).arrow()
    assert [result.arrow().num_rows for result in late] == first


@pytest.mark.parametrize("writes", [1, 3])
def test_a_commit_while_a_statement_is_prepared(
    own: Store, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """Files that come while footers are read are read, too, and no partition is lost."""
    left = iter(range(writes))
    fill = Summaries.fill

    def filled(
        self: Summaries, name: str, partitions: Iterable[Partition], log: Log, *, limit: Limit
    ) -> None:
        fill(self, name, partitions, log, limit=limit)
        if (number := next(left, None)) is not None:
            add_dataset(own, f"e{number}", ["train"] * 90)
            new = Partition("net", "5", f"e{number}", "image", "conv")
            put(own, new, drawn(number, 90, "conv"))
            compact(own.place, Selection())

    monkeypatch.setattr(Summaries, "fill", filled)
    both = (
        "SELECT (SELECT count(*) FROM sample_totals) AS t, (SELECT count(*) FROM strongest_samples)"
    )
    (row,) = own.sql(both + " AS s").rows()
    assert row == {"t": 400 + 90 * writes, "s": (2 * (5 + 4) + 5 * writes) * RANKS}


def test_endless_commits_are_told(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that never gets a quiet moment ends with an error that says so."""
    fill, number = Summaries.fill, itertools.count()

    def filled(
        self: Summaries, name: str, partitions: Iterable[Partition], log: Log, *, limit: Limit
    ) -> None:
        fill(self, name, partitions, log, limit=limit)
        add_layers(own, f"n{(n := next(number))}", {"conv": (1, 2, 2)})
        put(own, Partition(f"n{n}", "5", "d", "image", "conv"), drawn(n, 3, "conv")[:, :1])

    monkeypatch.setattr(Summaries, "fill", filled)
    with pytest.raises(QueryError, match="changed during each of"):
        own.sql(TOTALS)


def test_an_interrupt_leaves_nothing_half(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C in the middle of looking up, the same statement gives each row once."""
    expected = [Store.open(own.path).sql(s).arrow().num_rows for s in (STRONGEST, TOTALS)]
    table, load = summaries._table, load_totals
    calls = iter([False, True])

    def stopped(kept: Sequence[Kept]) -> pa.Table:
        if next(calls, False):
            raise KeyboardInterrupt
        return table(kept)

    def stopped_load(duck: duckdb.DuckDBPyConnection, uris: Sequence[str]) -> None:
        load(duck, uris)
        monkeypatch.setattr(summaries, "load_totals", load)
        raise KeyboardInterrupt

    monkeypatch.setattr(summaries, "_table", stopped)
    monkeypatch.setattr(summaries, "load_totals", stopped_load)
    for statement in (STRONGEST, TOTALS):
        with pytest.raises(KeyboardInterrupt):
            own.sql(statement)
    assert [own.sql(s).arrow().num_rows for s in (STRONGEST, TOTALS)] == expected


def test_what_is_described_is_not_looked_up(own: Store, asked: list[str]) -> None:
    """DESCRIBE reads nothing; beside it, a table that is read has its rows."""
    put(own, where("conv", "bits"), drawn(3, 20, "conv"), identity={"stored precision": "bit"})
    assert own.sql("DESCRIBE strongest_samples").arrow().num_rows == 10
    assert own.sql("DESCRIBE SELECT channel FROM strongest_samples").arrow().num_rows == 1
    assert asked == []
    with pytest.raises(DataError, match=r"stored as bits.*layer = "):
        own.sql("FROM (DESCRIBE strongest_samples), strongest_samples")


def test_rows_without_a_layer_are_refused(own: Store) -> None:
    """Another program may write NULL for a partition column: named, in place of a traceback."""
    row = own.sql("SELECT * FROM activations LIMIT 1").arrow()
    nulls = row.set_column(row.schema.get_field_index("layer"), "layer", pa.nulls(1, pa.string()))
    write_deltalake(str(own.path / "activations"), nulls, mode="append")
    for statement in (STRONGEST, TOTALS):
        with pytest.raises(SchemaError, match="layer is NULL"):
            own.sql(statement)


def test_where_nothing_is_the_strongest(own: Store) -> None:
    """A partition with NaN is refused; one condition more, and the others answer."""
    bad = drawn(3, 20, "conv")
    bad[7, 2, 1] = np.nan
    put(own, where("conv", "6"), bad)
    with pytest.raises(DataError, match="filter 2 to sample 7"):
        own.sql(STRONGEST)
    assert own.sql(STRONGEST + "WHERE ckpt = '5'").arrow().num_rows == (5 + 4) * RANKS


def test_a_file_without_totals_is_refused(own: Store) -> None:
    """Footers of another program lack totals: an answer without its samples would be wrong."""
    path = Path(own.files(layer="fc", ckpt="5")[0].uri)
    rows = pq.ParquetFile(path).read()
    pq.write_table(rows.replace_schema_metadata(None), path)
    with pytest.raises(SchemaError, match="lack the totals"):
        own.sql(TOTALS)
    assert own.sql(TOTALS.replace("ORDER", "WHERE layer = 'conv' ORDER")).arrow().num_rows == 200


def test_damage_is_told(own: Store) -> None:
    """A session that compares sums refuses a file that changed, before anything is taken of it."""
    path = Path(own.files(layer="fc", ckpt="5")[0].uri)
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(StorageError, match="damaged"):
        Store.open(own.path, check=True).sql(TOTALS)


def test_a_time_limit_ends_it(own: Store) -> None:
    """A limit that is over before all partitions were looked up is told, with what helps."""
    with pytest.raises(QueryError, match="time limit"):
        own.sql(STRONGEST, timeout=1e-9)


def test_what_such_a_statement_reads(shared: Store) -> None:
    """A report of one's own that asks them is stale when their partitions change, and no other."""
    reader = StatementReader(shared.place)
    reads = reader.reads(STRONGEST + "WHERE layer = $layer AND ckpt = '05'", {"layer": "fc"})
    assert reads.partitions == {where("fc", "05")}
    assert reads.responses
    reads = reader.reads("FROM sample_totals JOIN samples USING (dataset, view, sample_id)", {})
    assert len(reads.partitions) == 4
    assert reads.tables == {"samples"}
    both = "FROM sample_totals AS t, activations AS a WHERE t.layer = 'fc' AND a.layer = 'conv' "
    assert len(reader.reads(both + "AND t.ckpt = '5' AND a.ckpt = '5'", {}).partitions) == 2
