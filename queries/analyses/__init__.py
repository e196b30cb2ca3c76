"""The paper's analyses: one file each, registered by name in :data:`ANALYSES`."""

from fstore.queries.analyses._api import (
    ANALYSES,
    analysis,
    ask,
    asked_types,
    option_help,
    options_of,
    source_line,
)
from fstore.queries.analyses._sweep import ask_elsewhere
from fstore.registry import import_siblings

__all__ = [
    "ANALYSES",
    "analysis",
    "ask",
    "ask_elsewhere",
    "asked_types",
    "option_help",
    "options_of",
    "source_line",
]

import_siblings(__name__, list(__path__))
