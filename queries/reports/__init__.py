"""The paper's tables and figures: one file each, registered by name in :data:`REPORTS`."""

from fstore.queries.cells.needs import REPORTS, Cell, Need, Reading, Samples, report
from fstore.registry import import_siblings

__all__ = ["REPORTS", "Cell", "Need", "Reading", "Samples", "report"]

import_siblings(__name__, list(__path__))
