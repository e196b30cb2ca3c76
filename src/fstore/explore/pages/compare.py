"""Two checkpoints side by side: their layers, their filters, and what single filters tell."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError, FstoreError
from fstore.explore.choices import parts_stored
from fstore.explore.filters import ALL, Looked
from fstore.explore.page import Asked, page
from fstore.explore.pairs import Pair, stored_groups
from fstore.explore.rendering import at, embedded, url
from fstore.queries.samples.asked_two import called
from fstore.store.files import ACTIVATIONS
from fstore.store.parts import Part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from fstore.queries.figures.plots import Row

__all__ = ["compare", "compare_aps", "compare_filters", "compare_layers"]

SAMPLES = 1000
"""At most as many samples are compared layer by layer: a second or two, and some MB."""
CHANGED = 8
"""Filters that changed most, with their pictures."""
EACH = 6
"""Pictures of a filter."""
TABLES = (ACTIVATIONS, "layers", "samples", "splits", "datasets")


@page("/compare", template="compare.html", nav="Compare")
def compare(asked: Asked) -> dict[str, object]:
    """Show what is compared, what else can be, and the parts, which are loaded by themselves."""
    pair = Pair.of(asked)
    if pair is None:
        return {"pair": None}
    groups = stored_groups(asked.contents)
    return {
        "pair": pair,
        "datasets": list(dict.fromkeys(dataset for dataset, _ in groups)),
        "views": [view for dataset, view in groups if dataset == pair.dataset],
        "ckpts": list(groups[pair.dataset, pair.view]),
        "parts": parts_stored(asked.contents, pair.layer_a),
        "address": lambda path: url(path, **pair.given),
        "turned": url("/compare", **{**pair.given, **_turned(pair)}),
    }


def _turned(pair: Pair) -> dict[str, str]:
    """Return the parameters of the same comparison the other way round."""
    layers = {"layer": pair.layer_b.layer, "other_layer": pair.layer_a.layer}
    return {"a": pair.b, "b": pair.a, **layers}


def _pair(asked: Asked) -> Pair:
    pair = Pair.of(asked)
    if pair is None:
        raise DataError("no activations are stored; the command extract stores some")
    return pair


@page("/compare/layers", template="compare_layers.html")
def compare_layers(asked: Asked) -> dict[str, object]:
    """Show linear CKA and RSA of all layers of one against all of the other."""
    pair = _pair(asked)
    return {"pair": pair, "most": SAMPLES, "matrices": [_matrix(asked, pair, n) for n in KEYS]}


KEYS = {"cka": ("Linear CKA", "cka"), "rsa": ("RSA, Spearman's rho", "rho")}
"""Of an analysis: how its numbers are called, and their column."""


def _matrix(asked: Asked, pair: Pair, name: str) -> dict[str, object]:
    """Return one analysis' matrix as a chart and as a table, and the command that gives it."""
    from fstore.queries.analyses import ANALYSES, ask

    heading, key = KEYS[name]
    told: dict[str, object] = {"heading": heading, "command": _command(asked, pair, name)}
    options: dict[str, Any] = {**pair.options, "samples": SAMPLES}
    try:
        rows = asked.contents.kept(
            (name, pair.a, pair.b, pair.dataset, pair.view, pair.part),
            TABLES,
            lambda: ask(asked.store, name, **options),
            large=True,
        )
    except FstoreError as error:
        return {**told, "message": str(error)}
    chart = ANALYSES[name].meta["plot"](rows)
    alt = f"{heading} of {len(pair.layers_a)} by {len(pair.layers_b)} layers; the table says it all"
    lines = {p.layer: [r[key] for r in rows if r["layer"] == p.layer] for p in pair.layers_a}
    columns = [p.layer for p in pair.layers_b]
    shown = {"chart": embedded(chart, alt), "lines": lines, "columns": columns, "n": rows[0]["n"]}
    return {**told, **shown, "message": ""}


def _command(asked: Asked, pair: Pair, name: str) -> str:
    """Return the command that prints a matrix."""
    from shlex import join

    words = ["--ckpt", pair.a, "--other", pair.b, "--dataset", pair.dataset, "--view", pair.view]
    if pair.part != ALL:
        part = Part.parse(pair.part)
        words += ["--part", part.name]
        words += ["--split", str(part.split)] if part.split is not None else []
    place = str(asked.store.place)
    return join(["fstore", "--store", place, "analyze", name, *words, "--samples", str(SAMPLES)])


@page("/compare/filters", template="compare_filters.html")
def compare_filters(asked: Asked) -> dict[str, object]:
    """Show the filters of a layer that changed most, with what they respond to in both."""
    pair = _pair(asked)
    a, b = pair.layer_a, pair.layer_b
    shown: dict[str, object] = {"pair": pair, "rows": [], "message": _not_the_same(pair)}
    if shown["message"]:
        return shown
    looked = [Looked(asked.contents, p, pair.part) for p in (a, b)]
    try:
        change = looked[0].change(b)
        order = np.argsort(-np.nan_to_num(change.values, nan=-1), kind="stable")
        order = order[~np.isnan(change.values[order])]
        best = [int(c) for c in order[:CHANGED]]
        rows = [{"channel": c, "change": float(change.values[c])} for c in best]
        for name, own in zip("ab", looked, strict=True):
            _add_strips(rows, name, own)
    except FstoreError as error:
        return {**shown, "message": str(error)}
    constant = [(called(own.partition), _constant(own)) for own in looked]
    return {
        **shown,
        "rows": rows,
        "n": change.n,
        "n_filters": len(change.values),
        "middle": float(np.nanmedian(change.values)) if len(order) else None,
        "constant": [each for each in constant if each[1]],
        "sorted": at("/layer", a, sort="change", other=b.ckpt),
    }


def _not_the_same(pair: Pair) -> str:
    """Say why filters of the same index are not the same filter; empty where they are."""
    a, b = pair.layer_a, pair.layer_b
    if a == b:
        return "This is one checkpoint: nothing changed. Choose another one to compare with."
    if a.network != b.network:
        return (
            f"{called(a)} and {called(b)} are different networks: filter 3 of one is not filter 3 "
            "of the other."
        )
    if a.layer != b.layer:
        return f"{a.layer} and {b.layer} are different layers: their filters are not the same."
    return ""


def _add_strips(rows: "list[dict[str, Any]]", name: str, looked: Looked) -> None:
    """Add each filter's strongest images in one checkpoint."""
    top = looked.strongest([row["channel"] for row in rows])
    p = looked.partition
    for row in rows:
        c = row["channel"]
        own = top[c]
        columns = (own.sample_ids[0, :EACH], own.values[0, :EACH], own.places[0, :EACH])
        row[name] = at("/filter", p, channel=c)
        row[f"shown_{name}"] = [
            {
                "sample": sample,
                "value": value,
                "address": at("/image", p, sample=sample),
                "picture": at("/crop", p, channel=c, sample=sample, place=place, size=96),
            }
            for sample, value, place in zip(*(column.tolist() for column in columns), strict=True)
        ]


def _constant(looked: Looked) -> int:
    """Return how many filters respond alike to all samples."""
    spread = looked.spread
    return int((spread.largest == spread.smallest).sum())


@page("/compare/aps", template="compare_aps.html")
def compare_aps(asked: Asked) -> dict[str, object]:
    """Show, by class, the best single filter of either layer and its AP."""
    pair = _pair(asked)
    try:
        rows = _classes(asked, pair)
    except FstoreError as error:
        return {"pair": pair, "rows": [], "message": str(error)}
    return {
        "pair": pair,
        "message": "",
        "names": _short_names(pair),
        "rows": rows,
        "n": len(Looked(asked.contents, pair.layer_a, pair.part).ids),
        "means": [float(np.mean([row[key] for row in rows])) for key in ("ap_a", "ap_b")],
        "chart": _aps_chart(pair, rows),
    }


def _classes(asked: Asked, pair: Pair) -> "list[dict[str, Any]]":
    """Return a row a class with a positive, by how much the two differ.

    Raises
    ------
    DataError
        No class has a positive among the samples of both.
    """
    a, b = (Looked(asked.contents, p, pair.part) for p in (pair.layer_a, pair.layer_b))
    rows = []
    for c, name in enumerate(a.aps.classes):
        if not (a.aps.positives[c] and b.aps.positives[c]):
            continue
        best = [int(own.aps.at_11[c].argmax()) for own in (a, b)]
        aps = [float(own.aps.at_11[c, i]) for own, i in zip((a, b), best, strict=True)]
        rows.append(
            {
                "class": name,
                "ap_a": aps[0],
                "ap_b": aps[1],
                "filter_a": best[0],
                "filter_b": best[1],
                "prior": float(a.aps.priors[c]),
                "positives": int(a.aps.positives[c]),
            }
        )
    if not rows:
        raise DataError("no class has a positive among these samples; choose others")
    return sorted(rows, key=lambda row: -abs(row["ap_b"] - row["ap_a"]))


def _aps_chart(pair: Pair, rows: "Sequence[Mapping[str, Any]]") -> "Markup":
    from fstore.queries.figures.ap_bars import ap_bars

    names = _short_names(pair)
    points: list[Row] = [
        {
            "class": row["class"],
            "ap": row[f"ap_{key}"],
            "prior": row["prior"],
            "n": row["positives"],
            "ckpt": name,
        }
        for name, key in zip(names, "ab", strict=False)
        for row in rows
    ]
    chart = ap_bars(points, quantity="AP of the best single filter (11 recalls, percent)")
    return embedded(chart, f"AP of the best single filter of {' and '.join(names)} by class")


def _short_names(pair: Pair) -> list[str]:
    """Return what tells the two layers apart in a legend; one name if they are the same."""
    a, b = pair.layer_a, pair.layer_b
    if a == b:
        return [a.ckpt]
    short = a.network == b.network
    names = [p.ckpt if short else called(p) for p in (a, b)]
    if a.layer != b.layer:
        names = [f"{name} {p.layer}" for name, p in zip(names, (a, b), strict=True)]
    return names
