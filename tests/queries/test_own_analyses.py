"""Reports of a study's own that ask an analysis: numbers, freshness, what is refused."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from _build import Built, add_checkpoint, add_dataset, build, put, relu
from fstore.errors import DataError
from fstore.queries.refresh.driver import Brought, brought
from fstore.queries.refresh.listing import states
from fstore.queries.reports import check_own_reports, report_of
from fstore.queries.studies.study import Study, parse_study
from fstore.store import Store

HEAD = """
name = "small"
network = "net"
layers = ["conv1", "fc"]
sweep = ["5", "15"]
[classification]
dataset = "d"
"""

CKA = """
analysis = "cka"
options = { other = "5", dataset = "d", ablation = "none" }
params = { ckpt = "sweep" }
chart = { kind = "heatmap", x = "layer", y = "other_layer", color = "cka" }
expect = ["rows > 1", "cka between 0 and 1.000001"]
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build a store with two checkpoints of other responses."""
    built = build(tmp_path_factory.mktemp("asked") / "s", ckpts=("5",))
    add_checkpoint(built.store, "net", "15")
    for layer, x in built.values.items():
        put(built.store, built.partition(layer, "15"), x[::-1].copy() * 2)
    return built


def study(entry: str) -> Study:
    """Return a study with one report."""
    return parse_study(f"{HEAD}[[report]]\nname = 'r'\ntitle = 'R'\n{entry}")


def only(store: Store, entry: str) -> Brought:
    """Refresh the report of a study."""
    (done,) = brought(store, study(entry), ["r"])
    return done


def linear_cka(X: NDArray[np.float32], Y: NDArray[np.float32]) -> float:
    """Return the linear CKA as Kornblith et al. write it, from whole centred matrices."""
    a, b = (m.reshape(len(m), -1).astype(np.float64) for m in (X, Y))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    norms = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(np.linalg.norm(b.T @ a) ** 2 / norms)


def test_an_analysis_is_a_report(built: Built) -> None:
    """Its cells are NumPy's; a new checkpoint adds its own, and a new data set none."""
    store = built.store
    check_own_reports(store, study(CKA))
    done = only(store, CKA)
    assert (done.state, done.computed) == ("computed", 2)
    by = {(row["row"], row["col"]): row["value"] for row in done.rows}
    for a, X in built.values.items():
        for b, Y in built.values.items():
            row = f"ckpt=15, layer={a}, other_ckpt=net/5, other_layer={b}"
            assert by[row, "cka"] == pytest.approx(linear_cka(X[::-1], Y), rel=1e-6)
            assert by[row, "n"] == 6
    chart = report_of(study(CKA.replace("sweep", "x").replace('"x"', '["5"]')), "r").meta["plot"]
    rows = [row for row in done.rows if str(row["row"]).startswith("ckpt=5")]
    assert len(next(iter(chart(rows).to_dict()["datasets"].values()))) == 4
    add_dataset(store, "e", seed=1)
    assert only(store, CKA).state == "fresh"
    add_checkpoint(store, "net", "25")
    put(store, built.partition("fc", "25"), relu(3, 6, 4, 1))
    assert only(store, CKA).state == "fresh"
    more = CKA.replace('"sweep"', '["5", "15", "25", "35"]')
    done = only(store, more)
    assert (done.computed, done.reused) == (1, 2)
    (missing,) = done.missing
    assert missing.rows == ("ckpt=35",)
    assert "extract --layer conv1 --layer fc --ckpt net/35 --ckpt net/5" in missing.command


def test_what_makes_it_stale_is_told(built: Built) -> None:
    """Other options and expectations say so; a failed expectation names the cell."""
    entry = "analysis = 'dimension'\noptions = { ckpt = ['5'], dataset = 'd', layer = 'conv1' }\n"
    assert only(built.store, entry).state == "computed"
    (state,) = states(built.store, study(entry.replace("'conv1'", "'fc'")), ["r"])
    assert "activations of net/5 d.image fc added" in state.why
    assert "options layer changed" in state.why
    done = only(built.store, f"{entry}expect = ['two_nn > 100 or n < 3']")
    assert "cell 'dataset=d'" not in done.error
    assert "of report 'r': expected two_nn > 100 or n < 3; 1 of 1 rows do not" in done.error


def test_labels_count(tmp_path: Path) -> None:
    """A probe depends on the labels of its data set, and on its split."""
    from fstore.queries.cells.inputs import Inputs
    from fstore.queries.reports import needs_of

    built = build(tmp_path / "s")
    entry = "analysis = 'probe'\noptions = { dataset = 'd', ckpt = '5', layer = 'fc' }"
    (need,) = needs_of(built.store, study(entry), "r")
    described = Inputs.now(built.store).described(need)
    assert {"labels", "samples", "weights", "statement", "expect"} < set(described)
    assert list(described["partitions"]) == ["net/5 d.image fc"]  # type: ignore[call-overload]
    assert described["options"]["split"] == "official"  # type: ignore[index]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("analysis = 'ckaa'", "no analysis 'ckaa'; there are: "),
        ("analysis = 'cka'\nsql = 'SELECT 1'", "give one of sql"),
        ("sql = 'SELECT 1 AS x'\noptions = { a = 1 }", "options goes with analysis only"),
        ("analysis = 'cka'\nneeds = ['FROM labels']", "python only"),
        ("analysis = 'cka'\noptions = { colour = 1 }", "no option 'colour'; it has: ckpt, dataset"),
        ("analysis = 'cka'\noptions = { samples = 'many' }", "samples must be a whole number, got"),
        ("analysis = 'cka'\noptions = { samples = true }", "samples must be a whole number, got"),
        ("analysis = 'cka'\noptions = { other = ['5'] }", "other must be text in quotes, got"),
        ("analysis = 'cka'\noptions = { layer = [5] }", "text in quotes, or a list of such, got"),
        ("analysis = 'cka'\noptions = { ablation = 'half' }", "half"),
        ("analysis = 'cka'\noptions = { part = 'rest' }", "no part 'rest'; there are: train"),
        ("analysis = 'cka'\noptions = { view = 'gtt' }", "no view 'gtt'; there are: image"),
        ("analysis = 'cka'\noptions = { seed = 3 }", 'split = "random:3"'),
        ("analysis = 'cka'\noptions = { split = 'train' }", "names no split"),
        ("analysis = 'cka'\nparams = { samples = ['5'] }", "samples must be a whole number"),
        ("analysis = 'cka'\nparams = { layer = 'seeds' }", "takes text, not whole numbers"),
        ("analysis = 'cka'\noptions = { ckpt = '5' }\nparams = { ckpt = 'sweep' }", "give it once"),
        ("analysis = 'cka'\nrows = ['class']", "rows: there is no column 'class'"),
        ("analysis = 'cka'\nchart = { kind = 'bar', x = 'layer', y = 'z' }", "no column 'z'"),
        ("analysis = 'nearest'", "nothing gives \\$sample a value"),
    ],
)
def test_wrong_options_are_refused_when_the_study_is_set(
    built: Built, entry: str, says: str
) -> None:
    """An analysis or option that is not there, or of another kind, is refused by name."""
    with pytest.raises(DataError, match=says) as caught:
        check_own_reports(built.store, study(entry))
    assert "report 'r'" in str(caught.value)
