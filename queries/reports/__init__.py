"""The paper's tables and figures: one file each, registered by name in :data:`REPORTS`.

A file says what each cell needs and computes it; how rows are drawn belongs in ``figures``.
"""

from fstore.queries.cells.needs import Cell, Need, Reading
from fstore.queries.cells.registry import (
    REPORTS,
    column_words,
    needs_of,
    paper_numbers,
    report,
    titled,
)
from fstore.registry import import_siblings

__all__ = [
    "REPORTS",
    "Cell",
    "Need",
    "Reading",
    "column_words",
    "needs_of",
    "paper_numbers",
    "report",
    "titled",
]

import_siblings(__name__, list(__path__))
