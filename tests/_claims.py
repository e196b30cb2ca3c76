"""Rows made by hand for every claim: by which it holds, by which it does not, and by neither."""

from collections.abc import Mapping, Sequence
from typing import Any

from fstore.queries.cells.needs import ROW_COLUMNS
from fstore.queries.findings import Facts, SweepPoint
from fstore.queries.findings._tested import TestSet, kind_of

CONV = ("conv1", "conv2", "conv3", "conv4", "conv5")
LAYERS = (*CONV, "fc6", "fc7")
SWEEP = (
    SweepPoint("5k", 5000, 0.2),
    SweepPoint("15k", 15_000, 0.4),
    SweepPoint("50k", 50_000, 0.5),
    SweepPoint("305k", 305_000, 0.6),
)
Table = Mapping[str, Mapping[str, Any]]
"""Row -> column -> a value, or value, standard deviation and n."""


def facts(
    tables: Mapping[str, Table],
    *,
    sweep: tuple[SweepPoint, ...] = SWEEP,
    wanted: Mapping[str, Table] | None = None,
) -> Facts:
    """Return what claims see of some tables, in a study like the paper's.

    ``wanted`` has tables of which the study asks every cell, there or not.
    """
    rows = {report: list(rows_of(report, table)) for report, table in tables.items()}
    asked = {
        report: {(row, col) for row, cols in table.items() for col in cols}
        for report, table in (wanted or {}).items()
    }
    tested = {
        report: {row: _tests(report, row) for row in table} for report, table in tables.items()
    }
    return Facts(rows, LAYERS, LAYERS[5:], "conv5", "fc7", sweep, wanted=asked, tested=tested)


def _tests(report: str, row: str) -> TestSet:
    """Return a test set of 25,000 samples that has 1,250 of each of 20 classes."""
    return TestSet(kind_of(report, row) or "ap", 25_000, (1250,) * 20)


def rows_of(report: str, table: Table, paper: float | None = None) -> Sequence[dict[str, Any]]:
    """Return the cells of a table, row -> column -> cell, as a report's rows."""
    cells = [(row, col, cell) for row, cols in table.items() for col, cell in cols.items()]
    return [
        dict(zip(ROW_COLUMNS, ("mine", report, row, col, *_cell(cell), paper), strict=True))
        for row, col, cell in cells
    ]


def _cell(cell: Any) -> tuple[float, float | None, int]:  # noqa: ANN401 - a number or three
    return cell if isinstance(cell, tuple) else (float(cell), None, 1)


def along(*values: float, std: float = 0.5) -> dict[str, Any]:
    """Return a layer's row of Table 3."""
    return {s.name: (v, std, 3) for s, v in zip(SWEEP, values, strict=True)}


def layers_along(*finals: Sequence[float]) -> dict[str, Table]:
    """Return Table 3 of seven layers; of the last given row all that remain."""
    rows = [*finals, *[finals[-1]] * (len(LAYERS) - len(finals))]
    return {"table3": {k: along(*row) for k, row in zip(LAYERS, rows, strict=True)}}


def columns(**cols: float) -> dict[str, Any]:
    """Return cells of three runs."""
    return {col: (value, 0.2, 3) for col, value in cols.items()}


TELLS: dict[str, Table] = {"table7": {"conv5": columns(none=65), "fc7": columns(none=74)}}
"""Table 7 of layers that tell classes."""


def classes(*values: float) -> dict[str, float]:
    """Return a row of classes c0, c1, ..."""
    return {f"c{i}": value for i, value in enumerate(values)}


def single(*shares: float, role: str = "pretrained") -> dict[str, Table]:
    """Return Figures 3 and 4: best filters of some shares of the complete AP of 50 %."""
    return {
        "figure3": {
            f"c{i} {role} 1": {"ap": 50 * s, "prior": 0.05, "0.10": 1.0}
            for i, s in enumerate(shares)
        },
        "figure4": {
            f"c{i} {role}": {"1": 0.5, "1:ap": 25, "256": 1.0, "256:ap": 50}
            for i in range(len(shares))
        },
    }


def needing(*values: float, n_filters: int = 256) -> dict[str, Table]:
    """Return Table 5's filters for 90 % by class, and Figure 4's last column."""
    return {
        "table5": {"pretrained 50%": classes(1, 1, 5), "pretrained 90%": classes(*values)},
        "figure4": {"c0 pretrained": {"1": 0.5, str(n_filters): 1.0}},
        **TELLS,
    }


def selective(*values: float) -> dict[str, Table]:
    """Return Figure 1 before and after fine-tuning."""
    both = [(k, v) for k, v in zip(LAYERS, values, strict=True)]
    rows = {f"{k} {role}": {"1.00": v} for k, v in both for role in ("pretrained", "finetuned")}
    return {"figure1": rows, **TELLS}


def changed(*values: float) -> dict[str, Table]:
    """Return Table 9's most selective tenth."""
    rows = {k: {"label 0.1": v} for k, v in zip(LAYERS, values, strict=True)}
    return {"table9": rows, **TELLS}


def shuffled(*values: float) -> dict[str, Table]:
    """Return Table 7 of layers at 50 %, and what they have when shuffled."""
    pairs = zip(CONV, values, strict=True)
    return {"table7": {k: columns(none=50, sp_shuffle=v) for k, v in pairs}}


def binarized(*values: float) -> dict[str, Any]:
    """Return Table 7 from conv5 on, as it is and binarized."""
    pairs = zip(LAYERS[4:], (65, 72, 74), values, strict=True)
    return {k: columns(none=whole, binarize=v) for k, whole, v in pairs}


def others(weighted: tuple[float, ...], sp_max: tuple[float, ...]) -> dict[str, Table]:
    """Return Table 9's most selective tenth by the other two entropies."""
    rows = {
        k: {"weighted 0.1": a, "sp_max 0.1": b}
        for k, a, b in zip(LAYERS, weighted, sp_max, strict=True)
    }
    return {"table9": rows, **TELLS}


def named(*values: float) -> dict[str, Table]:
    """Return Table 5's filters of three classes, of five that take 40."""
    row = {
        **classes(40, 40, 40, 40, 40),
        **dict(zip(("person", "car", "cat"), values, strict=True)),
    }
    return {"table5": {"pretrained 90%": row, "finetuned 90%": row}, **TELLS}


def tuned(*values: float) -> dict[str, Table]:
    """Return Table 5's filters of three classes before fine-tuning (40, 30, 45) and after it."""
    rows = {"pretrained 90%": classes(40, 30, 45), "finetuned 90%": classes(*values)}
    return {"table5": rows, **TELLS}


def scratch(*values: float) -> dict[str, Table]:
    """Return Table 1 from scratch and pre-trained, of a task and of the same with more data."""
    less, more = (columns(scratch=a, pretrain=b) for a, b in (values[:2], values[2:]))
    return {"table1": {"A": less, "A+DATA": more}}


CASES: dict[str, tuple[dict[str, Table], dict[str, Table]]] = {
    "longer-is-better": (
        layers_along((20, 21, 22, 23), (30, 60, 70, 75)),
        layers_along((30, 60, 70, 75), (75, 70, 60, 50)),
    ),
    "early-gains": (
        layers_along((20, 24, 24, 24), (30, 60, 66, 75)),
        layers_along((20, 24, 24, 24), (30, 40, 66, 75)),
    ),
    "bottom-up": (
        layers_along(*[(50 - i, 70 - i, 80 - i, 80) for i in range(7)]),
        layers_along(*[(50 + i, 70 + i, 80 + i, 100) for i in range(7)]),
    ),
    "no-overfitting": (
        layers_along((20, 24, 24.5, 24), (30, 60, 70, 75)),
        layers_along((20, 24, 24.5, 24), (30, 60, 75, 65)),
    ),
    "longer-then-fine-tuned": (
        {"table4": {"SUN-CLS": along(48, 49, 50, 52), "PASCAL-DET": along(50, 52, 54, 55)}},
        {"table4": {"SUN-CLS": along(48, 49, 50, 52), "PASCAL-DET": along(50, 52, 51, 45)}},
    ),
    "fine-tuning-helps": (
        {"table1": {"SUN-CLS": columns(scratch=35, pretrain=48, finetune=52)}},
        {
            "table1": {
                "SUN-CLS": columns(scratch=35, pretrain=48, finetune=52),
                "PASCAL-DET": columns(scratch=55, finetune=52),
            }
        },
    ),
    "more-data-rescues-scratch": (
        {
            "table1": {
                "PASCAL-DET": columns(scratch=40, finetune=54),
                "PASCAL-DET+DATA": columns(scratch=53),
            }
        },
        {
            "table1": {
                "PASCAL-DET": columns(scratch=40, finetune=54),
                "PASCAL-DET+DATA": columns(scratch=45),
            }
        },
    ),
    "fc-enough-with-little-data": (
        {"table2": {"SUN-CLS": columns(ft=52, fc_ft=51.5)}},
        {"table2": {"SUN-CLS": columns(ft=52, fc_ft=48)}},
    ),
    "fc-not-enough-with-more-data": (
        {"table2": {"SUN-CLS+DATA": columns(ft=60, fc_ft=55), "SUN-CLS": columns(ft=5, fc_ft=5)}},
        {"table2": {"SUN-CLS+DATA": columns(ft=60, fc_ft=60)}},
    ),
    "selectivity-rises-with-depth": (
        selective(2.9, 2.8, 2.7, 2.75, 2.2, 2.0, 1.5),
        selective(1.5, 2.0, 2.2, 2.3, 2.4, 2.5, 2.9),
    ),
    "fine-tuning-changes-fc-most": (
        changed(0, -0.1, 0.2, -0.5, 1, 6, 3),
        changed(0, -0.1, 0.2, -0.5, 2, 6, 3),
    ),
    "few-grandmother-cells": (
        single(0.9, 0.3, 0.4, 0.5),
        single(0.9, 0.85, 0.4, 0.5),
    ),
    "distributed-code": (needing(5, 30, 40), needing(5, 5, 40)),
    "half-from-one-filter": (
        {
            "table10": {"finetuned 50%": classes(1, 1, 2), "finetuned 90%": classes(5, 8, 9)},
            **TELLS,
        },
        {
            "table10": {"finetuned 50%": classes(1, 2, 2), "finetuned 90%": classes(5, 8, 9)},
            **TELLS,
        },
    ),
    "little-overlap": (
        {"figure5": {"c0": classes(1, 0.3), "(summary)": {"mean": 0.25, "chance": 0.195}}, **TELLS},
        {"figure5": {"c0": classes(1, 0.3), "(summary)": {"mean": 0.5, "chance": 0.195}}, **TELLS},
    ),
    "related-classes-share-filters": (
        {"figure5": {"(summary)": {"related": 0.3, "unrelated": 0.2}}, **TELLS},
        {"figure5": {"(summary)": {"related": 0.21, "unrelated": 0.2}}, **TELLS},
    ),
    "scratch-works-with-modest-data": (
        {"table1": {"SUN-CLS": columns(scratch=35, finetune=52)}},
        {
            "table1": {
                "SUN-CLS": columns(scratch=35, finetune=52),
                "PASCAL-DET": columns(scratch=20, finetune=52),
            }
        },
    ),
    "diminishing-returns": (
        layers_along((30, 60, 70, 75)),
        layers_along((30, 31, 33, 75)),
    ),
    "magnitude-is-unimportant": (
        {"table7": {"conv1": columns(none=25, binarize=24), "fc6": columns(none=70, binarize=69)}},
        {"table7": {"conv1": columns(none=25, binarize=18), "fc6": columns(none=70, binarize=69)}},
    ),
    "binarizing-is-nearly-free-at-fc": (
        {"table7": {"fc6": columns(none=72, binarize=71.5), "fc7": columns(none=74, binarize=75)}},
        {"table7": {"fc6": columns(none=72, binarize=71.5), "fc7": columns(none=74, binarize=70)}},
    ),
    "binarizing-barely-hurts-detection": (
        {"table8": {"conv5": columns(none=48, binarize=47)}},
        {"table8": {"conv5": columns(none=48, binarize=40)}},
    ),
    "binary-codes-retrieve-as-well": (
        {"retrieval": {"fc7": {"cosine": (60.0, 20.0, 5000), "hamming": (59.0, 20.0, 5000)}}},
        {"retrieval": {"fc7": {"cosine": (60.0, 20.0, 5000), "hamming": (50.0, 20.0, 5000)}}},
    ),
    "place-hardly-matters-in-classification": (
        {
            "table7": {"conv5": columns(none=65, sp_max=62), "conv1": columns(none=25, sp_max=5)},
            "table7_accuracy": {"conv5, pre-training set": columns(none=43, sp_max=41)},
        },
        {
            "table7": {"conv5": columns(none=65, sp_max=62)},
            "table7_accuracy": {"conv5, pre-training set": columns(none=43, sp_max=31)},
        },
    ),
    "place-matters-in-detection": (
        {"table8": {"conv5": columns(none=48, sp_max=25)}},
        {"table8": {"conv5": columns(none=48, sp_max=44)}},
    ),
    "magnitude-is-unimportant-from-the-middle-on": (
        {"table7": {"conv1": columns(none=25, binarize=5), **binarized(60, 70, 73)}},
        {"table7": {"conv1": columns(none=25, binarize=24), **binarized(60, 50, 73)}},
    ),
    "fine-tuning-changes-upper-layers-by-other-entropies": (
        others((0, 0.1, 0.2, 0.4, 3, 6, 2), (0, 0.1, 0.2, 0.4, 5, 6, 2)),
        others((0, 0.1, 0.2, 0.4, 3, 6, 2), (0, 0.1, 0.2, 1.4, 5, 6, 2)),
    ),
    "few-filters-for-person-car-cat": (named(10, 20, 30), named(10, 20, 50)),
    "slightly-fewer-filters-after-fine-tuning": (tuned(35, 28, 39), tuned(45, 32, 50)),
    "fine-tuning-beats-pre-trained-features": (
        {"table1": {"SUN-CLS": columns(pretrain=48, finetune=52)}},
        {
            "table1": {
                "SUN-CLS": columns(pretrain=48, finetune=52),
                "A": columns(pretrain=9, finetune=5),
            }
        },
    ),
    "scratch-beats-features-with-more-data-only": (
        scratch(40, 45, 52, 45),
        scratch(47, 45, 52, 45),
    ),
    "more-data-adds-to-fine-tuning": (
        {"table1": {"A": columns(finetune=54), "A+DATA": columns(finetune=59)}},
        {"table1": {"A": columns(finetune=54), "A+DATA": columns(finetune=51)}},
    ),
    "first-layer-is-early": (
        layers_along((23, 24.3, 24.4, 24.4), (20, 30, 50, 70)),
        layers_along((13, 20, 24.4, 24.4), (20, 69, 70, 70)),
    ),
    "place-matters-less-with-depth": (
        shuffled(30, 35, 40, 42, 45),
        shuffled(45, 42, 40, 35, 30),
    ),
}
"""By claim: rows by which it holds, and rows by which it does not."""

HIDDEN: dict[str, dict[str, Table]] = {
    "longer-is-better": layers_along((74.8, 60, 70, 75)),
    "early-gains": layers_along((20, 56, 66, 75)),
    "no-overfitting": layers_along((20, 60, 70, 68)),
    "longer-then-fine-tuned": {"table4": {"SUN-CLS": along(51.9, 49, 50, 52)}},
    "fine-tuning-helps": {"table1": {"SUN-CLS": columns(scratch=52, finetune=52.1)}},
    "more-data-rescues-scratch": {
        "table1": {
            "PASCAL-DET": columns(scratch=40, finetune=54),
            "PASCAL-DET+DATA": columns(scratch=51.3),
        }
    },
    "fc-enough-with-little-data": {"table2": {"SUN-CLS": columns(ft=50, fc_ft=48.5)}},
    "fc-not-enough-with-more-data": {"table2": {"S+DATA": columns(ft=50, fc_ft=48.5)}},
    "binarizing-is-nearly-free-at-fc": {"table7": {"fc6": columns(none=70, binarize=68.5)}},
    "binarizing-barely-hurts-detection": {"table8": {"conv5": columns(none=50, binarize=47.5)}},
    "binary-codes-retrieve-as-well": {
        "retrieval": {"fc7": {"cosine": (60.0, 20.0, 100), "hamming": (57.0, 20.0, 100)}}
    },
    "place-hardly-matters-in-classification": {"table7": {"conv5": columns(none=50, sp_max=45)}},
    "place-matters-in-detection": {"table8": {"conv5": columns(none=40, sp_max=30)}},
    "bottom-up": layers_along(*[(50, 70, v, 80) for v in (76, 70, 79, 71, 78, 72, 77)]),
    "selectivity-rises-with-depth": selective(2.9, 2.0, 2.7, 1.5, 2.2, 2.8, 1.9),
    "place-matters-less-with-depth": shuffled(40, 35, 42, 33, 41),
}
"""By claim: rows whose spread, or whose lack of order, leaves it open."""
