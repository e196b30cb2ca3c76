"""Table 4 follows pre-training, each snapshot fine-tuned; columns are the snapshots."""

from pathlib import Path

import numpy as np
import pytest

from _charts import channels, points, words
from _tuned import RUNS, STUDY, accuracy_of, exported, make_tuned
from fstore.queries.cells.needs import Row
from fstore.queries.refresh.show import show_report
from fstore.queries.reports import REPORTS, paper_numbers
from fstore.queries.studies.study import parse_study


def test_parents(tmp_path: Path) -> None:
    """A column for each snapshot that was fine-tuned, in order of the sweep; others have none."""
    world = make_tuned(tmp_path / "s")
    study = parse_study(STUDY.replace('sweep = ["5", "15"]', 'sweep = ["1", "5", "15"]'))
    shown = show_report(world.store, study, "table4")
    cells = {row["col"]: row for row in shown.rows}
    assert [col for col in cells if ":" not in col] == ["5", "15"]
    for parent in ("5", "15"):
        runs = [
            accuracy_of(world, exported(world.store, f"{parent}-d-ft{run}", tmp_path), seed)
            for seed, run in enumerate(RUNS)
        ]
        assert cells[parent]["value"] == pytest.approx(np.mean(runs))
        assert cells[parent]["std"] == pytest.approx(np.std(runs, ddof=1))
    assert cells["15"]["value"] != cells["5"]["value"]


def test_same_cells_as_table1(tmp_path: Path) -> None:
    """Fine-tuning from the pre-trained checkpoint has the same value in Tables 1, 2 and 4."""
    world = make_tuned(tmp_path / "s")
    study = parse_study(STUDY)
    columns = {"table1": "finetune", "table2": "ft", "table4": "15"}
    values = [
        row["value"]
        for name, col in columns.items()
        for row in show_report(world.store, study, name).rows
        if row["col"] == col
    ]
    assert len(values) == 3
    assert len(set(values)) == 1


@pytest.mark.parametrize("n_columns", [2, 7])
def test_plot(n_columns: int) -> None:
    """A bar a checkpoint, in order, however many there are; each is darker than the last."""
    rows: list[Row] = [
        {
            "row": "scene classification on s",
            "col": f"{i}k",
            "value": 40.0 + i,
            "std": 1.0,
            "n": 3,
            "paper": None,
        }
        for i in range(n_columns)
    ]
    chart = REPORTS["table4"].meta["plot"]([*rows, {**rows[0], "col": "0k:softmax"}])
    assert [p["value"] for p in points(chart)] == [40 + i for i in range(n_columns)]
    (fills,) = channels(chart, "fill")
    assert fills["scale"]["domain"] == [f"{i}k" for i in range(n_columns)]
    dark = [float(colour.strip(")").split(", ")[-1]) for colour in fills["scale"]["range"]]
    assert dark == sorted(set(dark))
    assert "± 1 standard deviation over runs; n = 3 runs." in words(chart)


def test_paper_numbers() -> None:
    """The paper's numbers are those of its Table 4."""
    numbers = paper_numbers("table4.csv")
    assert len(numbers) == 8
    assert numbers["SUN-CLS", "50k"] == 48.5
    assert numbers["PASCAL-DET", "305k"] == 55.4
