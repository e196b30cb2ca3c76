"""One class of a data set: how often it is shown, which filters tell it, what is hard."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fstore.errors import FstoreError
from fstore.explore.class_svms import hardest, needed, overlaps, split_of, svm_ranking
from fstore.explore.classes import best_by_layer, best_filters, class_index, counts, usual_part
from fstore.explore.filters import ALL, TABLES, Looked
from fstore.explore.page import Asked, page
from fstore.explore.rendering import embedded
from fstore.explore.study_cells import class_cells
from fstore.explore.views import chosen, parts, shown_classes, words
from fstore.store.files import Partition

__all__ = [
    "class_filters",
    "class_hardest",
    "class_layers",
    "class_needed",
    "class_overlap",
    "class_page",
    "class_studies",
]

EXAMPLES = 12
FILTERS = 12
HARD = 12
OTHERS = 12
QUICK = 1_600_000
"""Responses that nested subsets are learned from without being asked; it takes some seconds."""
QUICK_CLASSES = 12_000_000
"""The same of an SVM a class; responses count once a class."""


@page("/class", template="class.html")
def class_page(asked: Asked) -> dict[str, object]:
    """Show a class: counts and examples; what filters make of it comes after."""
    contents, dataset, name = asked.contents, asked.text("dataset"), asked.text("class")
    index = class_index(contents, dataset, name)
    info = contents.dataset(dataset)
    classes = info.classes
    stored = {p.view for p in contents.partitions if p.dataset == dataset}
    labelled = [v for v in info.views if shown_classes(contents, dataset, v)]
    views = [v for v in labelled if v in stored]
    view = asked.given.get("view") or next(iter([*views, *labelled, "image"]))
    pick = chosen(asked, dataset, view)
    what = ("counts of a class", dataset, name)
    rows = contents.kept(
        what, ("samples", "labels", "splits", "datasets"), lambda: counts(contents, dataset, name)
    )
    part = asked.given.get("part") or usual_part(contents, dataset, view)
    return {
        "dataset": dataset,
        "name": name,
        "prev": classes[index - 1] if index else None,
        "next": classes[index + 1] if index + 1 < len(classes) else None,
        "counts": rows,
        "view": view,
        "views": views,
        "chosen": pick,
        "of_part": part,
        "parts": [ALL, *parts(contents, dataset, view)],
        "quick": _n_responses(asked, pick.partition) <= QUICK,
        "quick_all": _n_responses(asked, pick.partition) * len(classes) <= QUICK_CLASSES,
        "examples": _examples(asked, dataset, view, name),
    }


def _n_responses(asked: Asked, partition: Partition | None) -> int:
    """Return how many responses, one a sample and filter, a partition has."""
    if partition is None:
        return 0
    samples = int(asked.contents.partitions[partition]["samples"])
    return samples * asked.contents.shape(partition).channels


def _examples(asked: Asked, dataset: str, view: str, name: str) -> list[dict[str, Any]]:
    """Return some samples that show a class, spread over all of them."""
    shown = shown_classes(asked.contents, dataset, view)
    ids = sorted(i for i, pairs in shown.items() if (name, 1) in pairs)
    step = max(1, len(ids) // EXAMPLES)
    return [{"sample": i, "words": words(shown[i])} for i in ids[::step][:EXAMPLES]]


# Parts that come after the page


def _shown(asked: Asked, make: "Callable[[Looked, str], dict[str, Any]]") -> dict[str, object]:
    """Return what a part of the page shows; what cannot be worked out is said there."""
    partition, name = asked.partition, asked.text("class")
    part = asked.given.get("part") or usual_part(asked.contents, partition.dataset, partition.view)
    base: dict[str, object] = {
        "partition": partition,
        "name": name,
        "of_part": part,
        "fault": "",
    }
    try:
        class_index(asked.contents, partition.dataset, name)
        return {**base, **make(Looked(asked.contents, partition, part), name)}
    except FstoreError as error:
        return {**base, "fault": str(error)}


@page("/class/filters", template="class_filters.html")
def class_filters(asked: Asked) -> dict[str, object]:
    """Show the best single filters of a class in a layer."""
    return _shown(asked, lambda looked, name: {"rows": best_filters(looked, name, most=FILTERS)})


@page("/class/layers", template="class_layers.html")
def class_layers(asked: Asked) -> dict[str, object]:
    """Show the best single filter of each layer: of a checkpoint, or of all."""

    def make(looked: Looked, name: str) -> dict[str, Any]:
        p, contents = looked.partition, asked.contents
        every = bool(asked.given.get("every"))
        own = [
            q for q in contents.partitions
            if (q.network, q.dataset, q.view) == (p.network, p.dataset, p.view)
        ]  # fmt: skip
        taken = [q for q in own if every or q.ckpt == p.ckpt]
        rows, left_out = best_by_layer(contents, taken, looked.part, name)
        what = ("chart by layer", p, every, looked.part, name)
        chart = contents.kept(what, TABLES, lambda: _layers_chart(rows, name))
        more = len({q.ckpt for q in own}) - 1 if not every else 0
        return {"rows": rows, "left_out": left_out, "more": more, "chart": chart}

    return _shown(asked, make)


def _layers_chart(rows: list[dict[str, Any]], name: str) -> object:
    """Return a chart of the best AP by layer; None for a single layer."""
    from fstore.queries.figures.best_by_layer import best_by_layer_chart

    if len({row["layer"] for row in rows}) < 2:
        return None
    p = rows[0]["partition"]
    title = f"{name}: {p.network}, {p.dataset} {p.view}"
    chart = best_by_layer_chart(rows, prior=rows[0]["prior"], title=title)
    return embedded(chart, f"AP of the best single filter for {name}, by layer")


@page("/class/needed", template="class_needed.html")
def class_needed(asked: Asked) -> dict[str, object]:
    """Show how many filters it takes to tell a class."""

    def make(looked: Looked, name: str) -> dict[str, Any]:
        from fstore.queries.figures.subsets import plot_filter_subsets

        p, contents = looked.partition, asked.contents
        split = split_of(contents, p.dataset, looked.part)
        told = needed(contents, p, split, name)
        says = f"AP of {name} by number of filters"
        what = ("chart of subsets", p, split, name)
        title = f"{p.layer}, {p.ckpt}, {p.dataset} {p.view}"
        chart = contents.kept(
            what, TABLES, lambda: embedded(plot_filter_subsets(told["rows"], title=title), says)
        )
        return {**told, "chart": chart, "split": split}

    return _shown(asked, make)


@page("/class/overlap", template="class_overlap.html")
def class_overlap(asked: Asked) -> dict[str, object]:
    """Show which classes use the same filters."""

    def make(looked: Looked, name: str) -> dict[str, Any]:
        p, contents = looked.partition, asked.contents
        told = overlaps(contents, p, split_of(contents, p.dataset, looked.part))
        if name not in told["classes"]:
            return {"fault": f"class '{name}' has no positive or no negative to learn from"}
        own = told["shares"][told["classes"].index(name)]
        order = np.argsort(-own, kind="stable").tolist()
        rows = [(told["classes"][i], float(own[i])) for i in order if told["classes"][i] != name]
        return {**told, "rows": rows[:OTHERS], "n_others": len(rows)}

    return _shown(asked, make)


@page("/class/hardest", template="class_hardest.html")
def class_hardest(asked: Asked) -> dict[str, object]:
    """Show the samples that the best filter, or an SVM on all, places wrongly."""
    by = asked.one_of("by", ("filter", "svm"))

    def make(looked: Looked, name: str) -> dict[str, Any]:
        p, contents = looked.partition, asked.contents
        shown = shown_classes(contents, p.dataset, p.view)
        named = {"by": by, "words": {i: words(pairs) for i, pairs in shown.items()}}
        if by == "svm":
            split = split_of(contents, p.dataset, looked.part)
            hard = hardest(*svm_ranking(contents, p, split, name), most=HARD)
            return {**named, "hard": hard, "split": split}
        (best,) = best_filters(looked, name, most=1)
        y = looked.Y[:, looked.classes.index(name)]
        scores = looked.column(best["channel"])
        return {**named, "hard": hardest(looked.ids, scores, y, most=HARD), "best": best}

    return _shown(asked, make)


@page("/class/studies", template="class_studies.html")
def class_studies(asked: Asked) -> dict[str, object]:
    """Show what the stored reports of studies say of a class."""
    dataset, name = asked.text("dataset"), asked.text("class")
    class_index(asked.contents, dataset, name)
    rows, stale = class_cells(asked.contents, dataset, name)
    return {"dataset": dataset, "name": name, "rows": rows, "stale": stale}
