"""The page of a layer: its filters, each with what it responds to most, in an order of choice."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, FstoreError, UnknownNameError
from fstore.explore.choices import beside, choices
from fstore.explore.filters import Change, Looked, looked_at
from fstore.explore.page import Asked, page
from fstore.explore.rendering import at
from fstore.explore.seen import LEAST, field_of, has_field
from fstore.store.files import Partition

if TYPE_CHECKING:
    from fstore.store.topk import Strongest

__all__ = ["SORTS", "layer", "layer_filters"]

PER_PAGE = 24
SORTS = {
    "index": "index",
    "selectivity": "selectivity",
    "ap": "AP of a class",
    "sparsity": "sparsity",
    "change": "change",
}
NEEDS = {"index": "spread", "selectivity": "areas", "ap": "aps", "sparsity": "spread"}
"""What an order is made of, and whether it is there without work."""
FEW = 1 << 21
"""Responses of which everything is worked out at once."""


@page("/layer", template="layer.html")
def layer(asked: Asked) -> dict[str, object]:
    """Show a layer; its filters at once where they are in order already, else a moment later."""
    p, question = asked.partition, Question.of(asked)
    looked, contents = question.looked, asked.contents
    shown = {
        "p": p,
        "shape": contents.shape(p),
        "choices": choices(contents, p),
        "question": question,
        "sorts": SORTS,
        "others": [o.ckpt for o in beside(contents, p, "ckpt") if o != p],
        "classes": looked.classes,
        "row": contents.partitions[p],
        "later": None,
    }
    if not (question.is_ready or asked.given.get("now")):
        again = {"page": asked.given.get("page")}
        return shown | {
            "later": question.address("/layer-filters", **again),
            "now": question.address(now=1, **again),
        }
    return shown | _shown_filters(asked)


@page("/layer-filters", template="layer_filters.html")
def layer_filters(asked: Asked) -> dict[str, object]:
    """Show one page of a layer's filters in the order asked for, and its dead filters apart."""
    return _shown_filters(asked)


def _shown_filters(asked: Asked) -> dict[str, object]:
    question = Question.of(asked)
    try:
        return _filters(question, asked.number("page", 0))
    except FstoreError as error:
        return {"message": str(error), "question": question}


@dataclass(frozen=True)
class Question:
    """What the address asks of a layer.

    Attributes
    ----------
    looked : Looked
    sort : str
        A key of :data:`SORTS`.
    name : str
        The class whose AP is shown; empty for none.
    other : Partition or None
        The layer in the checkpoint that change is told of.
    backwards : bool
    """

    looked: Looked
    sort: str
    name: str
    other: Partition | None
    backwards: bool

    @classmethod
    def of(cls, asked: Asked) -> "Question":
        """Read an address.

        Raises
        ------
        DataError, UnknownNameError
            There is no such order, class or checkpoint.
        """
        looked = looked_at(asked)
        sort, name = asked.one_of("sort", tuple(SORTS)), asked.text("class", "\0").strip("\0")
        if name and name not in looked.classes:
            raise UnknownNameError(
                f"data set '{looked.partition.dataset}' has no class '{name}'; it has: "
                + ", ".join(looked.classes)
            )
        if sort == "ap" and not name and looked.classes:
            name = looked.classes[0]
        others = {p.ckpt: p for p in beside(asked.contents, looked.partition, "ckpt")}
        ckpt = asked.text("other", "\0").strip("\0")
        if ckpt and ckpt not in others:
            raise UnknownNameError(
                f"checkpoint '{ckpt}' has no such layer stored; these have: {', '.join(others)}"
            )
        if sort == "change" and not ckpt:
            ckpt = next((c for c in others if c != looked.partition.ckpt), "")
        return cls(looked, sort, name, others.get(ckpt), bool(asked.given.get("backwards")))

    @property
    def is_ready(self) -> bool:
        """Whether the order can be told without much work."""
        if not self.looked.holds("spread"):
            return False
        if self.sort == "change":
            return self.other is None or self.looked.holds(("change", self.other))
        return (not self.name or self.looked.holds("aps")) and (
            self.looked.holds(NEEDS[self.sort])
            or self.looked.n_filters * len(self.looked.rows) <= FEW
        )

    def address(self, path: str = "/layer", /, **changed: object) -> str:
        """Return this question's address, or that of another about the same layer."""
        given = {
            "part": None if self.looked.part == "all" else self.looked.part,
            "sort": None if self.sort == "index" else self.sort,
            "class": self.name,
            "other": self.other and self.other.ckpt,
            "backwards": 1 if self.backwards else None,
        }
        return at(path, self.looked.partition, **{**given, **changed})

    def filter_address(self, channel: int) -> str:
        """Return the address of a filter's page, about the same samples and class."""
        part = None if self.looked.part == "all" else self.looked.part
        return at(
            "/filter", self.looked.partition, part=part, channel=channel, **{"class": self.name}
        )


def _filters(question: Question, number: int) -> dict[str, object]:
    looked = question.looked
    numbers = _Numbers.of(question)
    dead = looked.spread.dead
    order = _order(question, numbers)
    order = order[~dead[order]]
    pages = max(1, -(-len(order) // PER_PAGE))
    number = min(number, pages - 1)
    shown = order[number * PER_PAGE : (number + 1) * PER_PAGE].tolist()
    top = looked.strongest(shown)
    return {
        "message": "",
        "question": question,
        "cards": [_card(question, numbers, c, top[c]) for c in shown],
        "dead": np.flatnonzero(dead).tolist(),
        "live": len(order),
        "n": len(looked.ids),
        "number": number,
        "pages": pages,
        "notes": numbers.notes,
        "cut": _cut(looked),
        "before": question.address(page=number - 1) if number else "",
        "after": question.address(page=number + 1) if number + 1 < pages else "",
    }


def _cut(looked: Looked) -> str:
    """Say what the pictures show."""
    field = field_of(looked.contents, looked.partition)
    if field is None:
        return "the images"
    if not has_field(looked.contents, looked.partition):
        return "the images, of which a place sees all or nearly all,"
    size = max(field.size_h, field.size_w)
    about = f", with {LEAST - size} pixels around," if size < LEAST else ""
    return f"what the place sees ({size} of {field.input} pixels){about}"


@dataclass(frozen=True)
class _Numbers:
    """What is told of each filter, by what it is called; and why something is not."""

    by: Mapping[str, NDArray[Any]]
    notes: list[str]

    @classmethod
    def of(cls, question: Question) -> "_Numbers":
        looked, by, notes = question.looked, {}, []
        by["sparsity"] = looked.spread.zeros
        if question.name:
            aps = looked.aps
            own = aps.classes.index(question.name)
            by["ap"] = aps.at_11[own]
            notes.append(
                f"AP of {question.name} (11 recalls): n = {aps.n[own]:,} samples, "
                f"{aps.positives[own]:,} of them show it ({100 * aps.priors[own]:.1f} %)."
            )
        change = _change(question)
        if change is not None:
            by["change"] = change.values
            notes.append(
                f"Change: 1 - correlation of the filter's responses in {looked.partition.ckpt} and "
                f"in {cast('Partition', question.other).ckpt} over the n = {change.n:,} samples "
                "stored of both; 0 is none."
            )
        small = looked.n_filters * len(looked.ids) <= FEW
        if question.sort == "selectivity" or looked.holds("areas") or small:
            try:
                by["selectivity"] = looked.areas
            except DataError as error:
                if question.sort == "selectivity":
                    raise DataError(f"selectivity cannot be told here: {error}") from error
        return cls(by, notes)


def _change(question: Question) -> Change | None:
    if question.other is None:
        if question.sort == "change":
            raise DataError("no other checkpoint has this layer stored, so no change can be told")
        return None
    return question.looked.change(question.other)


def _order(question: Question, numbers: _Numbers) -> NDArray[np.intp]:
    """Return the filters in the order asked for; those without a number come last."""
    if question.sort == "index":
        order = np.arange(question.looked.n_filters)
        return order[::-1] if question.backwards else order
    if question.sort not in numbers.by:
        raise DataError(
            f"data set '{question.looked.partition.dataset}' has no classes to order by"
        )
    values = numbers.by[question.sort]
    ascending = (question.sort == "selectivity") != question.backwards
    order = np.argsort(values if ascending else -values, kind="stable")  # NaN comes last
    return np.asarray(order)


def _card(
    question: Question, numbers: _Numbers, channel: int, top: "Strongest"
) -> dict[str, object]:
    looked = question.looked
    samples = top.sample_ids[0, :9][top.values[0, :9] > 0].tolist()
    return {
        "channel": channel,
        "address": question.filter_address(channel),
        "largest": float(top.values[0, 0]),
        "numbers": {name: float(values[channel]) for name, values in numbers.by.items()},
        "n": len(samples),
        "shows": ", ".join(_shown(looked, samples)),
    }


def _shown(looked: Looked, samples: list[int]) -> list[str]:
    """Say what samples show, most of them first: ``dog: 6``."""
    counts: dict[str, int] = {}
    if not looked.classes:
        return []
    rows = looked.Y[np.searchsorted(looked.ids, samples)] > 0
    for row in rows:
        for c in np.flatnonzero(row):
            counts[looked.classes[c]] = counts.get(looked.classes[c], 0) + 1
    best = sorted(counts.items(), key=lambda item: -item[1])[:2]
    return [f"{name}: {count}" for name, count in best]
