"""Claims are judged by the numbers at hand; the paper's own numbers bear out what it claims."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from _claims import (
    CASES,
    HIDDEN,
    LAYERS,
    SWEEP,
    TELLS,
    Table,
    along,
    changed,
    columns,
    facts,
    layers_along,
    needing,
    rows_of,
    shuffled,
    single,
)
from _studies import StudyWorld, make_study
from fstore.queries.cells.needs import Row
from fstore.queries.findings import (
    CLAIMS,
    Facts,
    Finding,
    SweepPoint,
    Verdict,
    _enough,
    check_findings,
    paper_findings,
)
from fstore.queries.findings._check import _findings, study_facts
from fstore.queries.findings._judging import judged, majority, together
from fstore.queries.findings._numbers import Number, exceeds
from fstore.queries.findings._orders import draw_by_draw, falls
from fstore.queries.findings._paper import paper_facts
from fstore.queries.findings._tested import APART, TestSet
from fstore.queries.methods.draws import DRAWS
from fstore.queries.refresh.driver import brought
from fstore.queries.refresh.show import show_report
from fstore.queries.reports import REPORTS
from fstore.store.precision import voc_ap
from fstore.types import CheckpointRecord

DRAWN_ONLY = {
    "few-grandmother-cells",
    "selectivity-rises-with-depth",
    "little-overlap",
    "related-classes-share-filters",
    "binary-codes-retrieve-as-well",
}
"""Claims that the paper bears out by a figure, or in words, and no table."""

WITHIN = {"binarizing-barely-hurts-detection"}
"""Claims that the error of the paper's test set leaves open: 0.5 points of detection."""

AGAINST = {"magnitude-is-unimportant"}
"""Claims that the paper's own tables speak against: its conv1 loses 7.4 of 25.1 points."""

NAMES = [entry.name for entry in CLAIMS]


def verdict(name: str, tables: Mapping[str, Table]) -> Verdict:
    """Judge a claim."""
    return CLAIMS[name].function(facts(tables)).verdict


@pytest.mark.parametrize("name", NAMES)
def test_claim(name: str) -> None:
    """Rows made by hand bear a claim out, or speak against it."""
    holding, failing = CASES[name]
    assert verdict(name, holding) is Verdict.HOLDS
    assert verdict(name, failing) is Verdict.FAILS


@pytest.mark.parametrize("name", HIDDEN)
def test_claim_within_the_spread(name: str) -> None:
    """What the spread hides, or is in no clear order, is neither borne out nor refuted."""
    judgement = CLAIMS[name].function(facts(HIDDEN[name]))
    assert judgement.verdict is Verdict.UNKNOWN
    assert "hides the answer." in judgement.evidence or "not clear." in judgement.evidence


@pytest.mark.parametrize("name", NAMES)
def test_claim_without_numbers(name: str) -> None:
    """Without rows there is not enough data; the sentence says what is needed, and why not."""
    report = CLAIMS[name].meta["reports"][0]
    empty = replace(facts({}), notes={report: f"{report}: nothing."})
    judgement = CLAIMS[name].function(empty)
    assert judgement.verdict is Verdict.UNKNOWN
    assert judgement.evidence.startswith("It needs ")
    assert judgement.evidence.endswith(f"{report}: nothing.")
    assert judgement.numbers == ()


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_column_decides_nothing(name: str) -> None:
    """The paper's number beside each cell may be anything, or none: nothing changes."""
    for tables in CASES[name]:
        found = []
        for paper in (None, -1.0, 1e6):
            rows = {report: rows_of(report, table, paper) for report, table in tables.items()}
            judgement = CLAIMS[name].function(replace(facts(tables), rows=rows))
            found.append((judgement.verdict, judgement.evidence))
        assert len(set(found)) == 1


@pytest.mark.parametrize("name", NAMES)
def test_evidence(name: str) -> None:
    """The evidence is sentences with numbers, and the cells that it is about are handed on."""
    for tables in CASES[name]:
        judgement = CLAIMS[name].function(facts(tables))
        assert judgement.evidence.endswith(".")
        assert any(letter.isdigit() for letter in judgement.evidence)
        assert judgement.numbers
        assert {number.row["report"] for number in judgement.numbers} <= set(
            CLAIMS[name].meta["reports"]
        )


@pytest.mark.parametrize("name", NAMES)
def test_claim_says_what_it_is(name: str) -> None:
    """It has a sentence, a criterion, sections, reports that exist, and cases that prove it."""
    meta = CLAIMS[name].meta
    assert meta["says"].endswith(".")
    assert meta["criterion"].endswith(".")
    assert meta["sections"]
    assert all(report in REPORTS for report in meta["reports"])
    assert name in CASES


# the paper


def test_the_papers_own_numbers() -> None:
    """What the paper claims and has a table for holds by its own numbers; the rest lacks them."""
    found = {f.name: f.verdict for f in paper_findings()}
    assert {name for name, v in found.items() if v == Verdict.FAILS} == AGAINST
    borne_out = set(NAMES) - DRAWN_ONLY - AGAINST - WITHIN
    assert {name for name, v in found.items() if v == Verdict.HOLDS} == borne_out
    assert {name for name, v in found.items() if v == Verdict.UNKNOWN} == DRAWN_ONLY | WITHIN


SPREADS = {
    "table1": {"SUN-CLS": 0.2},
    "table2": {"SUN-CLS": 0.1},
    "table3": dict(zip(LAYERS, (0.5, 0.7, 0.6, 0.7, 0.3, 0.3, 0.3), strict=True)),
    "table4": {"SUN-CLS": 0.3},
    "table7": dict(zip(LAYERS, (0.5, 0.7, 0.8, 0.8, 0.7, 0.4, 0.4), strict=True)),
}
"""The paper's standard deviations, of each row the largest; its tables have no others."""


def test_the_papers_own_numbers_with_its_spread() -> None:
    """They hold, too, with the standard deviations that the paper gives."""
    for finding in paper_findings():
        if finding.name in DRAWN_ONLY | AGAINST | WITHIN:
            continue
        read = _paper_rows(finding.reports)
        rows = {
            report: [
                {**row, "std": SPREADS.get(report, {}).get(row["row"], row["std"]), "n": 3}
                for row in mine
            ]
            for report, mine in read.items()
        }
        sweep = tuple(
            SweepPoint(name, 1000 * int(name[:-1]))
            for name in ("5k", "15k", "25k", "35k", "50k", "95k", "105k", "195k", "205k", "305k")
        )
        seen = facts({"figure4": {"conv5 pretrained": {"256": 1.0}}}, sweep=sweep)
        known = replace(seen, rows={**seen.rows, **rows}, tested=paper_facts().tested)
        judgement = CLAIMS[finding.name].function(known)
        assert judgement.verdict is Verdict.HOLDS, judgement.evidence


def _paper_rows(reports: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    from fstore.queries.reports import paper_numbers

    same = {"study": "paper", "std": None, "n": None, "paper": None}
    return {
        name: [
            {**same, "report": name, "row": row, "col": col, "value": value}
            for (row, col), value in paper_numbers(REPORTS[name].meta["paper"]).items()
        ]
        for name in reports
        if REPORTS[name].meta["paper"]
    }


def test_the_papers_numbers_turned_round() -> None:
    """The paper's Table 3 with its columns in reverse order bears out none of its claims."""
    rows = _paper_rows(["table3"])["table3"]
    cols = list(dict.fromkeys(row["col"] for row in rows))
    mirror = dict(zip(cols, reversed(cols), strict=True))
    turned = [{**row, "col": mirror[row["col"]]} for row in rows]
    sweep = tuple(SweepPoint(col, 1000 * int(col[:-1])) for col in cols)
    seen = replace(facts({}, sweep=sweep), rows={"table3": turned}, tested=paper_facts().tested)
    for name in ("longer-is-better", "no-overfitting"):
        assert CLAIMS[name].function(seen).verdict is Verdict.FAILS
    assert CLAIMS["bottom-up"].function(seen).verdict is not Verdict.HOLDS


# what claims are made of


def number(value: float, std: float | None = None, n: int | None = None) -> Number:
    """Return a number of no report."""
    return Number(value, std, n, {}, chance=0.0)


def test_exceeds() -> None:
    """Differences count beyond the root of the summed squares; without any spread none counts."""
    assert exceeds(number(10.0, 3.0), number(4.9, 4.0)) is True  # spread 5, by hand
    assert exceeds(number(10.0, 3.0), number(5.1, 4.0)) is None
    assert exceeds(number(4.9, 4.0), number(10.0, 3.0)) is False
    assert exceeds(number(9.0, 0.0), number(10.0, 0.0), share=0.8) is True
    assert exceeds(number(10.0), number(1.0)) is None


def test_number_of_mean() -> None:
    """The standard error of a mean over 25 samples is a fifth of their deviation."""
    assert number(1.0, 10.0, 25).of_mean.std == 2.0
    assert number(1.0, None, 25).of_mean.std is None
    assert str(number(65.63, 0.6, 3)) == "65.6 ± 0.600 (n = 3)"


def test_falls() -> None:
    """An order is told from five values on, at a rank correlation of 0.75 either way."""
    assert falls([5, 4, 3, 2, 1]) == (True, -1.0)
    assert falls([1, 2, 3, 4, 5]) == (False, 1.0)
    assert falls([5, 1, 4, 2, 3])[0] is None  # Spearman -0.3, by hand
    assert falls([5, 1, 4, 2, 3])[1] == pytest.approx(-0.3)
    assert falls([4, 3, 2, 1])[0] is None
    assert falls([1, 1, 1, 1, 1])[0] is None


def test_falls_in_draws() -> None:
    """Of 100 draws 84 must fall as the values do, or not fall; in between nothing is said."""
    down, up, flat = [5, 4, 3, 2, 1], [1, 2, 3, 4, 5], [1, 1, 1, 1, 1]
    little = [5, 1, 4, 2, 3]  # Spearman -0.3, by hand
    for n in (84, 100):
        assert falls(down, [down] * n + [up] * (100 - n))[0] is True
        assert falls(up, [flat] * n + [down] * (100 - n))[0] is False
        assert falls(little, [little] * n + [down] * (100 - n))[0] is None
    assert falls(down, [down] * 83 + [up] * 17)[0] is None
    assert falls(up, [up] * 83 + [down] * 17)[0] is None
    for values in (down, up):
        assert falls(values, [[5, 4, 3, 2, float("nan")]] * 100)[0] is None


def test_noise_is_no_answer() -> None:
    """Values of which only noise is known seldom get an answer: not more than of other claims."""
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(200):
        values = rng.normal(size=7)
        draws = values + rng.normal(size=(100, 7))
        verdicts.append(falls(values.tolist(), draws.tolist())[0])
    assert verdicts.count(True) <= 0.05 * 200
    assert verdicts.count(False) <= 0.2 * 200


def test_draw_by_draw() -> None:
    """Draws count where all numbers have as many, of the same test samples."""
    tests = TestSet("ap", 100, (50, 50), "d")
    numbers = [Number(1.0, None, None, {}, draws, tests) for draws in ((1.0, 2.0), (3.0, 4.0))]
    assert draw_by_draw(numbers, list) == [[1.0, 3.0], [2.0, 4.0]]
    assert draw_by_draw([numbers[0], replace(numbers[1], draws=(3.0,))], list) == []
    assert draw_by_draw([replace(n, tests=None) for n in numbers], list) == []
    assert draw_by_draw([numbers[0], replace(numbers[1], std=1.0)], list) == []  # over runs
    other = replace(numbers[1], tests=replace(tests, name="other"))
    assert draw_by_draw([numbers[0], other], list) == []


def with_draws(row: Row) -> Row:
    """Return a row with ten draws that are all but its value."""
    draws: Any = [float(row["value"] or 0) + i / 100 for i in range(10)]
    return {**row, "std": None, "draws": draws}


@pytest.mark.parametrize(
    ("drawn", "verdict"), [(True, Verdict.FAILS), (False, Verdict.UNKNOWN)], ids=["draws", "none"]
)
def test_no_order_in_any_draw(drawn: bool, verdict: Verdict) -> None:
    """Losses that do not fall in any draw are an answer; without draws the order is not clear."""
    seen = facts(shuffled(45, 30, 28, 31, 33))  # of 50: 10, 40, 44, 38, 34 %; Spearman 0.1
    rows = seen.rows["table7"]
    if drawn:
        seen = replace(seen, rows={"table7": [with_draws(row) for row in rows]})
    assert CLAIMS["place-matters-less-with-depth"].function(seen).verdict is verdict


def test_one_failed_check_decides() -> None:
    """A claim of several checks fails with one of them, and is open with one that is open."""
    assert judged([True, None, False], "x").verdict is Verdict.FAILS
    assert judged([True, None], "x").verdict is Verdict.UNKNOWN
    assert judged([], "x").verdict is Verdict.UNKNOWN
    assert judged([True, True], "x").verdict is Verdict.HOLDS
    assert majority([]) is None


def test_early_snapshots_are_near_or_none() -> None:
    """A sweep without a snapshot near 5 % of the iterations says nothing of early gains."""
    holding, _ = CASES["early-gains"]
    far = tuple(replace(s, iteration=s.iteration and s.iteration * 12) for s in SWEEP[:-1])
    unknown = tuple(replace(s, iteration=None) for s in SWEEP)
    for sweep in ((*far, SWEEP[-1]), unknown):
        judgement = CLAIMS["early-gains"].function(facts(holding, sweep=sweep))
        assert judgement.verdict is Verdict.UNKNOWN


def test_overfitting_beside_held_out_accuracy() -> None:
    """Transfer is set beside held-out accuracy; where that did not rise, nothing can be said."""
    holding, _ = CASES["no-overfitting"]
    seen = CLAIMS["no-overfitting"].function(facts(holding)).evidence
    assert "from 20.0 % at 5k to 60.0 % at 305k" in seen
    stuck = tuple(replace(s, held_out=0.2) for s in SWEEP)
    judgement = CLAIMS["no-overfitting"].function(facts(holding, sweep=stuck))
    assert judgement.verdict is Verdict.UNKNOWN


def test_tasks_of_no_result() -> None:
    """A share of nothing is no number: a layer or task at 0 is left out."""
    assert verdict("binarizing-barely-hurts-detection", {
        "table8": {"conv5": columns(none=0, binarize=0)}
    }) is Verdict.UNKNOWN  # fmt: skip
    assert verdict("early-gains", layers_along((0, 0, 0, 0))) is Verdict.UNKNOWN
    assert verdict("fc-enough-with-little-data", {
        "table2": {"SUN-CLS": columns(ft=0, fc_ft=0)}
    }) is Verdict.UNKNOWN  # fmt: skip


def judge(name: str, tables: Mapping[str, Table], **given: Any) -> Any:  # noqa: ANN401
    """Return a claim's judgement of some tables."""
    return CLAIMS[name].function(facts(tables, **given))


@pytest.mark.parametrize(
    "name", ["binarizing-barely-hurts-detection", "place-matters-in-detection"]
)
def test_the_layer_of_table_8(name: str) -> None:
    """Detection is judged at the layer that Table 8 has, be it the mid layer or not."""
    for tables, wanted in zip(CASES[name], (Verdict.HOLDS, Verdict.FAILS), strict=True):
        row = tables["table8"]["conv5"]
        assert verdict(name, {"table8": {"fc6": row}}) is wanted


TABLE3 = ("longer-is-better", "early-gains", "bottom-up", "no-overfitting")


@pytest.mark.parametrize("name", TABLE3)
@pytest.mark.parametrize(
    "lost",
    [
        {(layer, "305k") for layer in LAYERS},
        {("conv1", "305k")},
        {("fc7", "305k")},
        {(layer, ckpt) for layer in ("conv1", "conv2") for ckpt in ("5k", "15k", "50k", "305k")},
        {(layer, "15k") for layer in LAYERS},
        {("conv3", "5k")},
    ],
)
def test_half_of_table_3(name: str, lost: set[tuple[str, str]]) -> None:
    """Final is the last checkpoint of the sweep; of a half computed Table 3 nothing is said."""
    whole = CASES[name][0]
    rows = whole["table3"].items()
    half = {k: {c: v for c, v in row.items() if (k, c) not in lost} for k, row in rows}
    assert judge(name, whole, wanted=whole).verdict is Verdict.HOLDS
    judgement = judge(name, {"table3": half}, wanted=whole)
    assert judgement.verdict is Verdict.UNKNOWN, judgement.evidence


def test_half_of_table_4() -> None:
    """A task that was not fine-tuned from the last checkpoint yet leaves the answer open."""
    name = "longer-then-fine-tuned"
    whole = CASES[name][0]
    without = {c: v for c, v in whole["table4"]["SUN-CLS"].items() if c != "305k"}
    half = {"table4": {**whole["table4"], "SUN-CLS": without}}
    judgement = judge(name, half, wanted=whole)
    assert judgement.verdict is Verdict.UNKNOWN
    assert "Not known, or 0: SUN-CLS." in judgement.evidence
    assert judge(name, half, wanted=half).verdict is Verdict.HOLDS  # not bound: not missing


@pytest.mark.parametrize("name", TABLE3)
def test_a_layer_of_nothing(name: str) -> None:
    """A layer that ends at 0, or is 0 throughout, is an open question and no error."""
    rows = CASES[name][0]["table3"]
    for row in (along(0, 0, 0, 0), along(30, 20, 10, 0)):
        judgement = judge(name, {"table3": {**rows, "conv2": row}})
        assert judgement.verdict is Verdict.UNKNOWN
        assert "Not known, or 0: conv2." in judgement.evidence


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ((0.2, 0.6, 0.5, 0.3), Verdict.FAILS),  # fell, though above the first
        ((0.5, 0.4, 0.3, 0.2), Verdict.FAILS),
        ((0.2, 0.4, 0.61, 0.6), Verdict.HOLDS),  # 98.4 % of the best
        ((0.2, 0.2, 0.2, 0.2), Verdict.UNKNOWN),
        ((0.2, 0.6, 0.5, None), Verdict.HOLDS),  # not known to the end: not looked at
    ],
)
def test_held_out_accuracy(held: Sequence[float | None], wanted: Verdict) -> None:
    """Pre-training whose held-out accuracy fell has overfitted, even where transfer held."""
    sweep = tuple(replace(s, held_out=h) for s, h in zip(SWEEP, held, strict=True))
    name = "no-overfitting"
    assert judge(name, CASES[name][0], sweep=sweep).verdict is wanted


def test_every_layer_keeps_its_best() -> None:
    """One layer that fell decides, though another, which keeps less, may be within the spread."""
    rows = layers_along((30, 60, 70, 75))["table3"]
    fell = {"conv1": along(20, 30, 40, 36, std=9.0), "conv2": along(20, 30, 40, 38, std=0.1)}
    assert verdict("no-overfitting", {"table3": {**rows, **fell}}) is Verdict.FAILS


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("fine-tuning-helps", ("table1", "PASCAL-DET")),
        ("scratch-works-with-modest-data", ("table1", "PASCAL-DET")),
        ("fine-tuning-beats-pre-trained-features", ("table1", "PASCAL-DET")),
        ("fc-enough-with-little-data", ("table2", "PASCAL-DET")),
        ("fc-not-enough-with-more-data", ("table2", "PASCAL-DET+DATA")),
        ("fine-tuning-changes-fc-most", ("table9", "conv3")),
        ("binarizing-is-nearly-free-at-fc", ("table7", "fc6")),
        ("magnitude-is-unimportant", ("table7", "conv1")),
        ("binary-codes-retrieve-as-well", ("retrieval", "fc6")),
    ],
)
def test_every_means_every(name: str, lost: tuple[str, str]) -> None:
    """What a study asks for and has not leaves open what is said of all; its note says why."""
    tables = CASES[name][0]
    report, row = lost
    there = next(iter(tables[report].values()))
    whole = {**tables, report: {**tables[report], row: there}}
    half = {**tables, report: {k: v for k, v in tables[report].items() if k != row}}
    seen = replace(facts(half, wanted=whole), notes={report: f"{report}: 1 cell lacks."})
    judgement = CLAIMS[name].function(seen)
    assert judgement.verdict is Verdict.UNKNOWN
    assert f"Not known, or 0: {row}." in judgement.evidence
    bound = replace(seen, wanted=facts(half, wanted=half).wanted)
    assert CLAIMS[name].function(bound).verdict is Verdict.HOLDS
    (finding,) = (f for f in _findings(seen) if f.name == name)
    assert finding.evidence.count("1 cell lacks.") == 1


def test_an_order_is_that_of_all_layers() -> None:
    """Layers that an order lacks are named, and leave it open."""
    whole = shuffled(30, 35, 40, 42, 45)
    half = {"table7": {k: row for k, row in whole["table7"].items() if k != "conv1"}}
    judgement = judge("place-matters-less-with-depth", half, wanted=whole)
    assert judgement.verdict is Verdict.UNKNOWN
    assert "Not known, or 0: conv1." in judgement.evidence


def test_whole_rows_that_are_asked() -> None:
    """A report that gives a row at once is asked for all of its columns."""
    seen = replace(facts({}), wanted={"table9": {("conv1", ""), ("fc6", "label 1")}})
    assert seen.asked("table9", "label 0.1") == ["conv1"]
    assert seen.asked("table9") == ["conv1", "fc6"]
    assert seen.asked("table7", "none") == []


def test_an_unbound_checkpoint_is_not_missing() -> None:
    """Fine-tuned filters that a study asks for leave the answer open until they are there."""
    tables = CASES["few-grandmother-cells"][0]
    seen = facts(tables)
    for roles, wanted in (
        (["pretrained"], Verdict.HOLDS),
        (["pretrained", "finetuned"], Verdict.UNKNOWN),
    ):
        asked = replace(seen, wanted={"figure3": {(role, "") for role in roles}})
        assert CLAIMS["few-grandmother-cells"].function(asked).verdict is wanted


def drawn(*values: float, on: TestSet | None = None) -> Number:
    """Return a number with draws: their mean, clear of chance."""
    tests = on or TestSet("ap", 100, (50, 50), "d")
    return replace(number(float(np.mean(values)), n=1), draws=values, tests=tests)


def test_paired_draws() -> None:
    """What moves two numbers alike does not count; of other test sets, or other draws, it does."""
    a, b = drawn(60.0, 50.0, 55.0), drawn(58.0, 48.0, 53.5)
    assert a.spread == pytest.approx(5.0)  # deviations 5, 0, 5 squared, over 2
    assert exceeds(a, b) is True  # differences 2, 2, 1.5: 1.83 against 0.29
    assert exceeds(b, a) is False
    other = drawn(58.0, 48.0, 53.5, on=TestSet("ap", 100, (50, 50), "other"))
    assert exceeds(a, other) is None  # 1.83 against 7.1
    assert exceeds(replace(a, draws=a.draws[:2]), b) is None
    # of a share: differences 4.9, 4.4, 4.175
    assert exceeds(a, replace(b, value=60.2), share=0.9) is True
    assert exceeds(a, replace(b, value=61.0), share=0.9) is None
    # draws that find no positive are not there
    assert exceeds(replace(a, draws=(*a.draws, float("nan"))), drawn(58, 48, 53.5, 53.2)) is True
    assert replace(a, draws=(*a.draws, float("nan"))).spread == pytest.approx(5.0)


def test_runs_count_no_less_than_draws() -> None:
    """Runs that agree by luck do not hide what the test samples give, nor draws what runs do."""
    a, b = drawn(60.0, 50.0, 55.0), drawn(50.0, 58.0, 54.0)
    assert exceeds(replace(a, std=0.0), replace(b, std=0.0)) is None
    same = replace(a, value=53.0)
    assert exceeds(replace(a, std=1.0), replace(same, std=1.0)) is True
    assert exceeds(replace(a, std=3.0), replace(same, std=0.1)) is None


def test_numbers_of_a_size() -> None:
    """Without draws a difference has what was measured for test sets of as many samples."""
    tests = TestSet("ap", 10_000, (500,) * 20, "d")
    wide = APART["ap"] / 100
    a, b = (replace(number(v), tests=tests) for v in (50.0, 50.0 - wide))
    assert exceeds(replace(a, value=50.01), b) is True
    assert exceeds(replace(a, value=49.99), b) is None
    assert exceeds(a, replace(b, value=1.0, tests=replace(tests, name="e"))) is None


def test_an_interval_is_of_no_runs() -> None:
    """The deviation beside an interval over test images is that of the draws, and is not added."""
    row = {"ft": (60, 5.0, 100), "ft:low": 50, "ft:high": 70, "ft:chance": 61}
    found = facts({"table2": {"A": row}}).number("table2", "A", "ft")
    assert found is not None
    assert (found.std, found.chance, found.is_clear) == (None, 61.0, False)


def test_chance() -> None:
    """A random ranking reaches, of two in three classes' means, less; accuracy, 1 / classes."""
    rng = np.random.default_rng(3)
    positives = (40, 10, 25)
    labels = [np.where(np.arange(200) < k, 1, -1) for k in positives]
    means = [
        100 * float(np.mean([voc_ap(rng.random(200), y) or 0 for y in labels])) for _ in range(400)
    ]
    chance = TestSet("ap", 200, positives).chance
    assert chance == pytest.approx(np.mean(means) + 3 * np.std(means), rel=0.05)
    assert TestSet("detection", 10, (5,)).chance == pytest.approx(100 / 11)
    assert TestSet("retrieval", 10_000, (5000, 5000)).chance == pytest.approx(51.5)  # 50 + 3 * 0.5
    assert TestSet("accuracy", 200, (100, 100)).chance == pytest.approx(50 + 300 * 0.5 / 200**0.5)
    assert not number(50.0).on(TestSet("ap", 2000, (1000,))).is_clear
    assert not Number(99.0, None, None, {}).is_clear


def test_numbers_that_are_none() -> None:
    """Values that are not finite are not there, deviations that are not are not known."""
    nan, inf = float("nan"), float("inf")
    seen = facts({"table7": {"fc6": {"none": nan, "binarize": (70.0, nan, 3), "x": -inf}}})
    assert seen.number("table7", "fc6", "none") is None
    assert list(seen.row("table7", "fc6")) == ["binarize"]
    found = seen.number("table7", "fc6", "binarize")
    assert found is not None
    assert found.std is None
    assert falls([5, 4, nan, 2, 1]) == (None, 0.0)
    assert falls([inf, 4, 3, 2, 1]) == (None, 0.0)
    for name in NAMES:
        for tables in CASES[name]:
            rows = {
                report: [{**r, "value": nan} for r in rows_of(report, table)]
                for report, table in tables.items()
            }
            judgement = CLAIMS[name].function(replace(facts({}), rows=rows))
            assert judgement.verdict is Verdict.UNKNOWN


def test_no_early_gain_where_nothing_was_gained() -> None:
    """A top layer that ends where it began has no gain that could come early, or diminish."""
    for row in ((75, 75, 75, 75), (80, 78, 77, 75)):
        for name in ("early-gains", "diminishing-returns"):
            judgement = judge(name, layers_along((20, 24, 24, 24), row))
            assert judgement.verdict is Verdict.UNKNOWN
            assert "gains nothing" in judgement.evidence


def test_returns_need_iterations() -> None:
    """Without known iterations, or without a snapshot near 16 % of them, returns are open."""
    name = "diminishing-returns"
    late = tuple(replace(s, iteration=s.iteration and s.iteration * 12) for s in SWEEP[:-1])
    unknown = (replace(SWEEP[0], iteration=None), *SWEEP[1:])
    for sweep in ((*late, SWEEP[-1]), unknown, ()):
        assert judge(name, CASES[name][0], sweep=sweep).verdict is Verdict.UNKNOWN


def test_many_filters_are_a_share_of_the_layer() -> None:
    """Of 64 filters three are many, as ten of 256 are; of 8 two are."""
    name = "distributed-code"
    assert verdict(name, needing(2, 3, 3, n_filters=64)) is Verdict.HOLDS
    assert verdict(name, needing(2, 2, 3, n_filters=64)) is Verdict.FAILS
    assert verdict(name, needing(1, 2, 2, n_filters=8)) is Verdict.HOLDS
    assert "more than 2 of 64 filters" in judge(name, needing(2, 3, 3, n_filters=64)).evidence
    assert verdict(name, {"table5": needing(5, 30, 40)["table5"]}) is Verdict.UNKNOWN


def test_margins_where_there_is_no_spread() -> None:
    """Equality is not enough: related classes share 1.1 times as much, entropy falls by 1 %."""

    def shared(related: float) -> Verdict:
        row = {"(summary)": {"related": related, "unrelated": 0.2}}
        return verdict("related-classes-share-filters", {"figure5": row, **TELLS})

    assert [shared(x) for x in (0.23, 0.21)] == [Verdict.HOLDS, Verdict.FAILS]
    name = "fine-tuning-changes-fc-most"
    assert verdict(name, changed(0, 0, 0, 0, 0.1, 6, 1.1)) is Verdict.HOLDS
    assert verdict(name, changed(0, 0, 0, 0, 0.1, 6, 0.9)) is Verdict.FAILS


def test_grandmother_cells_of_a_network_that_tells_classes() -> None:
    """A share of a complete AP that is hardly above chance is no grandmother cell."""
    name = "few-grandmother-cells"
    tables = single(0.9, 0.9, 0.9, 0.9)
    chance = {
        **tables,
        "figure4": {f"c{i} pretrained": {"8": 1.0, "8:ap": 14} for i in range(4)},
    }
    judgement = judge(name, chance)
    assert judgement.verdict is Verdict.UNKNOWN
    assert "0 of 4 classes are told clearly" in judgement.evidence
    two = {**chance["figure4"], **dict(list(single(0, 0)["figure4"].items()))}
    some = {**chance, "figure4": two}
    assert "2 of 4 classes are told clearly" in judge(name, some).evidence
    assert judge(name, some).verdict is Verdict.FAILS


def test_cells_agree_or_not() -> None:
    """Of a claim that fails, a cell that bears it out says so."""
    judgement = judge("fc-enough-with-little-data", {
        "table2": {"SUN-CLS": columns(ft=52, fc_ft=51.8), "PASCAL-DET": columns(ft=52, fc_ft=40)}
    })  # fmt: skip
    assert judgement.verdict is Verdict.FAILS
    agrees = {(n.row["row"], n.row["agrees"]) for n in judgement.numbers}
    assert agrees == {("SUN-CLS", True), ("PASCAL-DET", False)}
    assert [together(c) for c in ([True], [True, None], [None, False], [])] == [
        True,
        None,
        False,
        None,
    ]


# on a store


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> StudyWorld:
    """Return a store with all activations of a small study."""
    return make_study(tmp_path_factory.mktemp("world") / "s")


@pytest.fixture
def small_tests_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a verdict rest on test sets as small as those of the small study."""
    monkeypatch.setattr(_enough, "LARGEST_ERROR", 50.0)


@pytest.mark.usefixtures("small_tests_count")
def test_check_findings(world: StudyWorld) -> None:
    """Without ``compute`` nothing is computed; with it, the same findings come from the store."""
    store, study = world.store, world.study
    before = {f.name: f for f in check_findings(store, study, compute=False)}
    assert list(before) == [f.name for f in paper_findings()]
    assert {f.verdict for f in before.values()} == {"not enough data"}
    assert store.rows("reports").num_rows == 0
    table7 = before["binarizing-is-nearly-free-at-fc"]
    assert "cells are not computed; fstore report show table7 --study" in table7.evidence
    assert "has no view 'image'" in before["place-matters-in-detection"].evidence
    computed = check_findings(store, study, compute=True)
    stored = store.rows("reports").num_rows
    assert stored > 0
    assert check_findings(store, study, compute=False) == computed
    assert store.rows("reports").num_rows == stored
    assert {f.verdict for f in computed} == {"holds", "does not hold", "not enough data"}


@pytest.mark.usefixtures("small_tests_count")
def test_findings_have_their_cells(world: StudyWorld) -> None:
    """A finding's rows are those of the report, with the paper's number beside them."""
    found = {f.name: f for f in check_findings(world.store, world.study, compute=True)}
    finding: Finding = found["binarizing-is-nearly-free-at-fc"]
    rows = show_report(world.store, world.study, "table7").rows
    expected = [r for r in rows if r["row"] == "fc7" and r["col"] in {"none", "binarize"}]
    cells = [{k: v for k, v in row.items() if k != "agrees"} for row in finding.rows]
    assert sorted(cells, key=str) == sorted(expected, key=str)
    assert all("agrees" in row for row in finding.rows)
    assert {r["paper"] for r in finding.rows} == {74.1, 73.7}
    assert finding.source == "sections 1.1.4, 5.1"
    assert finding.paper.startswith("holds: fc6: binarized 71.5")
    assert found["little-overlap"].paper == ""
    assert json.loads(json.dumps(finding.rows)) == finding.rows


@pytest.mark.usefixtures("small_tests_count")
def test_cells_carry_draws(world: StudyWorld) -> None:
    """Stored cells have draws: one set for a row's cells, and for all reports on its samples."""
    found = study_facts(world.store, world.study, compute=True)
    cells = [found.number("table7", "fc7", col) for col in ("none", "binarize")]
    cells.append(found.number("table3", "fc7", world.study.sweep[0]))
    numbers = [n for n in cells if n is not None]
    assert [len(n.draws) for n in numbers] == [DRAWS] * 3
    names = {n.tests.name for n in numbers if n.tests is not None}
    assert len(names) == 1
    assert names != {found.tested["retrieval"]["fc7"].name}
    assert {n.n for n in numbers} == {3}  # runs: the spread is at least theirs
    assert all(np.nanstd(n.draws, ddof=1) > 0 for n in numbers)


def test_too_small_a_test_set(world: StudyWorld) -> None:
    """From 20 test samples nothing holds and nothing fails, and no cell is marked; it says why."""
    found = check_findings(world.store, world.study, compute=True)
    assert {f.verdict for f in found} == {"not enough data"}
    assert not any(row["agrees"] for f in found for row in f.rows)
    (binary,) = [f for f in found if f.name == "binarizing-is-nearly-free-at-fc"]
    of_class = [
        sum(world.Y["d"][i, c] == 1 for i in world.rows("d", seed, "test"))
        for seed in range(3)
        for c in range(4)
    ]
    assert "d tests on 20 samples" in binary.evidence
    told = re.findall(r"of a class on (\d+) \(\w+\) to (\d+) of them", binary.evidence)
    assert {int(n) for pair in told for n in pair} <= set(of_class)
    assert "a verdict needs 5 or less. Test on more samples" in binary.evidence


def test_stored_rows_are_those_shown(world: StudyWorld) -> None:
    """What is read from the store alone equals what the report shows."""
    shown = show_report(world.store, world.study, "table3")
    (seen,) = brought(world.store, world.study, ["table3"], compute=False)
    assert seen.rows == shown.rows


def test_facts_of_a_study(world: StudyWorld) -> None:
    """Depth, fully connected layers, iterations and held-out accuracy come from the store."""
    weights = world.store.path.parent / "late.safetensors"
    weights.write_text("late")
    recipe = json.dumps({"held_out_accuracy": 0.25})
    record = CheckpointRecord("net", "late", iteration=300, recipe=recipe, sha256="late" * 16)
    world.store.register_checkpoint(record, weights)
    study = structs.replace(world.study, sweep=("5k", "late", "to come"))
    found = study_facts(world.store, study, compute=False)
    assert (found.layers, found.flat) == (("conv5", "fc7"), ("fc7",))
    assert (found.mid_layer, found.top_layer) == ("conv5", "fc7")
    assert found.sweep[1:] == (SweepPoint("late", 300, 0.25), SweepPoint("to come"))
    assert ("conv5", "to come") in found.wanted["table3"]
    assert found.wanted["retrieval"] == {("fc7", "")}
    assert "table8" not in found.wanted


def test_a_broken_report_costs_its_own_claims_only(
    world: StudyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report that raises whatever it may is noted, and the facts of the others are there."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("no luck")

    monkeypatch.setitem(REPORTS["table5"].meta, "needs", broken)
    found = study_facts(world.store, world.study, compute=False)
    assert found.notes["table5"] == "table5: ZeroDivisionError: no luck."
    assert "table5" not in found.rows
    assert "table7" in found.rows


def test_import_is_light() -> None:
    """Importing the findings loads no library that takes long."""
    heavy = ("torch", "duckdb", "pyarrow", "altair", "deltalake", "polars", "sklearn", "scipy")
    code = f"import sys, fstore.queries.findings; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_documented() -> None:
    """Every claim is in the document."""
    text = (Path(__file__).parents[2] / "docs" / "findings.md").read_text()
    assert [name for name in NAMES if f"`{name}`" not in text] == []


# a network that has learned nothing


def by_chance(rng: np.random.Generator) -> Facts:
    """Return every report of a study like the paper's with numbers that a random ranking gives."""
    paper = paper_facts()
    rows = {
        report: [
            {**row, "value": _level(paper.tested[report][str(row["row"])], rng)} for row in own
        ]
        for report, own in paper.rows.items()
        if report in LEVELS
    }
    tables: dict[str, Table] = {
        "retrieval": {k: {c: 7 + rng.normal() / 20 for c in ("cosine", "hamming")} for k in FC},
        "table5": {f"{r} {s}": _counts(rng) for r in ROLES for s in ("50%", "90%")},
        "table10": {f"{r} {s}": _counts(rng) for r in ROLES for s in ("50%", "90%")},
        "table9": {k: {"label 0.1": rng.normal() / 2} for k in LAYERS},
        "figure1": {f"{k} {r}": {"1.00": 3 + rng.normal() / 1e3} for k in LAYERS for r in ROLES},
        "figure3": {
            f"c{i} {r} 1": {"ap": 6 + rng.normal(), "prior": 0.05} for i in range(20) for r in ROLES
        },
        "figure4": {
            f"c{i} {r}": {"256": 1.0, "256:ap": 6 + rng.normal()} for i in range(20) for r in ROLES
        },
        "figure5": {
            "(summary)": {
                **{k: 0.195 + rng.normal() / 50 for k in ("mean", "related", "unrelated")},
                "chance": 0.195,
            }
        },
    }
    made = facts(tables, sweep=paper.sweep)
    asked = TestSet("retrieval", 4952, tuple(paper.tested["table7"]["fc7"].positives), "r")
    tested = {**paper.tested, "retrieval": dict.fromkeys(FC, asked)}
    return replace(paper, rows={**made.rows, **rows}, tested=tested)


FC, ROLES = ("fc6", "fc7"), ("pretrained", "finetuned")
LEVELS = ("table1", "table2", "table3", "table4", "table7", "table7_accuracy", "table8")
"""Reports of numbers that a test set gives."""


def _counts(rng: np.random.Generator) -> dict[str, float]:
    return {f"c{i}": int(rng.choice([1, 1, 5, 40, 100])) for i in range(20)}


def _level(of: TestSet, rng: np.random.Generator) -> float:
    """Return what a random ranking, or a random answer, reaches."""
    if of.kind == "accuracy":
        classes = len(of.positives)
        return float(100 * (rng.binomial(of.positives, 1 / classes) / of.positives).mean())
    if of.kind == "detection":
        return float(abs(1 + rng.normal()))  # 2,000 boxes an image, few of them right
    return float(rng.choice(random_aps(of.n, of.positives)))


@cache
def random_aps(n: int, positives: tuple[int, ...]) -> list[float]:
    """Return the mean 11-point AP, in percent, of 20 random rankings."""
    rng = np.random.default_rng(11)
    labels = [np.where(np.arange(n) < k, 1, -1) for k in positives]
    return [100 * float(np.mean([voc_ap(rng.random(n), y) for y in labels])) for _ in range(20)]


def test_a_network_that_has_learned_nothing() -> None:
    """Of numbers that are all at chance nothing holds, with the spread of a test set, and none."""
    for seed in range(20):
        seen = by_chance(np.random.default_rng(seed))
        apart = [{**row, "std": 0.0, "n": 3} for row in seen.rows["table7"]]
        for known in (seen, replace(seen, rows={**seen.rows, "table7": apart})):
            held = [f.name for f in _findings(known) if f.verdict == Verdict.HOLDS]
            assert held == []
