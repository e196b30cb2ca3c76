"""Region proposals: boxes that may hold an object, from pixels alone or from published files."""

from fstore.extractor.proposals._api import METHODS, Boxes, Method, proposal_method
from fstore.extractor.proposals._search import Searched, SearchImage, search, tidy
from fstore.extractor.proposals.published import check_inside, read_published
from fstore.registry import import_siblings

__all__ = [
    "METHODS",
    "Boxes",
    "Method",
    "SearchImage",
    "Searched",
    "check_inside",
    "proposal_method",
    "read_published",
    "search",
    "tidy",
]

import_siblings(__name__, list(__path__))
