"""How each report is labelled on the page; one that is not here gets a plain look.

They are not in the reports' own files on purpose: a report's source is part of the fingerprint of
its cells, and another word on the page is no reason to compute them again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fstore.queries.reports import is_own
from fstore.words import worded

__all__ = ["LOOKS", "Look", "look_of"]


@dataclass(frozen=True, slots=True)
class Look:
    """How a report's rows become a table and its headings.

    Attributes
    ----------
    quantity, row, col : str
        What is measured, with its unit; what a row and a column are.
    series : {"row", "col"}
        Whose names are made of the values of ``facets``.
    facets : tuple of str
        Names of the words that such a name is made of, the last ones first to be split off.
    digits : int
        Decimals shown in tables.
    named : bool
        Whether columns are names of the store (classes, checkpoints), which are shown as they are;
        else they are ours, and are put in words.
    turned : bool
        Whether a table has the report's columns as its lines: they are many, and the rows few.
    whole : tuple of str
        Columns of whole numbers, which have no decimals.
    spread : str
        What the deviation is over.
    priors : bool
        Whether lines are classes, whose priors stand beside.
    """

    quantity: str = "Value"
    row: str = "Row"
    col: str = "Column"
    series: str = "row"
    facets: tuple[str, ...] = ()
    digits: int = 1
    named: bool = False
    turned: bool = False
    whole: tuple[str, ...] = ()
    spread: str = "over runs"
    priors: bool = False

    def col_text(self, col: str) -> str:
        """Return a column's name as it is shown."""
        return col if self.named else worded(col)

    def row_text(self, row: str, roles: Mapping[str, str]) -> str:
        """Return a row's name as it is shown, with the checkpoint that a role stands for."""
        return " ".join(self.parts(row, roles).values()) if self.by_row else row

    @property
    def by_row(self) -> bool:
        """Whether a row's name is made of the values of facets."""
        return self.series == "row" and bool(self.facets)

    def parts(self, name: str, roles: Mapping[str, str]) -> dict[str, str]:
        """Return the value of each facet in a series' label; the last words are split off first.

        Examples
        --------
        >>> look_of("s_figure1").parts("sp_max conv1 pretrained", {"pretrained": "305k"})
        {'Measure': 'sp-max', 'Layer': 'conv1', 'Checkpoint': 'pre-trained (305k)'}
        >>> look_of("table3").parts("scratch", {})  # a layer is called as it is
        {'Layer': 'scratch'}
        """
        facets = self.facets or (self.row if self.series == "row" else self.col,)
        words = name.rsplit(" ", len(facets) - 1)
        if len(words) != len(facets):
            return dict.fromkeys(facets, name)
        return {f: self._value(f, w, roles) for f, w in zip(facets, words, strict=True)}

    def _value(self, facet: str, word: str, roles: Mapping[str, str]) -> str:
        """Return one facet's value: a role with its checkpoint, a name of ours in words."""
        if facet == "Checkpoint" and self.by_row and word in roles:
            return f"{worded(word)} ({roles[word]})"
        ours = facet in OURS or (self.series == "col" and not self.named)
        return worded(word) if ours else word


OURS = ("Ablation", "Code", "Measure", "Quantity", "Training")
"""Facets whose values are names of ours."""

_MEAN_AP = "Mean average precision (percent)"
_TASKS = Look("Accuracy or mean AP (percent)", "Task", "Training", "col", ("Training",))
_LAYERS = Look(_MEAN_AP, "Layer", "Ablation", "col", ("Ablation",))
_SELECTIVITY = Look(
    "MCAuE (nats; lower is more selective)",
    "Layer and checkpoint",
    "Fraction of the filters",
    facets=("Layer", "Checkpoint"),
    digits=3,
)
_NEEDED = Look(
    "Filters needed",
    "Checkpoint and share",
    "Class",
    facets=("Checkpoint", "Share"),
    digits=0,
    named=True,
    turned=True,
    priors=True,
)
_FRACTIONS = Look(
    "Fraction of the complete AP",
    "Class and checkpoint",
    "Number of filters",
    facets=("Class", "Checkpoint"),
    digits=2,
)

LOOKS: dict[str, Look] = {
    "table1": _TASKS,
    "table2": _TASKS,
    "table3": Look(
        _MEAN_AP,
        "Layer",
        "Checkpoint along pre-training",
        facets=("Layer",),
        named=True,
    ),
    "table4": replace(_TASKS, col="Pre-trained for", facets=("Pre-trained for",), named=True),
    "table5": _NEEDED,
    "table6": Look(
        "Non-zero responses (percent)",
        "Layer",
        "Quantity",
        "col",
        spread="over images: how these differ",
    ),
    "table7": _LAYERS,
    "table7_accuracy": replace(_LAYERS, quantity="Class-averaged accuracy (percent)"),
    "table8": Look(_MEAN_AP, "Layer", "Ablation", spread="of a bootstrap over test images"),
    "table9": Look(
        "Decrease of MCAuE (percent)",
        "Layer",
        "Measure and fraction of filters",
        "col",
        ("Measure", "Fraction"),
        digits=2,
        turned=True,
    ),
    "table10": _NEEDED,
    "retrieval": replace(
        _LAYERS,
        quantity=f"Retrieval, {_MEAN_AP[0].lower()}{_MEAN_AP[1:]}",
        col="Code",
        facets=("Code",),
        spread="over queries: how these differ, not how sure the mean is",
    ),
    "figure1": _SELECTIVITY,
    "figure2": Look(
        "Cosine to the last state",
        "Checkpoint",
        "Quantity",
        digits=3,
        spread="over filters: how these differ",
    ),
    "figure3": Look(
        "Precision",
        "Class, checkpoint and rank",
        "Recall",
        facets=("Class", "Checkpoint", "Rank"),
        digits=3,
        whole=("channel",),
    ),
    "figure4": _FRACTIONS,
    "figure5": Look(
        "Share of the best filters in common",
        "Class",
        "Class",
        digits=2,
        named=True,
        whole=("top",),
    ),
    "figure6": Look(
        "Response",
        "Filter and ablation",
        "Row and column",
        digits=3,
        facets=("Filter", "Ablation"),
        whole=("sample_id",),
    ),
    "s_figure1": replace(
        _SELECTIVITY, row="Measure, layer and checkpoint", facets=("Measure", "Layer", "Checkpoint")
    ),
    "s_figure2": _FRACTIONS,
}


def look_of(name: str) -> Look:
    """Return how a report is shown."""
    return LOOKS.get(name, Look(digits=3, named=True, spread="") if is_own(name) else Look())
