"""The paper's tables and figures: one file each, registered by name in :data:`REPORTS`.

A file says what each cell needs and computes it; how rows are drawn belongs in ``figures``. What a
study states itself, in SQL or as a function, is made a report here as well.
"""

from fstore.queries.cells.needs import Cell, Need, Reading
from fstore.queries.cells.registry import REPORTS, paper_numbers, report
from fstore.queries.reports._checked import check_own_reports
from fstore.queries.reports._of_study import (
    column_words,
    computes,
    is_own,
    needs_of,
    negative_note,
    report_of,
    reports_of,
    titled,
)
from fstore.registry import import_siblings

__all__ = [
    "REPORTS",
    "Cell",
    "Need",
    "Reading",
    "check_own_reports",
    "column_words",
    "computes",
    "is_own",
    "needs_of",
    "negative_note",
    "paper_numbers",
    "report",
    "report_of",
    "reports_of",
    "titled",
]

import_siblings(__name__, list(__path__))
