"""The paper's own numbers as facts, and the size of the test sets that they come from."""

from collections.abc import Mapping
from typing import Any

from fstore.queries.findings._api import Facts, SweepPoint
from fstore.queries.findings._tested import TestSet, kind_of
from fstore.queries.reports import REPORTS, paper_numbers

__all__ = ["paper_facts"]

FILTERS = "256"
"""Filters of the paper's conv5, and so the last column of its Figure 4."""

VOC_IMAGES = 4952
"""Test images of PASCAL VOC 2007."""

# fmt: off
VOC_SHOWING = (204, 239, 282, 172, 212, 174, 721, 322, 417, 127,
               190, 418, 274, 222, 2007, 224, 97, 223, 259, 229)
"""Test images of PASCAL VOC 2007 that show each class."""

VOC_OBJECTS = (285, 337, 459, 263, 469, 213, 1201, 358, 756, 244,
               206, 489, 348, 325, 4528, 480, 242, 239, 282, 308)
"""Objects in them, difficult ones left out."""
# fmt: on

SUN = (108,) * 397
"""Test images of each class of SUN: 40 % of about 108,000 in 397 classes."""

IMAGENET = (50,) * 1000
"""Validation images of each class of ImageNet."""


def paper_facts() -> Facts:
    """Return the numbers of the paper's tables; its sweep is the columns of Table 3."""
    rows = {
        entry.name: _rows(entry.name, paper_numbers(entry.meta["paper"]))
        for entry in REPORTS
        if entry.meta["paper"]
    }
    tested = {
        report: {str(r["row"]): _tested(report, str(r["row"])) for r in mine}
        for report, mine in rows.items()
    }
    rows["figure4"] = _rows("figure4", {("conv5 pretrained", FILTERS): 1.0})
    ckpts = dict.fromkeys(str(row["col"]) for row in rows["table3"])  # conv1 has all of them
    sweep = tuple(SweepPoint(name, 1000 * int(name.removesuffix("k"))) for name in ckpts)
    layers = tuple(dict.fromkeys(str(row["row"]) for row in rows["table3"]))
    return Facts(rows, layers, ("fc6", "fc7"), "conv5", "fc7", sweep, tested=tested)


def _tested(report: str, row: str) -> TestSet:
    kind = kind_of(report, row)
    if kind == "accuracy":
        positives = IMAGENET if report == "table7_accuracy" else SUN
        return TestSet(kind, sum(positives), positives, f"{kind} {len(positives)}")
    if kind == "detection":
        return TestSet(kind, VOC_IMAGES, VOC_OBJECTS, kind)
    return TestSet("ap", VOC_IMAGES, VOC_SHOWING, "ap")


def _rows(report: str, numbers: Mapping[tuple[str, str], float]) -> list[dict[str, Any]]:
    same = {"study": "paper", "report": report, "std": None, "n": None}
    return [
        {**same, "row": row, "col": col, "value": value, "paper": value}
        for (row, col), value in numbers.items()
    ]
