"""CSV as a spreadsheet opens it."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fstore.cli import app
from fstore.csv_text import csv_cell
from fstore.store import Store


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|x", "'+cmd|x"),
        ("-", "'-"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\uff1d1", "'\uff1d1"),
        ("-1.5", "-1.5"),
        ("+3e-4", "+3e-4"),
        ("005", "005"),
        ("a=1", "a=1"),
        ("", ""),
        (-1.5, -1.5),
        (None, None),
    ],
)
def test_cells(value: object, cell: object) -> None:
    """Text that begins a formula has an apostrophe before it; numbers and other text have none."""
    assert csv_cell(value) == cell


@given(st.text())
def test_no_text_is_a_formula(text: str) -> None:
    """Whatever the text, a cell begins no formula unless it is a number."""
    cell = str(csv_cell(text))
    assert cell.endswith(text)
    if cell[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        float(cell)


def test_values_in_json_and_csv(tmp_path: Path) -> None:
    """What DuckDB has and JSON has not is text; no digit is lost; formulas are only in CSV."""
    Store.create(tmp_path / "s")
    statement = (
        "SELECT INTERVAL '1 month 2 days 1.5 seconds' AS i, '\\xFF\\x00'::BLOB AS b, '=1' AS f, "
        "MAP {'k': 'NaN'::DOUBLE} AS m, 1.12345678901234567890::DECIMAL(38, 20) AS d, "
        "170141183460469231731687303715884105727::HUGEINT AS h, 0.5::DECIMAL(3, 1) AS s, "
        "TIME '12:00:01' AS t, 1 AS x, 2 AS x"
    )
    words = ["--store", str(tmp_path / "s"), "sql", statement]
    (row,) = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert row == {
        "i": "P1M2DT1.5S", "b": "ff00", "f": "=1", "m": [["k", None]],
        "d": "1.12345678901234567890", "h": 170141183460469231731687303715884105727, "s": 0.5,
        "t": "12:00:01", "x": 1, "x_1": 2,
    }  # fmt: skip
    (cells,) = csv.DictReader(io.StringIO(CliRunner().invoke(app, [*words, "--csv"]).stdout))
    assert (cells["f"], cells["d"], cells["i"]) == ("'=1", "1.12345678901234567890", "P1M2DT1.5S")
