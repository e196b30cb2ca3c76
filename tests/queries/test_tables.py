"""Tables for papers have the report's numbers, whatever rows and columns are called."""

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from _build import build
from fstore.errors import DataError, StorageError
from fstore.queries.cells.needs import ROW_COLUMNS
from fstore.queries.publish.paper_tables import SUFFIXES, table_text, write_tables
from fstore.queries.refresh.driver import brought
from fstore.queries.refresh.show import show_report
from fstore.queries.studies.study import parse_study

HOSTILE = (
    "a & b", "50 % #1 $x$", "under_score _edge_", r"back\slash {brace}", "~tilde^hat", "<b>|bar|",
    "[5pt]", "*", "line\nbreak", "`code`", "± é", "\\\\", "& \\end{tabular}", "--", '"quoted", x',
)  # fmt: skip
PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)


def row(
    name: str,
    col: str,
    value: float,
    *,
    std: float | None = None,
    n: int | None = 3,
    paper: float | None = None,
) -> dict[str, Any]:
    """Return a report's row."""
    return dict(zip(ROW_COLUMNS, ("s", "table7", name, col, value, std, n, paper), strict=True))


ROWS = [
    row("conv5", "none", 65.625, std=0.6, paper=65.6),
    row("conv5", "sp_max", 62.49, std=0.25, paper=62.5),
    row("fc7", "none", 7.0625, std=0.3),
]


def test_markdown() -> None:
    """A line a row, a cell a column; the spread and the paper's number stand beside ours."""
    assert table_text(ROWS, "md", title="Ablations").splitlines() == [
        "**Ablations**",
        "",
        "|  | none | sp_max |",
        "| --- | ---: | ---: |",
        "| conv5 | 65.6 ± 0.6 (65.6) | 62.5 ± 0.2 (62.5) |",
        "| fc7 | 7.1 ± 0.3 |  |",
        "",
        "± is the standard deviation; in brackets: the paper, on its own data; n = 3.",
    ]


def test_latex() -> None:
    """LaTeX has booktabs' rules, escaped names, a caption and a label."""
    assert table_text(ROWS, "latex", title="50 % less", label="table7").splitlines() == [
        r"\begin{table}",
        r"\centering",
        (
            r"\caption{50 \% less. $\pm$ is the standard deviation; in brackets: the paper, "
            "on its own data; n = 3.}"
        ),
        r"\label{tab:table7}",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r" & none & sp\_max \\",
        r"\midrule",
        r"conv5 & $65.6 \pm 0.6$ ($65.6$) & $62.5 \pm 0.2$ ($62.5$) \\",
        r"fc7 & $7.1 \pm 0.3$ &  \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


@given(st.lists(st.tuples(PLAIN, PLAIN, st.floats(-1e6, 1e6)), min_size=1, max_size=8))
def test_csv_round_trip(cells: list[tuple[str, str, float]]) -> None:
    """Every number is read back from CSV exactly, under its own names."""
    known = {(r, c): v for r, c, v in cells if "'" not in (r[:1], c[:1])}  # apostrophes are added
    assume(known)
    text = table_text([row(r, c, v) for (r, c), v in known.items()], "csv")
    head, *lines = csv.reader(io.StringIO(text, newline=""))
    assert head[0] == "row"
    cols = list(dict.fromkeys(col for _, col in known))
    assert [_plain(name) for name in head[1::2]] == [_plain(name) for name in cols]
    assert [_plain(name) for name in head[2::2]] == [_plain(f"{col} n") for col in cols]
    found = {
        (_plain(line[0]), _plain(col)): float(value)
        for line in lines
        for col, value in zip(cols, line[1::2], strict=True)
        if value
    }
    assert found == {(_plain(r), _plain(c)): v for (r, c), v in known.items()}


def _plain(cell: str) -> str:
    """Return a name without the apostrophe that keeps a spreadsheet from computing it."""
    return cell.lstrip("'")


@given(st.lists(st.tuples(NAMES, NAMES, st.floats(-1e4, 1e4)), min_size=1, max_size=8))
def test_markdown_round_trip(cells: list[tuple[str, str, float]]) -> None:
    """A Markdown table keeps its columns whatever names say; numbers are right to what is shown."""
    known = {(r, c): v for r, c, v in cells}
    text = table_text([row(r, c, v) for (r, c), v in known.items()], "md")
    lines = [_split(line, r"\|") for line in text.split("\n") if line.startswith("|")]
    names, cols = (list(dict.fromkeys(part)) for part in zip(*known, strict=True))
    assert len(lines) == 2 + len(names)
    assert {len(line) for line in lines} == {1 + len(cols)}
    for name, line in zip(names, lines[2:], strict=True):
        for col, cell in zip(cols, line[1:], strict=True):
            if (name, col) in known:
                digits = len(cell.partition(".")[2])
                # half of the last decimal, and what a float cannot tell
                assert abs(float(cell) - known[name, col]) <= 0.5001 * 10**-digits
            else:
                assert cell == ""


def _split(line: str, mark: str) -> list[str]:
    """Split a line of a table at marks that no backslash is before."""
    bare = re.sub(r"\\\\", "..", line)  # an escaped backslash escapes nothing
    places = [m.start() for m in re.finditer(rf"(?<!\\){mark}", bare)]
    return [line[a + 1 : b].strip() for a, b in pairwise(places)]


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=6, unique=True))
def test_latex_keeps_its_structure(names: list[tuple[str, str]]) -> None:
    """Names add no column, no line, no comment, no command and no unbalanced brace."""
    rows = [row(r, c, 1.0) for r, c in names]
    lines = table_text(rows, "latex", label="x").split("\n")
    wide = len({c for _, c in names})
    body = [line for line in lines if line.endswith(r" \\")]
    assert len(body) == 1 + len({r for r, _ in names})
    assert len(lines) == 11 + len(body)
    for line in body:
        bare = re.sub(r"\\[$&#%_{}]", "", line.removesuffix(r" \\"))
        assert bare.count("&") == wide
        assert bare.count("{") == bare.count("}")
        assert not set("%#_^~") & set(bare)
        assert bare.count("$") % 2 == 0
        commands = set(re.findall(r"\\[a-zA-Z]*", bare))
        assert commands <= {
            r"\textbackslash", r"\textasciitilde", r"\textasciicircum", r"\textless",
            r"\textgreater", r"\textbar", r"\pm",
        }  # fmt: skip


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no TeX here")
def test_latex_compiles(tmp_path: Path) -> None:
    """TeX takes the tables, hostile names and all."""
    rows = [row(name, col, -1.5, std=0.5, n=i) for i, name in enumerate(HOSTILE) for col in HOSTILE]
    tables = [table_text(ROWS, "latex"), table_text(rows, "latex", title=HOSTILE[3], label="a")]
    text = "\n".join(tables)
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
        f"{text}\\end{{document}}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_names_in_csv() -> None:
    """Names are read back, with an apostrophe before a formula; of several lines on one."""
    text = table_text([row(name, "c", 1.0) for name in HOSTILE], "csv")
    names = [line[0] for line in csv.reader(io.StringIO(text, newline=""))]
    expected = [name.replace("\n", " ") for name in HOSTILE]
    assert names == ["row", *(f"'{name}" if name[0] in "-=+@" else name for name in expected)]


def test_names_in_markdown() -> None:
    """What Markdown would read as its own is escaped; underscores within words are not."""
    text = table_text([row(name, "c", 1.0) for name in HOSTILE], "md")
    assert "| under_score \\_edge\\_ | 1 |" in text
    assert r"| \<b\>\|bar\| | 1 |" in text
    assert "| line break | 1 |" in text
    assert r"| \`code\` | 1 |" in text
    assert r"| back\\slash {brace} | 1 |" in text


def test_numbers_of_samples() -> None:
    """Where n is the same it is said once, else in every cell."""
    same = table_text([row("a", "x", 1.5, n=3), row("b", "x", 2.5, n=3)], "md")
    assert same.endswith("\nn = 3.\n")
    each = table_text([row("a", "x", 1.5, n=3), row("b", "x", 2.5, n=1, paper=2.0)], "md")
    assert "| a | 1.50 (n = 3) |" in each
    assert "| b | 2.50 (2.00, n = 1) |" in each
    none = table_text([row("a", "x", 1.5, n=None)], "md")
    assert none.endswith("| a | 1.50 |\n")


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((65.25, 3.0), ("65.2", "3.0")),
        ((0.1953, 0.25), ("0.195", "0.250")),
        ((1.234, 0.5), ("1.23", "0.50")),
        ((40.0, 3.0), ("40", "3")),
    ],
)
def test_decimals(values: Sequence[float], shown: Sequence[str]) -> None:
    """All numbers of a table have as many decimals as suit its largest; counts have none."""
    text = table_text([row(f"r{i}", "x", v, n=None) for i, v in enumerate(values)], "md")
    assert [line.split("|")[2].strip() for line in text.splitlines()[2:]] == list(shown)


def test_turned_on_its_side() -> None:
    """Two rows of twenty classes become twenty lines on a page; CSV stays as it is."""
    rows = [row(r, f"class{i}", i, n=None) for r in ("50%", "90%") for i in range(20)]
    lines = table_text(rows, "md").splitlines()
    assert lines[0] == "|  | 50% | 90% |"
    assert len(lines) == 22
    assert len(table_text(rows, "csv").splitlines()) == 3


def test_mistakes(tmp_path: Path) -> None:
    """A format that does not exist, and a table of nothing, are named."""
    with pytest.raises(DataError, match="no format 'doc'; there are: md, latex, csv"):
        table_text(ROWS, "doc")
    with pytest.raises(DataError, match="no format 'doc'"):
        write_tables(build(tmp_path / "s").store, parse_study(STUDY), tmp_path, form="doc")
    with pytest.raises(DataError, match="at least one row"):
        table_text([], "md")


STUDY = """
name = "small"
network = "net"
layers = ["conv1", "fc"]
pretrained = "5"
sweep = ["5"]
[classification]
dataset = "d"
"""


@pytest.mark.parametrize("form", SUFFIXES)
def test_write_tables(tmp_path: Path, form: str) -> None:
    """What is stored is written, a file a table; nothing is overwritten unasked."""
    store, study = build(tmp_path / "s").store, parse_study(STUDY)
    assert write_tables(store, study, tmp_path / "none", form=form) == []
    assert not (tmp_path / "none").exists()
    rows = show_report(store, study, "table6").rows
    (file,) = write_tables(store, study, tmp_path / "out", form=form)
    assert file == tmp_path / "out" / f"table6{SUFFIXES[form]}"
    title = "Sparsity by layer, d"  # the data set that the study binds
    words = {"nonzero_percent": "non-zero (percent)"}
    spread = "over images: how these differ"
    told = table_text(
        rows, form, title=title, label="table6", word=words.__getitem__, spread=spread
    )
    assert form == "csv" or "standard deviation over images" in told
    assert file.read_text() == told
    with pytest.raises(DataError, match="exists"):
        write_tables(store, study, tmp_path / "out", form=form)
    assert [done.state for done in brought(store, study, ["table3", "table7"])] == ["computed"] * 2
    more = write_tables(store, study, tmp_path / "out", form=form, overwrite=True)
    assert {"table3", "table6", "table7"} <= {path.stem for path in more}
    texts = [re.sub(r"[\\_]", " ", path.read_text()) for path in more]
    assert not any("all points" in " ".join(text.split()) for text in texts)


def test_papers_numbers_keep_their_decimals() -> None:
    """The paper's 74.1 and 0.97 stay so beside ours; what rounds to nothing has no sign."""
    rows: list[dict[str, Any]] = [
        {"row": "a", "col": "x", "value": 70.0, "std": None, "n": 1, "paper": 74.1},
        {"row": "b", "col": "x", "value": -0.01, "std": None, "n": 1, "paper": 0.97},
    ]
    text = table_text(rows, "md")
    assert "| a | 70.0 (74.1) |" in text
    assert "| b | 0.0 (0.97) |" in text


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that is a file is a named error."""
    store, study = build(tmp_path / "s").store, parse_study(STUDY)
    show_report(store, study, "table6")
    (tmp_path / "out").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_tables(store, study, tmp_path / "out", form="csv")
