"""SQL cannot change a store, nor read or write a file outside it."""

import hashlib
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from fstore.errors import QueryError
from fstore.store import Store
from fstore.store.readonly import check_read_only

WRITES = (
    "COPY (SELECT 1) TO '{inside}'",
    "COPY (SELECT 1) TO '{inside}' (FORMAT parquet, USE_TMP_FILE false)",
    "COPY (SELECT 1) TO '{outside}'",
    "COPY samples TO '{inside}' (FORMAT csv)",
    "COPY (SELECT 1) TO '{existing}' (USE_TMP_FILE false, OVERWRITE_OR_IGNORE true)",
    "COPY FROM DATABASE memory TO x",
    "EXPORT DATABASE '{inside}'",
    "WITH x AS (COPY (SELECT 1) TO '{inside}') SELECT 1",
    "SELECT * FROM (COPY (SELECT 1) TO '{inside}')",
    "WITH x AS (DELETE FROM samples RETURNING *) FROM x",
    "EXPLAIN COPY (SELECT 1) TO '{inside}'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{inside}'",
    "explain analyse copy (select 1) to '{inside}'",
    "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{inside}'",
    "EXPLAIN (ANALYZE, FORMAT json) COPY (SELECT 1) TO '{inside}'",
    "EXPLAIN (ANALYZE /* ) SELECT 1 -- */ ) COPY (SELECT 1) TO '{inside}'",
    "EXPLAIN (ANALYZE /* ) SELECT 1 -- */ ) COPY (SELECT 1) TO '{existing}'",
    "EXPLAIN /* ) SELECT 1 -- */ ANALYZE COPY (SELECT 1) TO '{inside}'",
    "EXPLAIN/**/ANALYZE/**/COPY (SELECT 1) TO '{inside}'",
    "EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1) TO '{inside}') SELECT 1",
    "EXPLAIN EXPLAIN ANALYZE COPY (SELECT 1) TO '{inside}'",
    "EXPLAIN ANALYZE CREATE TABLE t (i INT)",
    "ATTACH '{inside}'",
    "ATTACH '{outside}' AS other",
    "DETACH memory",
    "USE memory",
    "CREATE TABLE t (i INT)",
    "CREATE OR REPLACE VIEW samples AS SELECT 1",
    "CREATE MACRO binarize(x) AS 0",
    "CREATE SECRET (TYPE s3)",
    "DROP VIEW samples",
    "ALTER VIEW samples RENAME TO s",
    "INSERT INTO samples VALUES (1)",
    "UPDATE samples SET sample_id = 0",
    "DELETE FROM samples",
    "TRUNCATE samples",
    "MERGE INTO samples USING labels USING (sample_id) WHEN MATCHED THEN DELETE",
    "INSTALL httpfs",
    "LOAD httpfs",
    "UPDATE EXTENSIONS",
    "SET memory_limit = '1GB'",
    "SET GLOBAL threads = 1",
    "SET VARIABLE a = 1",
    "RESET memory_limit",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "PRAGMA enable_profiling",
    "PRAGMA database_list",
    "PRAGMA profiling_output = '{inside}'",
    "CALL enable_logging()",
    "CALL range(3)",
    "SELECT * FROM enable_logging(storage = 'file', storage_path = '{inside}')",
    "SELECT * FROM truncate_duckdb_logs()",
    "SELECT * FROM force_checkpoint()",
    "SELECT * FROM query('SELECT 1')",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "PRAGMA json_execute_serialized_sql('{{}}')",
    "EXECUTE x",
    "PREPARE x AS SELECT 1",
    "BEGIN",
    "CHECKPOINT",
    "VACUUM",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY (SELECT 1) TO '{inside}'",
    "SELECT 1 /* ; */; DROP VIEW samples --",
    "PIVOT labels ON class USING count(*)",
    "",
    "-- only a comment",
    "nonsense",
)

OUTSIDE = (
    "SELECT * FROM '{secret}'",
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM read_blob(['{secret}'])",
    "SELECT * FROM read_csv('file://{secret}')",
    "SELECT * FROM read_parquet('{secret}')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM parquet_metadata('{secret}')",
    "SELECT * FROM sniff_csv('{secret}')",
    "SELECT * FROM read_csv('{store}/../{name}')",
    "SELECT * FROM '{store}/../{name}'",
    'SELECT * FROM "{store}/../secret"."csv"',
    "SELECT * FROM query_table('{secret}')",
    "SELECT * FROM read_csv('{store}/link.csv')",
    "SELECT * FROM '{store}/link.csv'",
    "SELECT * FROM read_text('{store}/folder/{name}')",
    "SELECT * FROM read_text('{store}/folder/*.csv')",
    "SELECT * FROM read_csv('https://example.org/a.csv')",
    "EXPLAIN ANALYZE SELECT * FROM read_csv('{secret}')",
    "SELECT (SELECT content FROM read_text('{secret}'))",
)


def listing(folder: Path) -> dict[str, str]:
    """Return path -> hash of everything below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("statement", WRITES)
def test_refused(store: Store, tmp_path: Path, statement: str) -> None:
    """What is not one reading statement is refused, and nothing on disk changes."""
    before = listing(store.path)
    existing = next(store.path.rglob("*.parquet"))
    places = {"inside": store.path / "new.parquet", "outside": tmp_path / "x.parquet"}
    text = statement.format(**places, existing=existing)
    with pytest.raises(QueryError):
        store.sql(text).arrow()
    with pytest.raises(QueryError):
        store.sql(text + "\n;").arrow()
    assert listing(store.path) == before
    assert not list(tmp_path.iterdir())
    assert store.sql("SELECT count(*) AS n FROM samples").arrow()["n"].to_pylist() == [12]


@pytest.fixture
def walled(empty: Store) -> dict[str, str]:
    """Return the places of a secret beside a store with links to it, as words for a query."""
    secret = empty.path.parent / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    (empty.path / "link.csv").symlink_to(secret)
    (empty.path / "folder").symlink_to(secret.parent)
    words = {"secret": secret, "folder": secret.parent, "store": empty.path, "name": secret.name}
    return {key: str(value) for key, value in words.items()}


@pytest.mark.parametrize("statement", OUTSIDE)
def test_no_file_outside(empty: Store, walled: dict[str, str], statement: str) -> None:
    """No file outside the store is read: by no function, no `..`, no link in the store."""
    with pytest.raises(QueryError):
        empty.sql(statement.format(**walled)).arrow()


def test_file_in_the_store(store: Store) -> None:
    """A file of the store may be read directly."""
    file = Path(store.files(layer="fc7")[0].uri)
    rows = store.sql("SELECT count(*) AS n FROM read_parquet(?)", [str(file)]).arrow()
    assert rows["n"].to_pylist() == [12 * 6]


def test_a_comment_cannot_hide_a_copy(tmp_path: Path) -> None:
    """DuckDB alone would run the COPY that a comment in EXPLAIN's options hides."""
    text = "EXPLAIN (ANALYZE /* ) SELECT 1 -- */ ) COPY (SELECT 1) TO '{}'"
    duck = duckdb.connect()
    duck.execute(text.format(tmp_path / "written.csv"))
    assert (tmp_path / "written.csv").exists()
    with pytest.raises(QueryError):
        check_read_only(duck, text.format(tmp_path / "refused.csv"))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 AS a",
        "SELECT 1 AS a;",
        "-- why\nSELECT 1 AS a -- because",
        "FROM samples",
        "VALUES (1)",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "WITH x AS MATERIALIZED (SELECT 1) FROM x",
        "WITH RECURSIVE x AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM x WHERE i < 3) FROM x",
        "SELECT 1 UNION SELECT 2",
        "DESCRIBE activations",
        "SUMMARIZE samples",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
        "EXPLAIN (SELECT 1)",
        "EXPLAIN (FORMAT json) SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN (ANALYZE, FORMAT json) SELECT 1",
        "PIVOT labels ON class IN ('a', 'b') USING count(*)",
        "FROM (PIVOT labels ON class IN ('a', 'b') USING count(*))",
        "SELECT unnest([1, 2])",
        "FROM range(3)",
        "FROM duckdb_settings()",
        "FROM information_schema.tables",
    ],
)
def test_allowed(store: Store, statement: str) -> None:
    """Statements that only read run."""
    assert store.sql(statement).arrow().num_columns > 0


def test_names_are_tables(store: Store) -> None:
    """A name in a query never means a variable of the Python that asks."""
    frame = pa.table({"a": [1]})
    with pytest.raises(QueryError, match="frame"):
        store.sql("SELECT * FROM frame").arrow()
    assert frame.num_rows == 1


def test_error_says_what_to_do(store: Store) -> None:
    """The message names what was refused and what is possible."""
    with pytest.raises(QueryError, match=r"CREATE is refused: .*use SELECT"):
        store.sql("CREATE TABLE t (i INT)")
    with pytest.raises(QueryError, match="expected one statement, got 2"):
        store.sql("SELECT 1; SELECT 2")
    with pytest.raises(QueryError, match=r"PIVOT .* IN"):
        store.sql("PIVOT labels ON class USING count(*)")


def test_write_parquet_stays_out(store: Store, tmp_path: Path) -> None:
    """Results are written beside the store, never into it."""
    before = listing(store.path)
    for path in (store.path / "x.parquet", tmp_path / ".." / store.path / "samples" / "x"):
        with pytest.raises(OSError, match="lies in the store"):
            store.sql("SELECT 1 AS a").write_parquet(path, overwrite=True)
    assert listing(store.path) == before
    out = store.sql("SELECT 1 AS a").write_parquet(tmp_path / "x.parquet")
    assert pq.read_table(out).to_pylist() == [{"a": 1}]
