"""The paper's analyses: one file each, registered by name in :data:`ANALYSES`."""

from fstore.queries.analyses._api import ANALYSES, analysis
from fstore.registry import import_siblings

__all__ = ["ANALYSES", "analysis"]

import_siblings(__name__, list(__path__))
