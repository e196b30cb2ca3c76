"""Stored cells are reused while their inputs and code are the same, and not a moment longer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from _build import STUDY, Built, add_checkpoint, add_dataset, build, put
from _clock import set_clock_back
from fstore.errors import DataError, UnknownNameError
from fstore.queries.cells import code as _code
from fstore.queries.cells.code import code_modules, code_version
from fstore.queries.refresh import compute as _run
from fstore.queries.refresh import standing as _standing
from fstore.queries.refresh.show import show_report
from fstore.queries.studies.study import Study, parse_study
from fstore.store.files import Partition
from fstore.store.maintenance import Selection, drop


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Build a store that has all that the study needs."""
    return build(tmp_path / "s")


@pytest.fixture
def study() -> Study:
    """Read the study."""
    return parse_study(STUDY)


def stored(built: Built) -> list[dict[str, Any]]:
    """Return the rows of table reports, oldest first."""
    rows: list[dict[str, Any]] = built.store.rows("reports").sort_by("computed_at").to_pylist()
    return rows


def test_computed_once(built: Built, study: Study) -> None:
    """The second look computes nothing, stores nothing and shows the same."""
    first, second = (show_report(built.store, study, "table6") for _ in range(2))
    assert (first.computed, first.reused, second.computed, second.reused) == (2, 0, 0, 2)
    assert first.rows == second.rows
    assert [row["row"] for row in first.rows] == ["conv1", "fc"]
    assert len(stored(built)) == 2


def test_row_keys_and_paper(built: Built, study: Study) -> None:
    """Rows carry the paper's number beside ours; fc, which the paper lacks, has none."""
    rows = show_report(built.store, study, "table6").rows
    assert list(rows[0]) == ["study", "report", "row", "col", "value", "std", "n", "paper"]
    assert [row["paper"] for row in rows] == [87.5, None]


def test_lineage_is_stored(built: Built, study: Study) -> None:
    """A stored cell says what it was computed from and with which code."""
    show_report(built.store, study, "table6")
    row = next(r for r in stored(built) if r["row"] == "fc")
    inputs = json.loads(row["inputs"])
    assert list(inputs["partitions"]) == ["net/5 d.image fc"]
    assert list(inputs["samples"]) == ["d image official 0 test"]
    assert row["code_version"] == code_version("fstore.queries.reports.table6")


def test_new_content_is_computed_anew(built: Built, study: Study) -> None:
    """After one layer changed, its cell alone is computed again; the old row is kept."""
    before = show_report(built.store, study, "table6").rows
    drop(built.store.place, Selection(layer="fc"))
    ones = np.ones((6, 4, 1), dtype=np.float32)
    put(built.store, built.partition("fc"), ones, identity={"weights": "new"})
    after = show_report(built.store, study, "table6")
    assert (after.computed, after.reused) == (1, 1)
    assert after.rows[0] == before[0]
    assert after.rows[1]["value"] == 100 != before[1]["value"]
    assert len(stored(built)) == 3


def test_other_files_same_rows(built: Built, study: Study) -> None:
    """The same rows in other files are nothing new: compaction makes no cell stale."""
    show_report(built.store, study, "table6")
    drop(built.store.place, Selection(layer="fc"))
    for ids in ([0, 1, 2, 3], [4, 5]):
        x = built.values["fc"][ids]
        put(built.store, built.partition("fc"), x, sample_ids=ids)
    assert show_report(built.store, study, "table6").computed == 0


def test_other_code_is_computed_anew(
    built: Built, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changed code computes every cell again."""
    show_report(built.store, study, "table6")
    monkeypatch.setattr(_standing, "code_version", lambda *_: "changed")
    assert show_report(built.store, study, "table6").computed == 2


def test_clock_that_goes_back(built: Built, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells that are computed later count as newer, whatever the clock says."""
    show_report(built.store, study, "table6")
    set_clock_back(monkeypatch, _run)
    monkeypatch.setattr(_standing, "code_version", lambda *_: "changed")
    assert show_report(built.store, study, "table6").computed == 2
    assert show_report(built.store, study, "table6").computed == 0


def test_missing_layer_has_no_row(built: Built, study: Study) -> None:
    """A layer that was not extracted has no row, and a command that makes it."""
    drop(built.store.place, Selection(layer="fc"))
    shown = show_report(built.store, study, "table6")
    assert [row["row"] for row in shown.rows] == ["conv1"]
    (missing,) = shown.missing
    assert str(missing) == (
        "no fc: no activations of d.image at net/5; make it with: "
        "fstore extract --layer fc --ckpt net/5 --dataset d --view image "
        f"--store {built.store.path}"
    )


def test_incomplete_layer_has_no_row(built: Built, study: Study) -> None:
    """A layer of which only some test samples are there has no row rather than a wrong one."""
    drop(built.store.place, Selection(layer="fc"))
    put(built.store, built.partition("fc"), built.values["fc"][:4])
    shown = show_report(built.store, study, "table6")
    assert [row["row"] for row in shown.rows] == ["conv1"]
    assert "activations of 1 of 3 samples only" in str(shown.missing[0])


def test_unreadable_images_are_not_missed(built: Built, study: Study) -> None:
    """A sample whose image could not be read is left out, and the count says so."""
    drop(built.store.place, Selection(layer="fc"))
    put(built.store, built.partition("fc"), built.values["fc"][:5])
    bad = {"dataset": "d", "view": "image", "sample_id": 5, "uri": "5.png", "reason": "truncated"}
    built.store.append("unreadable", [bad])
    shown = show_report(built.store, study, "table6")
    assert [row["n"] for row in shown.rows] == [3, 2]


def test_nothing_to_show(built: Built, study: Study) -> None:
    """Without any activations the error has one command for all layers."""
    drop(built.store.place, Selection(ckpt="5"))
    with pytest.raises(UnknownNameError) as caught:
        show_report(built.store, study, "table6")
    command = "fstore extract --layer conv1 --layer fc --ckpt net/5 --dataset d --view image"
    assert str(caught.value).endswith(f"{command} --store {built.store.path}")


def test_what_is_not_there(built: Built, study: Study) -> None:
    """An unknown report, data set, split or role is named."""
    with pytest.raises(UnknownNameError, match=r"no report 'table99'; there are: .*table6"):
        show_report(built.store, study, "table99")
    other = parse_study(STUDY.replace('"d"', '"e"'))
    with pytest.raises(UnknownNameError, match="no data set 'e'"):
        show_report(built.store, other, "table6")
    random = parse_study(STUDY + 'split = "random"')
    with pytest.raises(UnknownNameError, match="no part 'random:0:test'; it has"):
        show_report(built.store, random, "table6")
    with pytest.raises(DataError, match="'pretrained'"):
        show_report(built.store, parse_study(STUDY.replace('pretrained = "5"\n', "")), "table6")


def test_studies_do_not_mix(built: Built, study: Study) -> None:
    """Two studies keep their own cells."""
    add_checkpoint(built.store, "net", "15")
    for layer in ("conv1", "fc"):
        put(built.store, Partition("net", "15", "d", "image", layer), built.values[layer])
    show_report(built.store, study, "table6")
    other = parse_study(STUDY.replace('"5"', '"15"').replace('"small"', '"other"'))
    assert show_report(built.store, other, "table6").computed == 2
    assert show_report(built.store, study, "table6").computed == 0


def test_another_split_is_another_input(built: Built, study: Study) -> None:
    """The same activations over another test part give other fingerprints."""
    show_report(built.store, study, "table6")
    before = {row["fingerprint"] for row in stored(built)}
    drop(built.store.place, Selection(dataset="d"))
    add_dataset(built.store, "d", ("test", "test", "train", "train", "train", "train"))
    for layer, x in built.values.items():
        put(built.store, built.partition(layer), x)
    assert show_report(built.store, study, "table6").computed == 2
    assert len(before | {row["fingerprint"] for row in stored(built)}) == 4


# code versions


def test_code_follows_imports_in_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports inside functions count, those for annotations and of other libraries do not."""
    package = tmp_path / "fstore_extra"
    package.mkdir()
    source = package / "one.py"
    source.write_text(
        "from typing import TYPE_CHECKING\nimport json\n"
        "if TYPE_CHECKING:\n    from fstore.store.maintenance import drop\n"
        "def f():\n    from fstore.store import versions\n    import numpy\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = code_modules("fstore_extra.one")
    assert "fstore.store.versions" in modules
    assert "fstore.store.maintenance" not in modules
    assert not [m for m in modules if m.startswith(("json", "numpy"))]


def test_code_version_follows_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed constant gives another version."""
    (tmp_path / "fstore_plain.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    first = code_version("fstore_plain")
    forget_code()
    assert code_version("fstore_plain") == first
    (tmp_path / "fstore_plain.py").write_text("x = 2\n")
    forget_code()
    assert code_version("fstore_plain") != first


def forget_code() -> None:
    """Make this process read sources again, as a new one would."""
    _code.code_version.cache_clear()
    _code._module.cache_clear()
    _code._digest.cache_clear()
