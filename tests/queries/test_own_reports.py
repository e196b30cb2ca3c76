"""Reports that a study states itself: computed, stale, checked and shown like any other."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from _build import Built, add_checkpoint, build, put, relu
from _cli import run
from fstore.errors import DataError, TrustError, UnknownNameError
from fstore.queries.cells.row_names import row_name, row_parts
from fstore.queries.publish import build as build_module
from fstore.queries.publish import build_page
from fstore.queries.publish.charts import chart_of
from fstore.queries.publish.exhibits import names
from fstore.queries.publish.paper_tables import write_tables
from fstore.queries.refresh.driver import Brought, brought
from fstore.queries.refresh.history import as_of, changes
from fstore.queries.refresh.listing import due, states
from fstore.queries.reports import REPORTS, check_own_reports, needs_of, report_of, reports_of
from fstore.queries.studies.own import agree_to_code
from fstore.queries.studies.own_text import with_files
from fstore.queries.studies.study import Study, load_study, parse_study, set_study
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.reads import StatementReader

HEAD = """
name = "small"
network = "net"
layers = ["conv1", "fc"]
sweep = ["5", "15"]
pretrained = "5"
[classification]
dataset = "d"
"""

THREE = """
[[report]]
name = "loud"
title = "Mean response of each filter"
sql = '''
SELECT channel, avg(act_max) AS mean, max(act_max) AS most FROM activations
WHERE network = 'net' AND layer = $layer AND ckpt = $ckpt GROUP BY channel ORDER BY channel
'''
chart = { kind = "bar", x = "channel", y = "mean" }
expect = ["rows > 0", "mean between 0 and 100"]
[[report]]
name = "whole"
title = "Rows of a checkpoint"
sql = "SELECT ckpt, count(*) AS n FROM activations WHERE layer = 'fc' GROUP BY ckpt ORDER BY ckpt"
[[report]]
name = "shown"
title = "Images of a class"
sql = "SELECT class, count(*) AS images FROM labels WHERE label = 1 GROUP BY class ORDER BY class"
"""

PYTHON = """
[[report]]
name = "spread"
title = "Spread"
unit = "units"
python = "mine.py:table"
needs = ["FROM activations WHERE network = 'net' AND layer = $layer AND ckpt = $ckpt"]
params = { layer = ["fc"], ckpt = "sweep" }
"""

MINE = '''
import numpy as np

def table(store, *, layer, ckpt):
    """Return the deviation of a layer's responses."""
    given = store.sql(
        "SELECT act_max FROM activations WHERE network = 'net' AND layer = $a AND ckpt = $b",
        a=layer, b=ckpt,
    )
    return [{"std": float(np.std(given.numpy()["act_max"]))}]
'''

OWN = ("loud", "whole", "shown", "spread")


@pytest.fixture(autouse=True)
def _own_consents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep consents in a folder of the test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build a store with two checkpoints, in which nothing is to be changed."""
    return build(tmp_path_factory.mktemp("shared") / "s", ckpts=("5", "15"))


@pytest.fixture
def built(shared: Built, tmp_path: Path) -> Built:
    """Return a copy of that store."""
    shutil.copytree(shared.store.path, tmp_path / "s")
    return Built(Store.open(tmp_path / "s"), shared.values)


@pytest.fixture
def study(built: Built, tmp_path: Path) -> Study:
    """Set a study with three reports in SQL and one function."""
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    toml = with_files(HEAD + THREE + PYTHON, tmp_path, "study.toml")
    read = set_study(built.store, toml)
    agree_to_code(built.store, read.report)
    check_own_reports(built.store, read)
    return read


def sql_study(sql: str, more: str = "") -> Study:
    """Return a study with one report in SQL."""
    return parse_study(f"{HEAD}[[report]]\nname = 'r'\ntitle = 'R'\nsql = '''{sql}'''\n{more}")


def refreshed(store: Store, study: Study, *names: str) -> dict[str, tuple[str, int, int]]:
    """Refresh; return state and counts by report."""
    done = brought(store, study, names or OWN)
    return {d.report: (str(d.state), d.computed, d.reused) for d in done}


def only(store: Store, study: Study, name: str = "r") -> Brought:
    """Refresh one report."""
    (done,) = brought(store, study, [name])
    return done


def values(done: Brought) -> dict[tuple[str, str], float]:
    """Return a report's numbers by row and column."""
    return {(row["row"], row["col"]): row["value"] for row in done.rows}


def test_numbers_are_those_of_numpy(built: Built, study: Study) -> None:
    """A statement's and a function's cells are what NumPy computes from the responses."""
    loud = values(only(built.store, study, "loud"))
    assert len(loud) == 2 * (3 + 4) * 2
    for layer, x in built.values.items():
        strongest = x.max(axis=2)
        for c in range(x.shape[1]):
            row = f"layer={layer}, ckpt=15, channel={c}"
            assert loud[row, "mean"] == pytest.approx(strongest[:, c].mean(), rel=1e-6)
            assert loud[row, "most"] == pytest.approx(strongest[:, c].max(), rel=1e-6)
    assert values(only(built.store, study, "shown")) == {
        ("class=a", "images"): 3,
        ("class=b", "images"): 3,
    }
    spread = values(only(built.store, study, "spread"))
    expected = built.values["fc"][:, :, 0].std()
    assert spread == {
        (f"layer=fc, ckpt={c}", "std"): pytest.approx(expected, rel=1e-6) for c in ("5", "15")
    }


def test_a_new_checkpoint_stales_what_reads_it_and_nothing_else(built: Built, study: Study) -> None:
    """Only the cells whose statement leaves the new partition are computed again."""
    store = built.store
    assert refreshed(store, study) == {
        "loud": ("computed", 4, 0),
        "whole": ("computed", 1, 0),
        "shown": ("computed", 1, 0),
        "spread": ("computed", 2, 0),
    }
    assert {state for state, *_ in refreshed(store, study).values()} == {"fresh"}
    before = datetime.now(UTC)
    add_checkpoint(store, "net", "25")
    put(store, built.partition("fc", "25"), relu(3, 6, 4, 1))
    assert [(d.report, d.why) for d in due(store, study, OWN)] == [
        ("whole", "activations of net/25 d.image fc added")
    ]
    assert refreshed(store, study)["whole"] == ("computed", 1, 0)
    found = list(changes(store, "small", OWN, start=before, end=datetime.now(UTC)))
    assert [(c.report, c.row, c.change) for c in found] == [("whole", "ckpt=25", "appeared")]
    assert len(as_of(store, "small", "whole", time=before)) == 2
    assert len(as_of(store, "small", "whole", time=datetime.now(UTC))) == 3


def test_a_longer_sweep_adds_its_cells(built: Built, study: Study) -> None:
    """A checkpoint that joins the sweep is a cell a layer; without activations it lacks inputs."""
    store = built.store
    refreshed(store, study)
    add_checkpoint(store, "net", "25")
    put(store, built.partition("fc", "25"), relu(3, 6, 4, 1))
    text = (HEAD + THREE).replace('["5", "15"]', '["5", "15", "25"]')
    done = only(store, parse_study(text), "loud")
    assert (done.computed, done.reused) == (1, 4)
    (missing,) = done.missing
    assert missing.rows == ("layer=conv1, ckpt=25",)
    assert "extract --layer conv1 --ckpt net/25 --dataset d --view image" in missing.command


def test_where_nobody_can_say_what_makes_it_the_store_is_shown(built: Built) -> None:
    """A statement that names a checkpoint of its own lacks inputs; no command is guessed."""
    (missing,) = only(
        built.store, sql_study("SELECT count(*) AS n FROM activations WHERE ckpt = 'no'")
    ).missing
    assert "no activations that it asks for; see what is stored with: " in str(missing)
    assert " status" in missing.command


def test_changed_rows_statements_and_functions_are_told(
    built: Built, study: Study, tmp_path: Path
) -> None:
    """Other labels, another statement, another function: each says why its cells are stale."""
    store = built.store
    refreshed(store, study)
    add_dataset_e(store)
    assert why(store, study, "shown") == "1 of 1 cells: table labels changed"
    other = parse_study(HEAD + THREE.replace("max(act_max)", "min(act_max)"))
    assert why(store, other, "loud") == "4 of 4 cells: statement changed"
    other = parse_study(HEAD + THREE.replace('"rows > 0"', '"rows > 1"'))
    assert why(store, other, "loud") == "4 of 4 cells: expect changed"
    (tmp_path / "mine.py").write_text(MINE + "\n", encoding="utf-8")
    assert why(store, study, "spread") == "2 of 2 cells: function changed"


def why(store: Store, study: Study, name: str) -> str:
    """Return why a report is stale."""
    (state,) = states(store, study, [name])
    return state.why


def add_dataset_e(store: Store) -> None:
    """Register one more data set."""
    from _build import add_dataset

    add_dataset(store, "e", seed=1)


def test_expectations_fail_by_name(built: Built) -> None:
    """A cell that does not meet what is expected fails its report; the others are stored."""
    sql = (
        "SELECT channel, avg(act_max) AS mean FROM activations "
        "WHERE layer = $layer AND ckpt = '5' GROUP BY channel"
    )
    means = {layer: x.max(axis=2).mean(axis=0) for layer, x in built.values.items()}
    bound = float(means["fc"].max()) + 0.01
    assert means["conv1"].max() > bound
    done = only(
        built.store, sql_study(sql, f'expect = ["mean < {bound}", "rows > 3 or $1 is null"]')
    )
    assert done.state == "failed"
    assert "cell 'layer=conv1' of report 'r'" in done.error
    assert "expect" in done.error
    done = only(built.store, sql_study(sql, f'expect = ["mean < {bound}"]'))
    assert (done.state, done.computed) == ("failed", 1)
    count = int((means["conv1"] >= bound).sum())
    assert (
        f"cell 'layer=conv1' of report 'r': expected mean < {bound}; {count} of 3 rows"
        in done.error
    )
    assert {row["row"].split(", ")[0] for row in done.rows} == {"layer=fc"}


@pytest.mark.parametrize(
    ("expect", "holds"),
    [("rows > 0", False), ("rows = 0", True), ("mean > 5", True)],
)
def test_a_result_without_rows_is_a_cell(built: Built, expect: str, *, holds: bool) -> None:
    """A result without rows is kept as 0 rows; what is expected of rows is told all the same."""
    sql = "SELECT channel, act_max AS mean FROM activations WHERE ckpt = '5' AND act_max < -1"
    done = only(built.store, sql_study(sql, f'expect = ["{expect}"]'))
    if holds:
        assert values(done) == {("all", "rows"): 0.0}
        assert only(built.store, sql_study(sql, f'expect = ["{expect}"]')).state == "fresh"
    else:
        assert "expected rows > 0; it has no rows" in done.error


def test_null_does_not_meet_a_condition(built: Built) -> None:
    """An expectation that is neither true nor false of a row fails."""
    sql = "SELECT 'a' AS name, NULL::DOUBLE AS x"
    assert "expected x > 0" in only(built.store, sql_study(sql, 'expect = ["x > 0"]')).error
    assert np.isnan(values(only(built.store, sql_study(sql)))["name=a", "x"])


@pytest.mark.parametrize(
    ("sql", "more", "says"),
    [
        ("SELECT nothing FROM activations", "", "nothing"),
        ("DROP TABLE labels", "", "read-only"),
        ("SELECT 1 AS x FROM runs", "", "changes with each refresh"),
        ("SELECT * FROM read_csv('/etc/passwd')", "", "nobody can tell when read_csv"),
        ("SELECT * FROM duckdb_tables()", "", "nobody can tell"),
        ("SELECT avg(act_max) AS m FROM activations WHERE layer = $what", "", "params = { what"),
        ("SELECT avg(act_max) AS m FROM activations WHERE layer = ?", "", "no name"),
        ("SELECT 1 AS x", 'params = { layer = "layers" }', "has no \\$layer"),
        ("SELECT $layer AS x, 1 AS y", 'params = { layer = "strata" }', "no list of a study"),
        ("SELECT $ckpt AS x, 1 AS y", 'params = { ckpt = "finetuned" }', "does not give"),
        ("SELECT 'a' AS k, 1 AS x", 'chart = { kind = "bar", x = "k", y = "z" }', "no column 'z'"),
        ("SELECT 'a' AS k, 1 AS x", 'chart = { kind = "bar", x = "x", y = "k" }', "column of num"),
        ("SELECT 'a' AS k, 1 AS x", 'rows = ["q"]', "no column 'q'"),
    ],
)
def test_what_is_wrong_is_told_when_the_study_is_set(
    shared: Built, sql: str, more: str, says: str
) -> None:
    """A study with a report that cannot be computed is refused, with the report and the reason."""
    with pytest.raises(DataError, match=says) as raised:
        check_own_reports(shared.store, sql_study(sql, more))
    assert "report 'r'" in str(raised.value)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("name = 'r'\nsql = 'SELECT 1'", "title"),
        ("name = 'r'\ntitle = 'R'\nsql = 'SELECT 1'\ncolour = 1", "colour"),
        ("name = 'R 1'\ntitle = 'R'\nsql = 'SELECT 1'", "small letters"),
        ("name = 'r'\ntitle = 'R'", "give one of sql"),
        ("name = 'r'\ntitle = 'R'\nsql = 'SELECT 1'\npython = 'a.py:f'", "give one of sql"),
        ("name = 'r'\ntitle = 'R'\npython = 'a:f'\nneeds = ['FROM labels']", "FILE.py:FUNCTION"),
        ("name = 'r'\ntitle = 'R'\npython = 'a.py:f'", "needs = "),
        ("name = 'r'\ntitle = 'R'\nsql = 'SELECT 1'\nneeds = ['FROM labels']", "python only"),
        ("name = 'r'\ntitle = 'R'\nsql = 'x'\nchart = { kind = 'pie', x = 'a', y = 'b' }", "kind"),
    ],
)
def test_entries_are_checked(entry: str, says: str) -> None:
    """An entry that lacks a key, or has a strange one, is refused with its place."""
    with pytest.raises(DataError, match=says):
        parse_study(f"{HEAD}[[report]]\n{entry}")


def test_names_are_their_own(shared: Built) -> None:
    """Two reports have two names, and none has that of one of the paper's."""
    one = "[[report]]\nname = 'r'\ntitle = 'R'\nsql = 'SELECT 1 AS x'\n"
    with pytest.raises(DataError, match="is there twice"):
        parse_study(HEAD + one + one)
    with pytest.raises(DataError, match="comes with fstore"):
        check_own_reports(shared.store, parse_study(HEAD + one.replace("'r'", "'table6'")))


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT 'a' AS k, 1 AS x UNION ALL SELECT 'a', 2", "two rows are called 'k=a'"),
        ("SELECT 'a' AS k", "no column of numbers"),
        ("SELECT 'a' AS k, [1] AS x", "no number"),
        ("SELECT range::VARCHAR AS k, 1 AS x FROM range(10001)", "at most 10,000"),
    ],
)
def test_results_that_are_no_report_are_refused(built: Built, sql: str, says: str) -> None:
    """A result whose rows cannot be told apart, or that has no numbers, fails its report."""
    done = only(built.store, sql_study(sql))
    assert done.state == "failed"
    assert says in done.error


def test_a_function_reads_what_it_says(built: Built, tmp_path: Path) -> None:
    """A function that asks for more than its needs name fails; so does one that is not trusted."""
    greedy = MINE.replace("layer = $a", "layer = layer").replace("a=layer, ", "")
    (tmp_path / "mine.py").write_text(greedy, encoding="utf-8")
    study = parse_study(with_files(HEAD + PYTHON, tmp_path, "s"))
    done = only(built.store, study, "spread")
    assert "is code that the store names" in done.error
    assert "ckpt trust" in done.error
    agree_to_code(built.store, study.report)
    done = only(built.store, study, "spread")
    assert "which its needs do not name" in done.error
    assert "conv1" in done.error
    broken = MINE.replace("import numpy as np", "import no_such_module_at_all")
    (tmp_path / "mine.py").write_text(broken, encoding="utf-8")
    assert "failed: ModuleNotFoundError" in only(built.store, study, "spread").error
    (tmp_path / "mine.py").unlink()
    (state,) = states(built.store, study, ["spread"])
    assert state.state == "failed"
    assert "cannot be read" in state.why


def test_consent_is_given_to_the_code_as_it_is(built: Built, study: Study, tmp_path: Path) -> None:
    """Another process runs the function that was agreed to, and not one that changed since."""
    other = Store.open(built.store.path)
    assert only(other, study, "spread").state == "computed"
    (tmp_path / "mine.py").write_text(MINE + "\nprint('new')\n", encoding="utf-8")
    done = only(Store.open(built.store.path), study, "spread")
    assert isinstance(done.raised, DataError | TrustError)
    assert "changed since it was trusted" in done.error


def test_files_are_kept_with_the_study(tmp_path: Path) -> None:
    """The text of a statement's file takes its place; nothing else of the file changes."""
    text = 'SELECT "a\\b" AS x -- é\n'
    (tmp_path / "q.sql").write_text(text, encoding="utf-8")
    toml = HEAD + "# note\n[[report]]\nname = 'r'\ntitle = 'R'\n  sql_file = 'q.sql'  # mine\n"
    (own,) = parse_study(with_files(toml, tmp_path, "s")).report
    assert own.sql == text
    assert "# note" in with_files(toml, tmp_path, "s")
    inline = HEAD.replace(
        "[class", "report = [{name = 'r', title = 'R', sql_file = 'q.sql'}]\n[class"
    )
    with pytest.raises(DataError, match="on a line of its own"):
        with_files(inline, tmp_path, "s")
    with pytest.raises(DataError, match="nowhere"):
        with_files(toml.replace("q.sql", "nowhere.sql"), tmp_path, "s")


def test_own_reports_are_listed_drawn_and_published(
    built: Built, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stand beside the paper's in lists, charts and on the page."""
    refreshed(built.store, study)
    assert [e.name for e in reports_of(study)] == [*(e.name for e in REPORTS), *OWN]
    (done,) = brought(built.store, study, ["loud"], compute=False)
    chart = chart_of(done.rows, report_of(study, "loud"), title="Loud")
    assert chart is not None
    points = chart.spec["data"].get("values", [])
    assert len(points or next(iter(chart.spec["datasets"].values()))) == 14
    assert names(study)[: len(OWN)] == list(OWN)
    monkeypatch.setattr(build_module, "names", lambda _: list(OWN))
    page = build_page(built.store, study, tmp_path / "page", compute=False)
    index = page.read_text(encoding="utf-8")
    for name in OWN:
        assert f"{name}.html" in index
    text = (page.parent / "loud.html").read_text(encoding="utf-8")
    assert "Mean response of each filter" in text
    assert "avg(act_max)" in text
    assert (page.parent / "files" / "loud.svg").exists()


def test_own_reports_are_written_as_tables(built: Built, study: Study, tmp_path: Path) -> None:
    """Each format has a file for each of them; CSV has the numbers of NumPy."""
    refreshed(built.store, study)
    for form, suffix in (("md", "md"), ("latex", "tex"), ("csv", "csv")):
        files = write_tables(built.store, study, tmp_path / form, form=form)
        assert {f"{name}.{suffix}" for name in OWN} <= {file.name for file in files}
    head, *rows = (tmp_path / "csv" / "spread.csv").read_text(encoding="utf-8").splitlines()
    assert head == "row,std"
    expected = built.values["fc"][:, :, 0].std()
    assert [float(row.rsplit(",", 1)[1]) for row in rows] == [pytest.approx(expected, rel=1e-6)] * 2
    with pytest.raises(DataError, match="exists"):
        write_tables(built.store, study, tmp_path / "csv", form="csv")


def test_the_command_line_takes_them(built: Built, study: Study) -> None:
    """They are refreshed, listed, shown and scheduled by name; a failed one gives exit status 1."""
    assert study.report
    store = built.store
    assert run(store, "report", "refresh", *OWN).exit_code == 0
    listed = run(store, "report", "list", "--csv").stdout
    assert all(f"\n{name}," in listed for name in OWN)
    shown = run(store, "report", "show", "whole", "--csv")
    assert shown.stdout.splitlines()[1].startswith("small,whole,ckpt=15,n,24.0")
    once = ("schedule", "--once", "--retries", "0", "--report", "loud")
    assert run(store, *once).exit_code == 0
    set_study(store, (HEAD + THREE).replace("rows > 0", "rows > 3"))
    failed = run(store, *once)
    assert failed.exit_code == 1
    assert "cell 'layer=conv1, ckpt=5' of report 'loud': expected rows > 3" in failed.stderr
    failed = run(store, "report", "refresh", "loud", "--csv")
    assert failed.exit_code == 1
    assert "loud,failed,0,2" in failed.stdout
    set_study(store, HEAD + THREE)
    assert run(store, "report", "show", "nothing").exit_code == 1
    assert load_study(store).report == study.report[:3]


def test_what_a_statement_reads(shared: Built) -> None:
    """Conditions on partitions, also by parameters in subqueries, leave those that they say."""
    built = shared
    reader = StatementReader(built.store.place)

    def read(sql: str, **given: str) -> set[Partition]:
        return set(reader.reads(sql, given).partitions)

    every = {built.partition(layer, c) for layer in ("conv1", "fc") for c in ("5", "15")}
    assert read("FROM activations") == every
    assert read("FROM labels") == set()
    assert read("FROM activations WHERE layer = $é", é="fc") == {
        built.partition("fc", "5"),
        built.partition("fc", "15"),
    }
    joined = (
        "WITH x AS (FROM activations WHERE layer = $l AND ckpt = '5') "
        "SELECT * FROM x JOIN samples USING (dataset, \"view\", sample_id) WHERE '$l' != $l"
    )
    assert read(joined, l="fc") == {built.partition("fc", "5")}
    reads = reader.reads(joined, {"l": "fc"})
    assert reads.tables == {"samples"}
    assert reader.reads("SELECT * FROM all_labels", {}).tables == {"samples", "datasets", "labels"}
    assert read("FROM activations WHERE channel = 1") == every
    assert read("FROM activations WHERE ckpt = 'none'") == set()


@pytest.mark.parametrize(
    "parts", [{"a": "x"}, {"a": "x, y=z", "b": 'q"\\'}, {"count(*)": "=", "b": " lead"}, {}]
)
def test_row_names_say_what_they_are_of(parts: dict[str, str]) -> None:
    """A row's name gives back the values that it was made of."""
    assert row_parts(row_name(parts)) == parts


def test_the_needs_of_an_unknown_report_are_refused(shared: Built) -> None:
    """A name that neither the paper nor the study has is refused with those that there are."""
    with pytest.raises(UnknownNameError, match=r"there are: figure1, .*r, "):
        needs_of(shared.store, sql_study("SELECT 1 AS x"), "q")
