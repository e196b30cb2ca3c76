"""What docs/sql.md says runs."""

import re
import sys
from pathlib import Path

import pytest

from fstore.store import Store
from fstore.store.schema import TABLES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "sql.md").read_text()
RECIPES = sorted((ROOT / "docs" / "recipes").glob("*.sql"))


def blocks(language: str) -> list[str]:
    """Return the page's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return the store that the documents' examples use."""
    sys.path.insert(0, str(ROOT / "docs"))
    from _store import build

    return build(tmp_path_factory.mktemp("docs") / "my-store")


def test_page_and_files_agree() -> None:
    """Every recipe stands in the page as it is in its file, and nothing else does."""
    assert len(RECIPES) >= 10
    assert sorted(blocks("sql")) == sorted(file.read_text() for file in RECIPES)


def test_recipes_answer(documented: Store) -> None:
    """Every recipe gives rows."""
    for statement in blocks("sql"):
        assert documented.sql(statement).arrow().num_rows > 0, statement


def test_python_runs(documented: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's Python runs, in order, in a folder that holds the store."""
    (tmp_path / "my-store").symlink_to(documented.path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in blocks("python"):
        exec(code, names)  # noqa: S102 - our own page
    rows = names["rows"].collect()  # type: ignore[attr-defined]
    stored = documented.sql(
        "SELECT count(*) AS n, sum(act_sum) AS total FROM activations WHERE layer = 'conv5'"
    ).polars()
    assert (rows.height, rows["map"].list.sum().cast(float).sum()) == (
        stored["n"][0],
        pytest.approx(stored["total"][0], rel=1e-4),  # float32 sums of 16 values
    )


def test_every_table_is_named() -> None:
    """The page lists every table and column of the schema."""
    for table in TABLES.values():
        assert f"| `{table.name}` | " in PAGE
        for column in table.schema.names:
            assert re.search(rf"\b{column}\b", PAGE), (table.name, column)
