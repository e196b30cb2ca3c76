"""The paper's tables and figures: one file each, registered by name in :data:`REPORTS`."""

from fstore.queries.cells.needs import Cell, Need, Reading
from fstore.queries.cells.registry import REPORTS, report
from fstore.queries.samples.labels import Samples
from fstore.registry import import_siblings

__all__ = ["REPORTS", "Cell", "Need", "Reading", "Samples", "report"]

import_siblings(__name__, list(__path__))
