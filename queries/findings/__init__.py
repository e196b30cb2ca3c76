"""The paper's claims as checks on the numbers at hand, registered by name in :data:`CLAIMS`."""

from fstore.queries.findings._api import CLAIMS, Facts, Finding, SweepPoint, Verdict
from fstore.queries.findings._check import check_findings, paper_findings
from fstore.registry import import_siblings

__all__ = [
    "CLAIMS",
    "Facts",
    "Finding",
    "SweepPoint",
    "Verdict",
    "check_findings",
    "paper_findings",
]

import_siblings(__name__, list(__path__))
