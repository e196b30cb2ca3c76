"""The notebook of the first hour runs from its first cell to its last, and shows what it says."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOK = Path(__file__).parent.parent / "examples" / "first_look.ipynb"

LAST = """
assert min(accuracy["150"][-2:]) > 0.5, accuracy
assert accuracy["150"][-1] > accuracy["30"][-1] > accuracy["random"][-1], accuracy
print("accuracy by layer", accuracy["150"])
"""
"""Run after the notebook: its probes tell more with training, and more than guessing (0.1)."""


def test_the_notebook_is_short_and_clean() -> None:
    """It has at most 15 cells, and holds no output of whoever ran it last."""
    cells = nbformat.read(NOTEBOOK, 4).cells
    assert len(cells) <= 15
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Jupyter's own
def test_the_notebook_runs(tmp_path: Path) -> None:
    """Every cell runs; three figures are drawn; what is learned is told by the probe."""
    notebook = nbformat.read(NOTEBOOK, 4)
    notebook.cells.append(nbformat.v4.new_code_cell(LAST))
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert "accuracy by layer" in outputs[-1]["text"]
    assert not [o for o in outputs if o.get("name") == "stderr"]
