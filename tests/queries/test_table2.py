"""Table 2 compares two ways of fine-tuning, each on the features of its own checkpoints."""

from pathlib import Path

import numpy as np
import pytest

from _charts import points
from _tuned import RUNS, STUDY, accuracy_of, exported, make_tuned
from fstore.errors import DataError
from fstore.queries.refresh.show import show_report
from fstore.queries.reports import REPORTS, paper_numbers
from fstore.queries.studies.study import parse_study


def test_modes(tmp_path: Path) -> None:
    """Both modes start from the pre-trained checkpoint; values are scikit-learn's."""
    world = make_tuned(tmp_path / "s")
    rows = show_report(world.store, parse_study(STUDY), "table2").rows
    cells = {row["col"]: row for row in rows}
    assert [col for col in cells if ":" not in col] == ["ft", "fc_ft"]
    for col, name in (("ft", "15-d-ft"), ("fc_ft", "15-d-fc-ft")):
        runs = [
            accuracy_of(world, exported(world.store, name + run, tmp_path), seed)
            for seed, run in enumerate(RUNS)
        ]
        assert cells[col]["value"] == pytest.approx(np.mean(runs))
        assert cells[col]["std"] == pytest.approx(np.std(runs, ddof=1))
    assert (cells["ft"]["paper"], cells["fc_ft"]["paper"]) == (52.2, 51.6)
    assert [p["value"] for p in points(REPORTS["table2"].meta["plot"](rows))] == [
        cells["ft"]["value"],
        cells["fc_ft"]["value"],
    ]


def test_neither_mode(tmp_path: Path) -> None:
    """A study whose pre-trained checkpoint was not fine-tuned says what is looked for."""
    world = make_tuned(tmp_path / "s")
    study = parse_study(STUDY.replace('pretrained = "15"', 'pretrained = "25"'))
    with pytest.raises(DataError, match="of mode ft from 25 or fc-ft from 25"):
        show_report(world.store, study, "table2")


def test_paper_numbers() -> None:
    """The paper's numbers are those of its Table 2."""
    numbers = paper_numbers("table2.csv")
    assert len(numbers) == 6
    assert numbers["PASCAL-DET+DATA", "fc_ft"] == 56.0
