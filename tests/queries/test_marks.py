"""What is said at a cell is never more than its finding says; the minimum; names of tasks."""

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np
import pytest

from _claims import CASES, HIDDEN, TELLS, facts
from fstore.queries.cells.needs import Need
from fstore.queries.findings import CLAIMS, Finding, Verdict, paper_findings
from fstore.queries.findings._check import _findings
from fstore.queries.findings._enough import mean_error, without
from fstore.queries.findings._judging import judged, marked, said_of_cell, voted
from fstore.queries.findings._numbers import Number
from fstore.queries.publish.claims import legend, marks_of
from fstore.queries.reports import REPORTS, column_words, paper_numbers, titled
from fstore.queries.studies.study import parse_study
from fstore.queries.studies.tasks import PAPER, TASKS, has_more_data, paper_task, role_of, task_row
from fstore.words import WORDS, worded

SAID = {True: "holds", False: "does not hold"}


def findings_of(tables: Mapping[str, Any]) -> list[Finding]:
    """Return all findings on some tables."""
    return _findings(facts(tables))


ALL = [
    *[(name, tables) for name, both in CASES.items() for tables in both],
    *HIDDEN.items(),
]


@pytest.mark.parametrize(("name", "tables"), ALL, ids=lambda x: x if isinstance(x, str) else "")
def test_a_mark_says_no_more_than_its_finding(name: str, tables: Mapping[str, Any]) -> None:
    """Of every claim, on rows that bear it out, refute it or hide it: a mark is its verdict."""
    found = findings_of(tables)
    assert name in {f.name for f in found}
    for finding in found:
        for row in finding.rows:
            assert row["agrees"] is None or SAID[row["agrees"]] == finding.verdict
        if finding.verdict == "not enough data":
            assert {row["agrees"] for row in finding.rows} <= {None}
        for report in finding.reports:
            for marks in marks_of([finding], report).values():
                assert {mark.verdict for mark in marks} == {finding.verdict}
                assert all(finding.verdict in mark.words for mark in marks)


def test_one_open_task_takes_the_marks_of_all() -> None:
    """A task that bears an open claim out is not marked: the claim speaks of every task."""
    table = {
        "a": {"scratch": (35.0, 0.2, 3), "finetune": (52.0, 0.2, 3)},
        "b": {"scratch": (52.0, 0.2, 3), "finetune": (52.1, 0.2, 3)},
    }
    (found,) = [f for f in findings_of({"table1": table}) if f.name == "fine-tuning-helps"]
    assert found.verdict == "not enough data"
    assert len(found.rows) == 4
    assert {row["agrees"] for row in found.rows} == {None}


def test_classes_that_need_one_filter_are_not_against_it() -> None:
    """Of a failed count only the classes that failed it are marked (Table 10)."""
    half = {f"c{i}": n for i, n in enumerate((1, 1, 4, 5, 6))}
    most = {f"c{i}": n for i, n in enumerate((1, 9, 9, 9, 9))}
    tables = {"table10": {"finetuned 50%": half, "finetuned 90%": most}, **TELLS}
    (found,) = [f for f in findings_of(tables) if f.name == "half-from-one-filter"]
    assert found.verdict == "does not hold"
    against = {(r["row"], r["col"]) for r in found.rows if r["agrees"] is False}
    assert against == {("finetuned 50%", c) for c in ("c2", "c3", "c4")}
    assert not any(r["agrees"] for r in found.rows)


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("own", [True, False, None])
def test_said_of_cell(verdict: Verdict, own: bool | None) -> None:
    """Only where cell and claim say the same is anything said, and then that."""
    same = (verdict, own) in {(Verdict.HOLDS, True), (Verdict.FAILS, False)}
    assert said_of_cell(verdict, own) is (own if same else None)


def test_voted() -> None:
    """The numbers of a count that went against it say nothing."""
    numbers = {k: Number(v, None, 1, {}) for k, v in (("a", 1.0), ("b", 5.0))}
    agrees = [n.row["agrees"] for n in voted(True, {"a": False, "b": True}, numbers)]
    assert agrees == [None, True]
    assert judged([True], "x", marked(None, *numbers.values())).verdict is Verdict.HOLDS


def test_the_papers_marks() -> None:
    """The paper's own Table 7 has no mark at fc7 of the claim that fails for its conv1."""
    found = {f.name: f for f in paper_findings()}
    failed = found["magnitude-is-unimportant"]
    assert failed.verdict == "does not hold"
    said = {(r["row"], r["agrees"]) for r in failed.rows}
    assert said == {("conv1", False), *((f"conv{i}", None) for i in range(2, 6)), ("fc6", None),
                    ("fc7", None)}  # fmt: skip


def test_letters_are_those_of_the_legend() -> None:
    """Two findings on one cell have a letter each, which the list below the table explains."""
    cell = {"report": "table6", "row": "conv1", "col": "x"}
    both = [
        Finding(k, f"{k}.", "section 1", v, "", ("table6",), [{**cell, "agrees": said}], "")
        for k, v, said in (("one", "does not hold", False), ("two", "holds", True))
    ]
    marks = marks_of(both, "table6")
    assert [m.words for m in marks["conv1", "x"]] == ["✗ a does not hold", "✓ b holds"]
    assert [(m.letter, m.claim) for m in legend(marks)] == [("a", "one."), ("b", "two.")]
    assert marks_of(both, "table7") == {}


# enough data


def test_mean_error_is_that_of_accuracies() -> None:
    """The bound is the deviation of class-averaged accuracy where each answer is a coin's."""
    positives = [1, 2, 3, 5, 8]
    rng = np.random.default_rng(0)
    draws = [rng.binomial(k, 0.5, size=200_000) / k for k in positives]
    simulated = 100 * np.mean(draws, axis=0).std()
    assert mean_error(positives) == pytest.approx(simulated, rel=0.01)  # 200,000 draws
    assert mean_error([*positives, 0]) == mean_error(positives)
    assert mean_error([9]) == pytest.approx(50 / sqrt(9))


def test_rows_of_too_small_a_test_set_are_left_out() -> None:
    """A task that is tested on too little is left out, others stay; a series goes as a whole."""
    needs = [Need("a", "x"), Need("b", "x")]
    rows = [{"row": "a", "value": 1}, {"row": "b", "value": 2}]
    assert without(rows, needs, {"a": "too few"}) == [rows[1]]
    assert without(rows, needs, {}) == rows
    series = [Need("pretrained", "")]
    assert without([{"row": "cat pretrained 1"}], series, {"pretrained": "too few"}) == []


# names


@pytest.mark.parametrize("role", TASKS)
def test_a_task_is_called_by_its_data(role: str) -> None:
    """A row names the study's data sets, never the paper's, and is found beside the paper's."""
    row = task_row(role, ["digits", "more on digits"])
    assert row.endswith(" on digits + more on digits")
    assert not any(name in row for name in PAPER.values())
    assert (role_of(row), paper_task(row)) == (role, PAPER[role])
    assert role_of(PAPER[role]) == role  # rows that earlier versions stored
    assert has_more_data(row) == has_more_data(PAPER[role]) == (role == "detection_more")
    in_paper = {r for t in ("table1", "table2", "table4") for r, _ in paper_numbers(f"{t}.csv")}
    assert PAPER[role] in in_paper or role == "classification"


STUDY = """
name = "x"
network = "net"
layers = ["conv"]
[[classification]]
dataset = "flowers"
[[classification]]
dataset = "birds"
[detection]
dataset = "boxes"
"""


def test_titles_name_the_studys_data_sets() -> None:
    """No title has a name of the paper's data; one of a part has the data sets bound to it."""
    study = parse_study(STUDY)
    for entry in REPORTS:
        title = titled(entry.name, study)
        assert not any(name in title for name in ("PASCAL", "VOC", "SUN", "ImageNet", "_"))
        wanted = {"classification": ", flowers + birds", "detection": ", boxes", "": ""}
        assert title == entry.meta["title"] + wanted[entry.meta["on"]]
    assert titled("table7", study).endswith("in classification, flowers + birds")


def test_words_have_no_identifier() -> None:
    """Every column that a report declares is told in words; columns of names stay as they are."""
    for entry in REPORTS:
        word = column_words(entry.name)
        assert not any("_" in word(col) for col in entry.meta["columns"])
    assert column_words("table5")("my_class") == "my_class"
    assert worded("none:chosen_c_all_points") == "as they are: chosen c all points"
    assert not any("_" in text for text in WORDS.values())


def test_claims_have_no_identifier() -> None:
    """What claims and reports say of themselves has no name of a function or a column."""
    told = [str(entry.meta[key]) for entry in CLAIMS for key in ("says", "criterion")]
    told += [str(entry.meta[key]) for entry in REPORTS for key in ("title", "answers")]
    assert not [text for text in told if "_" in text]
