"""A statement that reads some partitions' files gives the rows that reading all would give."""

import itertools
import random
import re
import shutil
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from _build import add_layers, put
from fstore.store import Store
from fstore.store.adding import commit, new_path, seal
from fstore.store.encode import write_layer
from fstore.store.files import IDENTITY_KEY, Identity, Partition
from fstore.store.local import LocalPlace
from fstore.store.schema import TABLES
from fstore.types import LayerResponses

NETWORKS, CKPTS, DATASETS = ("n1", "N1"), ("5", "05", "5k"), ("d", "d%e")
VIEWS, LAYERS = ("image", "gt"), ("conv1", "fire2/concat")
STATEMENTS = 120

# {w} is a condition without a qualifier, {a} one whose columns are a's, {b} one whose are b's.
FORMS = (
    "SELECT network, ckpt, act_max FROM activations WHERE {w}",
    "SELECT count(*), sum(act_max) FROM activations AS a WHERE {a}",
    "FROM Activations AS a SELECT DISTINCT a.layer, a.ckpt WHERE {a} AND a.channel = 1",
    'SELECT "activations".ckpt FROM "activations" WHERE {w} AND sample_id < 2',
    "SELECT 'conv1' AS layer, ckpt FROM activations WHERE {w}",
    "SELECT a.ckpt, l.kind FROM activations a JOIN layers l USING (network, layer) WHERE {w}",
    "SELECT a.ckpt, l.kind FROM layers l JOIN activations a USING (network, layer) WHERE {w}",
    "SELECT a.ckpt, l.layer FROM activations a RIGHT JOIN layers l USING (layer) WHERE {w}",
    "SELECT a.ckpt, l.layer FROM layers l LEFT JOIN activations a USING (layer) WHERE {a}",
    "SELECT a.ckpt, l.layer FROM layers l FULL JOIN activations a ON a.layer = l.kind WHERE {a}",
    (
        "SELECT l.layer FROM layers l LEFT JOIN activations a"
        " ON l.layer = a.layer AND a.ckpt = 'none' WHERE {a}"
    ),
    "SELECT l.layer FROM layers l ANTI JOIN activations a ON l.layer = a.layer WHERE l.{c}",
    (
        "SELECT count(*) FROM activations a JOIN activations b"
        " USING (network, dataset, view, layer, sample_id, channel) WHERE {a} AND {b}"
    ),
    "SELECT a.ckpt FROM activations a, activations b WHERE {a} AND {b} AND a.ckpt < b.ckpt",
    "WITH one AS (SELECT * FROM activations WHERE {w}) SELECT ckpt FROM one WHERE layer = 'conv1'",
    (
        "WITH activations AS (SELECT 'conv1' AS layer, 'x' AS ckpt) SELECT ckpt FROM activations"
        " WHERE layer = 'conv1'"
    ),
    "SELECT ckpt FROM (SELECT * FROM activations) WHERE {w}",
    "SELECT kind FROM layers WHERE layer IN (SELECT layer FROM activations WHERE {w})",
    (
        "SELECT kind, (SELECT count(*) FROM activations a WHERE a.layer = l.layer AND {a})"
        " FROM layers l"
    ),
    "SELECT kind FROM layers l WHERE NOT EXISTS (FROM activations WHERE layer = l.layer AND {w})",
    "SELECT ckpt FROM activations WHERE {w} UNION ALL SELECT layer FROM activations WHERE {w}",
    "SELECT ckpt, count(*) OVER (PARTITION BY layer) FROM activations WHERE {w}",
    "SELECT ckpt, count(*) FROM activations WHERE {w} GROUP BY ALL HAVING count(*) > 1",
    "SELECT t.layer FROM (VALUES ('conv1'), ('x')) AS t(layer), activations AS a WHERE {a}",
    "SELECT é.ckpt, 'é{{' FROM activations AS é WHERE é.layer = 'conv1' AND é.{c}",
    "SELECT (SELECT max(ckpt) FROM activations WHERE {w} AND layer = l.layer) FROM layers l",
    "SELECT ckpt FROM activations a POSITIONAL JOIN (SELECT 1 AS x) WHERE ckpt = '5' AND x = 2",
)

FIXED = (
    "SELECT count(*) FROM layers l LEFT JOIN activations a USING (layer) WHERE a.ckpt IS NULL",
    (
        "SELECT l.layer FROM layers l LEFT JOIN activations a USING (layer)"
        " WHERE a.ckpt IS DISTINCT FROM '5'"
    ),
    (
        "SELECT l.layer FROM activations a RIGHT JOIN layers l ON a.layer = l.layer"
        " AND a.ckpt = '5' WHERE a.network IS NOT DISTINCT FROM 'n1' OR a.network IS NULL"
    ),
    (
        "SELECT count(*) FROM layers l FULL JOIN activations a ON a.network = 'n1'"
        " AND a.ckpt = l.kind WHERE a.ckpt IS NULL"
    ),
    (
        "SELECT count(*) FROM (layers l JOIN layers m USING (layer)) JOIN activations a"
        " ON a.layer <> l.layer WHERE layer = 'conv1'"
    ),
    (
        "WITH t AS (SELECT 'n1' AS network, 'conv1' AS layer) SELECT count(*) FROM activations"
        " JOIN t USING (network) JOIN layers l ON l.network = t.network WHERE t.layer = 'conv1'"
    ),
    (
        "WITH layers AS (SELECT 'conv1' AS layer, 5 AS ckpt) SELECT count(*) FROM activations a"
        " JOIN layers l ON a.layer = l.layer WHERE l.ckpt = 5 AND a.ckpt = '5'"
    ),
    "SELECT count(*) FROM activations TABLESAMPLE 100% WHERE ckpt = '5'",
    "SELECT count(*) FROM activations AS a(ckpt, network) WHERE ckpt = 'n1'",
    "SELECT count(*) FROM activations NATURAL JOIN layers WHERE layer = 'conv1'",
    "SELECT count(*) FROM layers l SEMI JOIN activations a ON a.ckpt = '5' WHERE layer = 'conv1'",
)


COLUMNS = (
    *(("network", NETWORKS), ("ckpt", CKPTS), ("dataset", DATASETS), ('"view"', VIEWS)),
    *(("layer", LAYERS), ("LAYER", LAYERS)),
)
# <n> is a column, <v> a value, <c> a condition, <p> what qualifies columns.
CONDITIONS = (
    *("<n> = <v>", "<n> = <v>", "<n> = <v>", "<n> IN (<v>, <v>)", "<n> NOT IN (<v>)"),
    *("NOT (<c>)", "(<c> OR <c>)", "(<c> AND <c>)", "<n> LIKE '%5%'", "lower(<n>) = 'n1'"),
    *("<n> <> <v>", "<n> IS NULL", "<n> IS NOT NULL", "<n> = NULL", "<n> IS DISTINCT FROM <v>"),
    *("try_cast(<n> AS INT) = 5", "<n> BETWEEN '1' AND <v>", "<n> >= 'd'"),
    *("(<p>ckpt, <p>layer) IN (('5', 'conv1'), ('05', <v>))", "coalesce(<n>, 'none') = <v>"),
)


def condition(draw: random.Random, prefix: str, parameters: list[str]) -> str:
    """Return a random condition; some of its texts become parameters."""
    column, values = draw.choice(COLUMNS)

    def fill(mark: re.Match[str]) -> str:
        if mark[0] != "<v>":
            return {"<n>": prefix + column, "<p>": prefix}.get(mark[0]) or (
                condition(draw, prefix, parameters) if mark[0] == "<c>" else ""
            )
        value = draw.choice([*values, "none"])
        if draw.random() < 0.4:
            parameters.append(value)
            return "?"
        return f"'{value}'"

    return re.sub("<[nvcp]>", fill, draw.choice(CONDITIONS))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store of 48 partitions, of two samples and two filters each."""
    store = Store.create(tmp_path_factory.mktemp("prune") / "store")
    for network in NETWORKS:
        add_layers(store, network, dict.fromkeys(LAYERS, (2, 1, 1)))
    files = {}
    for n, names in enumerate(itertools.product(NETWORKS, CKPTS, DATASETS, VIEWS, LAYERS)):
        place, values = Partition(*names), np.arange(4 * n, 4 * n + 4, dtype=np.float32)
        written = write_layer(
            new_path(store.place, place),
            [np.arange(2)],
            [LayerResponses(act_max=values.reshape(2, 2))],
            metadata={IDENTITY_KEY: "{}"},
        )
        key = seal(store.place, place, written, n_samples=2, identity=Identity({}))
        files[place] = written, key, Identity({})
    assert commit(store.place, files)
    return store


@pytest.fixture(scope="module")
def whole(filled: Store) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB that has the store's rows in tables of its own: it prunes nothing."""
    duck = duckdb.connect()
    for table in ("activations", "layers"):
        rows = filled.sql(f"FROM {table}").arrow()
        duck.register("rows", rows)
        duck.execute(f"CREATE TABLE {table} AS FROM rows")
    return duck


@pytest.mark.parametrize("form", FORMS)
def test_same_rows(filled: Store, whole: duckdb.DuckDBPyConnection, form: str) -> None:
    """Random conditions in statements of every form give the rows of a DuckDB that reads all."""
    draw = random.Random(form)  # noqa: S311 - statements, no secrets
    for _ in range(max(1, STATEMENTS // len(FORMS))):
        parameters: list[str] = []
        statement = _drawn(form, draw, parameters)
        try:
            expected = Counter(map(repr, whole.execute(statement, parameters).fetchall()))
        except duckdb.Error as error:  # an ambiguous name: ours must refuse it, too
            with pytest.raises(Exception, match=str(error).split(":", maxsplit=1)[0]):
                filled.sql(statement, parameters).arrow()
            continue
        answer = filled.sql(statement, parameters).arrow()
        columns = [column.to_pylist() for column in answer.columns]
        ours = Counter(map(repr, zip(*columns, strict=True)))
        assert ours == expected, (statement, parameters)


@pytest.mark.parametrize("statement", FIXED)
def test_conditions_that_rule_nothing_out(
    filled: Store, whole: duckdb.DuckDBPyConnection, statement: str
) -> None:
    """Where a condition is not the table's, or true of rows that a join fills up, all is read."""
    ((expected,), *rest) = whole.execute(statement).fetchall() or [(None,)]
    answer = filled.sql(statement).arrow().columns[0].to_pylist()
    assert Counter(answer) == Counter([expected, *(value for (value,) in rest)][: len(answer)])
    assert len(answer) == len(rest) + (expected is not None)


def _drawn(form: str, draw: random.Random, parameters: list[str]) -> str:
    """Fill in a form, from left to right: parameters are numbered so."""
    text = ""
    rest = form.replace("{{", "{ {").replace("{c}", draw.choice(["layer = 'conv1'", "layer <> ''"]))
    for mark, prefix in itertools.cycle((("{w}", ""), ("{a}", "a."), ("{b}", "b."))):
        places = [at for m in ("{w}", "{a}", "{b}") if (at := rest.find(m)) >= 0]
        if not places:
            return text + rest
        if rest.find(mark) == min(places):
            before, _, rest = rest.partition(mark)
            text += before + condition(draw, prefix, parameters)
    raise AssertionError(form)


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        ("layer = 'conv1' AND ckpt IN ('5', '05') AND network = 'n1'", 8),
        ("(ckpt, layer) IN (('5', 'conv1')) AND view = 'gt'", 4),
        ("ckpt = ? OR layer LIKE 'fire%' AND ckpt = '5k'", 24),
        ("dataset = 'none'", 0),
        ("EXISTS (SELECT 1) AND view <> 'gt' AND act_max > 1", 24),
    ],
)
def test_other_files_are_not_needed(
    filled: Store, tmp_path: Path, condition: str, left: int
) -> None:
    """A statement still has its rows when the files of what it rules out are gone."""
    parameters = ["5"] if "?" in condition else []
    query = f"SELECT * FROM activations WHERE {condition}"
    expected = filled.sql(query, parameters).arrow()
    wanted = {tuple(map(str, row.values())) for row in _partitions(expected)}
    assert len(wanted) == left
    shutil.copytree(filled.path, tmp_path / "store")
    copy = Store(LocalPlace(tmp_path / "store"))
    for file in copy.files():
        if tuple(file.partition.values.values()) not in wanted:
            Path(file.uri).unlink()
    answer = copy.sql(query, parameters).arrow()
    keys = [(name, "ascending") for name in ("act_max", "network", "ckpt", "layer")]
    assert answer.sort_by(keys).equals(expected.sort_by(keys))


def _partitions(rows: pa.Table) -> list[dict[str, str]]:
    names = ["network", "ckpt", "dataset", "view", "layer"]
    partitions: list[dict[str, str]] = rows.group_by(names).aggregate([]).select(names).to_pylist()
    return partitions


def test_rows_are_those_of_their_statement(filled: Store) -> None:
    """Rows that are fetched late are those of their own statement, whatever was asked since."""
    query = "SELECT DISTINCT ckpt FROM activations WHERE ckpt = ?"
    early = [filled.sql(query, [ckpt]) for ckpt in CKPTS]
    assert [result.arrow()["ckpt"].to_pylist() for result in early] == [[c] for c in CKPTS]


def test_null_partition_values(tmp_path: Path) -> None:
    """Rows whose partition another program left empty are found by IS NULL, and by no value."""
    store = Store.create(tmp_path / "store")
    put(store, Partition("n", "5", "d", "image", "conv1"), np.ones((2, 2, 1), np.float32))
    rows = DeltaTable(store.path / "activations").to_pyarrow_table()
    nothing = rows.set_column(rows.schema.get_field_index("ckpt"), "ckpt", pa.nulls(4, pa.string()))
    schema = TABLES["activations"].schema
    write_deltalake(store.path / "activations", nothing.cast(schema), mode="append")
    count = "SELECT count(*) AS n FROM activations WHERE "
    for condition, n in {
        "ckpt IS NULL": 4,
        "ckpt = '5'": 4,
        "ckpt <> '5'": 0,
        "NOT (ckpt = '6')": 4,
        "ckpt IS DISTINCT FROM '5'": 4,
        "network = 'n'": 8,
    }.items():
        assert store.sql(count + condition).arrow()["n"].to_pylist() == [n], condition
