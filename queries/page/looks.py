"""How each report is labelled and drawn on the page; one that is not here gets a plain look.

They are not in the reports' own files on purpose: a report's source is part of the fingerprint of
its cells, and another colour on the page is no reason to compute them again.
"""

from dataclasses import dataclass, replace

__all__ = ["LOOKS", "WORDS", "Look", "look_of", "worded"]


@dataclass(frozen=True, slots=True)
class Look:
    """How a report's rows become a table's headings and a chart.

    Attributes
    ----------
    kind : {"bars", "lines", "curve", "points", "filters", "precision", "matrix", "maps"}
        ``bars``, ``lines`` and ``points`` stand over names, a ``curve`` over numbers; the others
        are drawn by a function of their own.
    quantity, row, col : str
        What is measured, with its unit; what a row and a column are.
    series : {"row", "col"}
        Which of them is drawn as one series; the other is along x.
    facets : tuple of str
        Names of the words that a series' label is made of, the last ones first to be split off.
    colour : str
        The facet that is told by colour; ``mark``: the one told by stroke or symbol.
    ordered : bool
        Whether that facet is a sequence (layers, iterations): then colours run along a scale.
    choose : str
        The facet of which one value is drawn at a time; ``every``: all of them at first.
    digits : int
        Decimals shown in tables.
    log_x, log_y : bool
        Logarithmic axes.
    pictures : bool
        Whether the report's own plot shows what numbers cannot, and comes first.
    """

    kind: str = "bars"
    quantity: str = "Value"
    row: str = "Row"
    col: str = "Column"
    series: str = "row"
    facets: tuple[str, ...] = ()
    colour: str = ""
    mark: str = ""
    ordered: bool = False
    choose: str = ""
    every: bool = False
    digits: int = 1
    log_x: bool = False
    log_y: bool = False
    pictures: bool = False

    @property
    def over(self) -> str:
        """What is along x."""
        return self.col if self.series == "row" else self.row


_MEAN_AP = "Mean average precision (percent)"
_TASKS = Look("bars", "Accuracy or mean AP (percent)", "Task", "Training", "col", ("Training",))
_LAYERS = Look("bars", _MEAN_AP, "Layer", "Ablation", "col", ("Ablation",))
_SELECTIVITY = Look(
    "curve", "MCAuE (nats; lower is more selective)", "Layer and checkpoint",
    "Fraction of the filters", facets=("Layer", "Checkpoint"), colour="Layer", mark="Checkpoint",
    ordered=True, digits=3,
)  # fmt: skip
_NEEDED = Look(
    "points", "Filters needed", "Checkpoint and share", "Class", facets=("Checkpoint", "Share"),
    colour="Checkpoint", mark="Share", digits=0, log_y=True,
)  # fmt: skip
_FRACTIONS = Look(
    "curve", "Fraction of the complete AP", "Class and checkpoint", "Number of filters",
    facets=("Class", "Checkpoint"), colour="Checkpoint", choose="Class", every=True, digits=2,
    log_x=True,
)  # fmt: skip

LOOKS: dict[str, Look] = {
    "table1": _TASKS,
    "table2": _TASKS,
    "table3": Look(
        "lines", _MEAN_AP, "Layer", "Checkpoint", facets=("Layer",), colour="Layer", ordered=True
    ),
    "table4": replace(_TASKS, col="Pre-trained for", facets=("Pre-trained for",), ordered=True),
    "table5": _NEEDED,
    "table6": Look("bars", "Non-zero responses (percent)", "Layer", "Quantity", "col"),
    "table7": _LAYERS,
    "table7_accuracy": replace(_LAYERS, quantity="Class-averaged accuracy (percent)"),
    "table8": Look("bars", _MEAN_AP, "Layer", "Ablation"),
    "table9": Look(
        "lines", "Decrease of MCAuE (percent)", "Layer", "Measure and fraction of filters", "col",
        ("Measure", "Fraction"), colour="Measure", mark="Fraction", digits=2,
    ),
    "table10": _NEEDED,
    "retrieval": replace(_LAYERS, quantity=f"Retrieval, {_MEAN_AP[0].lower()}{_MEAN_AP[1:]}",
                         col="Code", facets=("Code",)),
    "figure1": _SELECTIVITY,
    "figure2": Look("filters", "Cosine to the last state", "Checkpoint", "Quantity", digits=3,
                    pictures=True),
    "figure3": Look(
        "precision", "Precision", "Class, checkpoint and rank", "Recall",
        facets=("Class", "Checkpoint", "Rank"), colour="Checkpoint", choose="Class", digits=3,
    ),
    "figure4": _FRACTIONS,
    "figure5": Look("matrix", "Share of the best filters in common", "Class", "Class", digits=2),
    "figure6": Look("maps", "Response", "Filter and ablation", "Row and column", digits=3,
                    pictures=True),
    "s_figure1": replace(_SELECTIVITY, row="Measure, layer and checkpoint",
                         facets=("Measure", "Layer", "Checkpoint"), choose="Measure"),
    "s_figure2": _FRACTIONS,
}  # fmt: skip

WORDS = {
    "ap": "AP (percent)",
    "binarize": "binarized",
    "channel": "filter",
    "cosine": "cosine",
    "cosine_binarized": "cosine, binarized",
    "fc_ft": "fc-ft",
    "finetune": "fine-tuned",
    "ft": "fine-tuned",
    "hamming": "Hamming distance",
    "none": "as they are",
    "nonzero_percent": "non-zero (percent)",
    "pretrain": "pre-trained",
    "prior": "random filter",
    "scratch": "from scratch",
    "sp_max": "sp-max",
    "sp_shuffle": "sp-shuffle",
}
"""Names of columns in words."""


def look_of(name: str) -> Look:
    """Return how a report is shown."""
    return LOOKS.get(name, Look())


def worded(name: str) -> str:
    """Return a column's name in words: of several, and with what stands beside, each its own."""
    return " ".join(WORDS.get(word, word) for word in name.split(" "))
