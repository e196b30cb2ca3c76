"""What is taken from responses before they become features (section 5): one file each.

What an ablation gives belongs here, in NumPy and in SQL; what that is worth belongs elsewhere.
"""

from fstore.queries.samples.ablations import paper  # what reports are computed by is their code
from fstore.queries.samples.ablations._api import (
    ABLATIONS,
    Ablation,
    Responses,
    ablation,
    ablation_module,
    ablation_sql,
    listed_ablations,
    negative_note,
    parse_ablation,
)
from fstore.registry import import_siblings

__all__ = [
    "ABLATIONS",
    "PAPER",
    "Ablation",
    "Responses",
    "ablation",
    "ablation_module",
    "ablation_sql",
    "listed_ablations",
    "negative_note",
    "parse_ablation",
]

PAPER = paper.NAMES
"""The paper's own, and responses as they are."""

import_siblings(__name__, list(__path__))
