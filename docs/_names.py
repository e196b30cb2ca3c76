"""Tables of what is registered: networks, formats, analyses, reports. A new entry needs no hand."""

from collections.abc import Iterable, Sequence
from typing import Any

from fstore.extractor.datasets import FORMATS
from fstore.extractor.networks import NETWORKS, build_network
from fstore.queries.analyses import ANALYSES
from fstore.queries.reports import REPORTS
from fstore.queries.samples.ablations import ABLATIONS, ablation_sql, listed_ablations
from fstore.registry import Entry, Registry

__all__ = [
    "ablation_table",
    "analysis_table",
    "format_table",
    "negative_table",
    "network_table",
    "report_table",
]


def network_table() -> str:
    """Return the networks in Markdown, with the layers that each declares."""
    rows = [(f"`{e.name}`", _sentence(e.summary), _layers(e.name)) for e in _sorted(NETWORKS)]
    rows += [
        (
            "`torchvision:NAME`",
            "every network of torchvision for single images; of a detector its backbone",
            "its stages, the levels of a pyramid",
        ),
        (
            "`path/to/file.py:function`, `package.module:function`",
            "your own: a function that returns `fstore.extractor.networks.Network`",
            "what it declares",
        ),
    ]
    return _table(("name", "what", "`--layer all` means"), rows)


def _layers(name: str) -> str:
    network = build_network(name)
    named = f"; {', '.join(network.beside)} when named" if network.beside else ""
    return ", ".join(network.layers) + named


def negative_table() -> str:
    """Return what is made of responses below 0, by ablations, analyses and reports, in Markdown."""
    told: dict[str, list[str]] = {}
    for registry in (ABLATIONS, ANALYSES, REPORTS):
        entries: list[Entry[Any]] = _sorted(registry)
        for entry in entries:
            if entry.meta["negative"]:
                told.setdefault(entry.meta["negative"], []).append(f"`{entry.name}`")
    rows = [(", ".join(dict.fromkeys(names)), text) for text, names in told.items()]
    return _table(("where", "responses below 0"), rows)


def format_table() -> str:
    """Return the formats of data sets in Markdown."""
    rows = [(f"`{e.name}`", _sentence(e.summary)) for e in _sorted(FORMATS)]
    return _table(("format", "what"), rows)


def analysis_table() -> str:
    """Return the analyses in Markdown, with where the paper asks the question."""
    rows = [(f"`{e.name}`", _sentence(e.summary), e.meta["source"]) for e in _sorted(ANALYSES)]
    return _table(("analysis", "what it does", "source"), rows)


def ablation_table() -> str:
    """Return the ablations in Markdown, with the SQL that gives the same."""
    rows = [
        (f"`{name}`", _sentence(ABLATIONS[name.partition("=")[0]].summary), _sql(name))
        for name in listed_ablations().split(", ")
    ]
    return _table(("ablation", "what it does", "in SQL, of a layer's rows `a`"), rows)


def _sql(name: str) -> str:
    """Return an ablation's statement in one line; numbers are those of an example."""
    name, _, number = name.partition("=")
    example = {"T": "=0.5", "K": "=5"}.get(number, "")
    statement = " ".join(ablation_sql(name + example, "a").split())
    statement = f"FROM ({statement})" if statement.startswith("WITH") else statement
    return f"`{statement}`"


def report_table() -> str:
    """Return the reports in Markdown, with the question that each answers."""
    rows = [(f"`{e.name}`", e.meta["title"], e.meta["answers"]) for e in _sorted(REPORTS)]
    return _table(("report", "what it shows", "question"), rows)


def _sorted(registry: Registry[Any]) -> list[Entry[Any]]:
    return sorted(registry, key=lambda entry: entry.name)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _sentence(summary: str) -> str:
    return summary.removesuffix(".")
