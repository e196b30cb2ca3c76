"""The front page: what was studied, four numbers, and the exhibit that is shown first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fstore.queries.findings import Finding
from fstore.queries.publish.exhibits import COMPLETE, Exhibit
from fstore.queries.publish.grid import number
from fstore.queries.publish.priors import priors_of
from fstore.queries.studies.study import Study
from fstore.words import worded

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "STRONGEST",
    "DataSet",
    "Highlight",
    "counted",
    "data_sets",
    "highlights",
    "layers_in_words",
    "strongest",
]

STRONGEST = (
    "figure1", "table3", "table7", "figure4", "s_figure2", "table5", "table9", "table1", "table8",
    "table6", "figure3", "retrieval",
)  # fmt: skip
"""Which chart stands on the front: the first of these that :func:`strongest` can take."""

PARTS = {
    "pretrain": "pre-training",
    "classification": "classification",
    "detection": "detection",
    "detection_more": "more data for detection",
    "scenes": "scene classification",
}
"""Parts that data sets play, in words."""

SAMPLES = {"image": "image", "gt": "ground-truth box", "proposal": "proposal"}
"""What a sample of a view is."""

UNDECIDED = "not enough data"


@dataclass(frozen=True, slots=True)
class Highlight:
    """A number of the front: ready to print, what it is, what it rests on, where it comes from."""

    value: str
    what: str
    detail: str
    link: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set of the study: what it has, and what it is for."""

    name: str
    has: str
    parts: str


def strongest(exhibits: Sequence[Exhibit], findings: Sequence[Finding]) -> Exhibit | None:
    """Return the exhibit whose chart says most: a rule, so that nobody picks the one they like.

    Those of :data:`STRONGEST` are asked in that order, and any others after them: first for one
    that is complete and that a decided finding rests on, then for one that is complete, then for
    one that has anything.
    """
    named = {e.name: e for e in exhibits if e.rows}
    order = [named[name] for name in STRONGEST if name in named]
    order += [e for e in named.values() if e.name not in STRONGEST]
    decided = {r for f in findings if f.verdict != UNDECIDED for r in f.reports}
    whole = [e for e in order if e.state == COMPLETE]
    return next((e for e in whole if e.name in decided), next(iter([*whole, *order]), None))


def highlights(
    store: "Store", study: Study, exhibits: Sequence[Exhibit], *, findings: Sequence[Finding]
) -> list[Highlight]:
    """Return the numbers of the front; one that the study does not have is left out.

    The best score, the responses that are stored of the study's network, the numbers that were
    computed, the findings that are decided.
    """
    at = {e.name: e for e in exhibits}
    every = (
        _best_classification(store, study, at) or _best_of_one(at),
        _responses(store, study),
        _numbers(exhibits),
        _decided(findings),
    )
    return [highlight for highlight in every if highlight is not None]


@dataclass(frozen=True, slots=True)
class _Score:
    value: float
    layer: str
    ckpt: str
    report: str


def _scores(study: Study, at: Mapping[str, Exhibit]) -> Iterator[_Score]:
    """Yield the mean APs of classification from responses as they are, layer by layer."""
    if "table3" in at:
        for row in at["table3"].main:
            yield _Score(row["value"], row["row"], row["col"], "table3")
    if "table7" in at:
        for row in at["table7"].main:
            if row["col"] == "none":
                yield _Score(row["value"], row["row"], str(study.pretrained), "table7")


def _best_classification(
    store: "Store", study: Study, at: Mapping[str, Exhibit]
) -> Highlight | None:
    """Return the best mean AP of classification, and what chance and luck have to do with it."""
    scores = {(s.layer, s.ckpt): s for s in _scores(study, at)}
    if not scores:
        return None
    best = max(scores.values(), key=lambda score: score.value)
    data = " + ".join(dict.fromkeys(b.dataset for b in study.classification))
    priors = priors_of(store, study, best.report)
    tested = f"{priors.n:,} test images; " if priors else ""
    chance = f" The classes' mean prior is {number(100 * priors.mean, 1)}." if priors else ""
    many = (
        f"the best of {len(scores)} pairs of layer and checkpoint, chosen on them"
        if len(scores) > 1
        else "the only layer and checkpoint"
    )
    where = f"layer {best.layer}, checkpoint {best.ckpt}"
    return Highlight(
        number(best.value, 1),
        f"best mean AP (percent), classification on {data}: {where}",
        f"{tested}{many}.{chance}",
        f"{best.report}.html",
    )


ONES = {
    "table8": "best mean AP (percent) of detection",
    "table7_accuracy": "best accuracy (percent)",
    "retrieval": "best mean AP (percent) of retrieval",
    "table1": "best of the kinds of training (percent)",
}
"""Reports that have a score, where there is none of classification by layer."""


def _best_of_one(at: Mapping[str, Exhibit]) -> Highlight | None:
    """Return the best number of the first report that has a score."""
    name = next((name for name in ONES if name in at and at[name].main), None)
    if name is None:
        return None
    best = max(at[name].main, key=lambda row: float(row["value"]))
    of = f"{ONES[name]}: {best['row']}, {worded(best['col'])}"
    n = f"n = {best['n']:,}; " if best["n"] is not None else ""
    return Highlight(
        number(best["value"], 1), of, f"{n}the best of {len(at[name].main)}.", f"{name}.html"
    )


def _responses(store: "Store", study: Study) -> Highlight | None:
    """Return how many responses of the network are stored: one a filter and sample."""
    rows = [r for r in store.status() if r["network"] == study.network]
    total = sum(r["rows"] for r in rows)
    if not total:
        return None
    ckpts, layers, data = ({r[key] for r in rows} for key in ("ckpt", "layer", "dataset"))
    return Highlight(
        short(total),
        "responses stored: of a filter to an image, box or proposal",
        f"{counted(len(ckpts), 'checkpoint')}, {counted(len(layers), 'layer')}, "
        f"{counted(len(data), 'data set')}.",
        "#bound",
    )


def _numbers(exhibits: Sequence[Exhibit]) -> Highlight | None:
    """Return how many numbers the tables and figures have."""
    total = sum(len(e.main) for e in exhibits)
    whole = sum(e.state == COMPLETE for e in exhibits)
    if not total:
        return None
    paper = sum(row["paper"] is not None for e in exhibits for row in e.main)
    beside = f" Of {paper:,} the paper has one too." if paper else ""
    text = f"{whole} of {len(exhibits)} tables and figures complete.{beside}"
    return Highlight(f"{total:,}", "numbers computed, each with its lineage", text, "#tables")


def _decided(findings: Sequence[Finding]) -> Highlight | None:
    """Return how many of the paper's claims this study decides."""
    if not findings:
        return None
    told = [f.verdict for f in findings if f.verdict != UNDECIDED]
    held = told.count("holds")
    text = (
        f"{held} {'holds' if held == 1 else 'hold'}, {len(told) - held} not; the others are open."
    )
    if len(told) == len(findings):
        text = text.replace("; the others are open", "")
    return Highlight(
        f"{len(told)} of {len(findings)}", "of the paper's claims decided", text, "findings.html"
    )


def data_sets(store: "Store", study: Study) -> list[DataSet]:
    """Return the data sets of a study, each once: what they hold, and for what they are used.

    One that is not registered is named without counts.
    """
    parts: dict[str, list[str]] = {}
    for part, words in PARTS.items():
        for bound in getattr(study, part):
            parts.setdefault(bound.dataset, []).append(words)
    known = {info.name: info for info in store.datasets()}
    return [
        DataSet(name, _has(known.get(name)), ", ".join(dict.fromkeys(own)))
        for name, own in parts.items()
    ]


def _has(info: Any) -> str:  # noqa: ANN401 - DatasetInfo or None
    if info is None:
        return "not registered"
    samples = [counted(n, SAMPLES.get(view, view)) for view, n in info.counts.items() if n]
    return f"{', '.join(samples)}; {counted(len(info.classes), 'class')}"


def layers_in_words(layers: Sequence[str]) -> str:
    """Return how many layers there are, and from which to which.

    Examples
    --------
    >>> layers_in_words(("conv1", "conv2", "fc")), layers_in_words(("a", "b")), layers_in_words("a")
    ('3 layers, conv1 to fc', 'layers a and b', 'layer a')
    """
    if len(layers) > 2:
        return f"{len(layers)} layers, {layers[0]} to {layers[-1]}"
    return f"{'layers' if len(layers) == 2 else 'layer'} {' and '.join(layers)}"


def counted(n: int, what: str) -> str:
    """Return a number of things.

    Examples
    --------
    >>> counted(1, "image"), counted(1797, "image"), counted(10, "class"), counted(2, "box")
    ('1 image', '1,797 images', '10 classes', '2 boxes')
    """
    plural = "" if n == 1 else "es" if what.endswith(("s", "x")) else "s"
    return f"{n:,} {what}{plural}"


def short(n: int) -> str:
    """Return a large number in words, to two or three digits.

    Examples
    --------
    >>> short(76_800), short(1_234_567), short(45_600_000), short(7_890_000_000)
    ('76,800', '1.2 million', '46 million', '7.9 billion')
    """
    for size, word in ((10**9, "billion"), (10**6, "million")):
        if n >= size:
            return f"{n / size:.{0 if n >= 10 * size else 1}f} {word}"
    return f"{n:,}"
