"""Table 6 gives the percentages that NumPy counts, and reads summaries only."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from _build import STUDY, Built, add_dataset, add_layers, build, put, relu
from _charts import points, titles, words
from fstore.errors import SchemaError
from fstore.queries.cells.needs import Cell, Need, Row
from fstore.queries.figures.table6 import plot_table6
from fstore.queries.reports import REPORTS, paper_numbers
from fstore.queries.reports.table6 import needs, sparsity_sql, table6
from fstore.queries.studies.study import parse_study
from fstore.store.files import Partition
from fstore.store.maintenance import Selection, drop
from fstore.store.parts import Samples
from fstore.store.totals import file_totals

TEST = slice(3, 6)  # the test part of _build's data set


def percent(
    values: Mapping[str, NDArray[np.float32]], which: slice = TEST
) -> dict[str, list[float]]:
    """Count by hand: layer -> percent non-zero of each sample."""
    return {
        layer: [100 * float(np.mean(sample != 0)) for sample in x[which]]
        for layer, x in values.items()
    }


def cells_of(computed: Iterable[tuple[Need, Sequence[Cell]]]) -> list[Cell]:
    """Return the cells of all needs."""
    return [cell for _, cells in computed for cell in cells]


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Build a store with two checkpoints, the study's and another."""
    return build(tmp_path / "s", ("5", "15"))


def test_equals_numpy(built: Built) -> None:
    """Mean and deviation (n - 1) over the test samples are those of the arrays."""
    cells = {
        c.row: c for c in cells_of(table6(built.store, needs(built.store, parse_study(STUDY))))
    }
    for layer, shares in percent(built.values).items():
        assert cells[layer].value == pytest.approx(np.mean(shares), rel=1e-12)
        assert cells[layer].std == pytest.approx(np.std(shares, ddof=1), rel=1e-12, abs=1e-12)
        assert cells[layer].n == 3


def test_several_data_sets_are_one(built: Built) -> None:
    """Samples of two bound data sets count together."""
    add_dataset(built.store, "e", ("test", "train"))
    more = {"conv1": relu(7, 2, 3, 4), "fc": relu(8, 2, 4, 1)}
    for layer, x in more.items():
        put(built.store, Partition("net", "5", "e", "image", layer), x)
    text = STUDY.replace("[classification]", "[[classification]]")
    study = parse_study(text + '[[classification]]\ndataset = "e"')
    cells = {c.row: c for c in cells_of(table6(built.store, needs(built.store, study)))}
    for layer in more:
        both = percent(built.values)[layer] + percent(more, slice(0, 1))[layer]
        assert cells[layer].n == 4
        assert cells[layer].value == pytest.approx(np.mean(both), rel=1e-12)
        assert cells[layer].std == pytest.approx(np.std(both, ddof=1), rel=1e-12)


def test_sums_go_in_the_order_of_the_samples(built: Built) -> None:
    """Mean and deviation are those of a loop over the samples, to the last bit, in each run."""
    add_dataset(built.store, "many", ("test",) * 300)
    x = relu(3, 300, 4, 1)
    put(built.store, Partition("net", "5", "many", "image", "fc"), x)
    put(built.store, Partition("net", "5", "many", "image", "conv1"), relu(4, 300, 3, 4))
    study = parse_study(STUDY.replace('dataset = "d"', 'dataset = "many"'))
    count, mean, squares, total = 0, 0.0, 0.0, 0.0
    for share in percent({"fc": x}, slice(None))["fc"]:  # Welford's, as DuckDB does it
        count, total = count + 1, total + share
        mean, step = mean + (share - mean) / count, share - mean
        squares += step * (share - mean)
    for _ in range(5):
        cells = cells_of(table6(built.store, needs(built.store, study)))
        (cell,) = (c for c in cells if c.row == "fc")
        assert (cell.value, cell.std) == (total / count, (squares / (count - 1)) ** 0.5)


def test_needs(built: Built) -> None:
    """A cell a layer reads whole images of the test part at the pre-trained checkpoint."""
    found = needs(built.store, parse_study(STUDY))
    assert [n.row for n in found] == ["conv1", "fc"]
    (reading,) = found[1].readings
    assert (reading.network, reading.ckpt, reading.layer) == ("net", "5", "fc")
    assert reading.samples == Samples("d", "image", "official", 0, "test")


def test_plan_reads_no_map(built: Built) -> None:
    """The plan reads totals; neither the column map nor any row of activations is in it."""
    samples = [Samples("d", "image", "official", 0, "test")]
    files = built.store.files(ckpt="5")
    built.store.load_totals(files)
    statement, parameters = sparsity_sql(files, samples)
    (row,) = built.store.sql("EXPLAIN (FORMAT json) " + statement, parameters).rows()
    scans = {
        str(node["extra_info"].get("Table", node["name"])): node["extra_info"]["Projections"]
        for node in walk(json.loads(row["explain_value"]))
        if "SCAN" in node["name"] or "READ" in node["name"]
        if "Projections" in node["extra_info"]
    }
    assert "memory.main._totals" in scans
    read = {column for columns in scans.values() for column in columns}
    assert not read & {"channel", "act_max", "act_sum", "npos", "argmax", "map"}


def walk(plan: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield every operator of a plan."""
    for node in plan:
        yield node
        yield from walk(node.get("children", []))


def test_equals_the_rows(built: Built) -> None:
    """The totals in the footers say what counting the rows of the view says."""
    by_rows = """
        SELECT layer, avg(p) AS value FROM (
            SELECT layer, sample_id, 100 * sum(nnz) / sum(len(map)) AS p
            FROM activations WHERE ckpt = '5' AND sample_id >= 3 GROUP BY ALL)
        GROUP BY layer
    """
    rows = {r["layer"]: r["value"] for r in built.store.sql(by_rows).rows()}
    cells = {
        c.row: c.value
        for c in cells_of(table6(built.store, needs(built.store, parse_study(STUDY))))
    }
    assert cells == pytest.approx(rows, rel=1e-12)


def test_odd_names(tmp_path: Path) -> None:
    """Names with quotes and slashes give the same numbers."""
    store = build(tmp_path / "it's").store
    add_layers(store, "n'w", {"fire2/concat": (3, 2, 2)})
    x = relu(5, 6, 3, 4)
    put(store, Partition("n'w", "a'b", "d", "image", "fire2/concat"), x)
    text = STUDY.replace('"net"', '"n\'w"').replace('"5"', '"a\'b"')
    study = parse_study(text.replace('"conv1", "fc"', '"fire2/concat"'))
    ((_, (cell,)),) = table6(store, needs(store, study))
    assert cell.value == pytest.approx(np.mean(percent({"x": x})["x"]), rel=1e-12)


def test_files_without_totals(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files whose footers have no totals are refused, not counted as empty."""
    monkeypatch.setattr("fstore.store.encode.TOTALS_KEY", "something else")
    put(built.store, built.partition("conv1", "25"), built.values["conv1"])
    study = parse_study(STUDY.replace('"5"', '"25"'))
    put(built.store, built.partition("fc", "25"), built.values["fc"])
    monkeypatch.undo()
    with pytest.raises(SchemaError, match="0 samples of 12"):
        list(table6(built.store, needs(built.store, study)))
    (old,) = built.store.files(ckpt="25", layer="fc")
    assert file_totals(old) == {}
    drop(built.store.place, Selection(ckpt="25", layer="fc"))
    put(built.store, built.partition("fc", "25"), built.values["fc"])
    with pytest.raises(SchemaError, match="6 samples of 12"):
        list(table6(built.store, needs(built.store, study)))


def test_paper_numbers() -> None:
    """The paper's numbers are those of its Table 6."""
    numbers = paper_numbers("table6.csv")
    assert numbers["conv1", "nonzero_percent"] == 87.5
    assert numbers["fc7", "std"] == 4.9


def test_plot() -> None:
    """Bars are the values, lines the deviations, marks the paper's; labels carry units."""
    own: dict[str, str | float | int | None] = {"col": "nonzero_percent", "n": 3}
    rows: list[Row] = [
        {"row": "conv1", "value": 80.0, "std": 4.0, "paper": 87.5, **own},
        {"row": "fc", "value": 20.0, "std": None, "paper": None, **own},
    ]
    chart = plot_table6(rows)
    drawn = points(chart)
    assert [(p["group"], p["value"], p["paper"]) for p in drawn] == [
        ("conv1", 80, 87.5),
        ("fc", 20, None),
    ]
    assert [(p.get("low"), p.get("high")) for p in drawn] == [(76, 84), (None, None)]
    assert titles(chart, "y") == {"Non-zero responses (percent)"}
    assert "lines: ± 1 standard deviation over images; n = 3 images" in words(chart)


@pytest.mark.parametrize("name", [entry.name for entry in REPORTS])
def test_every_report(name: str) -> None:
    """A report has a title, a question, a help line and needs; a table the paper's numbers."""
    entry = REPORTS[name]
    assert entry.summary.endswith(".")
    assert entry.meta["title"]
    assert entry.meta["answers"].endswith("?")
    if entry.meta["paper"]:
        columns = {column for _, column in paper_numbers(entry.meta["paper"])}
        assert not entry.meta["columns"] or columns & set(entry.meta["columns"])
    assert callable(entry.meta["needs"])


def test_same_result_twice(built: Built) -> None:
    """Asked twice, a report gives the same cells, in its declared columns."""
    wanted = needs(built.store, parse_study(STUDY))
    first, second = (sorted(cells_of(table6(built.store, wanted)), key=str) for _ in range(2))
    assert first == second
    assert {cell.col for cell in first} <= set(REPORTS["table6"].meta["columns"])


def test_import_is_light() -> None:
    """Importing the reports loads no library that takes long."""
    heavy = ("torch", "duckdb", "pyarrow", "altair", "deltalake", "polars", "sklearn", "scipy")
    code = f"import sys, fstore.queries.reports; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
