"""Whether a layer tells classes at all: what counts its filters, or ranks them, needs that."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from fstore.queries.cells.needs import BESIDE
from fstore.queries.findings._api import Facts
from fstore.queries.findings._numbers import Number

__all__ = [
    "CHANCE",
    "CLEAR",
    "Pairs",
    "best_and_complete",
    "is_told",
    "only_if",
    "set_sizes",
    "tells_classes",
]

CHANCE = "That the layer tells classes is not known, or not clear of chance."

CLEAR = 10.0
"""Points of AP that tell a class from chance; ours: a share of what is hardly above it is noise."""

Pairs: TypeAlias = Mapping[str, tuple[Number, Number]]
"""Class -> AP of the best filter, and of all together."""


def tells_classes(facts: Facts, layer: str, role: str = "pretrained") -> bool | None:
    """Say whether a layer tells classes at all: None where it does not, or it is not known.

    Of the mid layer: whether all filters tell at least half of the classes clearly, where
    Figures 3 and 4 are known. Else whether its mean AP in Table 7 or 3 is clear of chance.
    """
    if layer == facts.mid_layer and (classes := best_and_complete(facts, role)):
        clear = [is_told(facts, k, role, complete=pair[1]) for k, pair in classes.items()]
        return True if 2 * sum(clear) >= len(clear) else None
    last = facts.sweep[-1].name if facts.sweep else ""
    known = (facts.number("table7", layer, "none"), facts.number("table3", layer, last))
    number = next((n for n in known if n is not None), None)
    return True if number is not None and number.is_clear else None


def only_if(tells: Sequence[bool | None], checks: Iterable[bool | None]) -> list[bool | None]:
    """Return checks that count only where a layer tells classes."""
    return [None for _ in checks] if None in tells else list(checks)


def is_told(facts: Facts, name: str, role: str, *, complete: Number) -> bool:
    """Say whether a class's complete AP is clearly above the precision of a random filter."""
    prior = facts.number("figure3", f"{name} {role} 1", "prior")
    return prior is not None and complete.value >= 100 * prior.value + CLEAR


def best_and_complete(facts: Facts, role: str) -> dict[str, tuple[Number, Number]]:
    """Return the AP of the best filter and of all filters together, by class."""
    ending, classes = f" {role}", {}
    for row in facts.names("figure4"):
        if row.endswith(ending):
            best, complete = facts.number("figure3", f"{row} 1", "ap"), _complete(facts, row)
            if best is not None and complete is not None and complete.value > 0:
                classes[row.removesuffix(ending)] = best, complete
    return classes


def _complete(facts: Facts, row: str) -> Number | None:
    """Return the AP of the largest set of filters of a row of Figure 4."""
    sizes = set_sizes(facts, row)
    return facts.number("figure4", row, f"{max(sizes)}{BESIDE}ap") if sizes else None


def set_sizes(facts: Facts, row: str) -> list[int]:
    """Return the sizes of the sets of filters in a row of Figure 4."""
    return [int(col) for col in facts.row("figure4", row)]
