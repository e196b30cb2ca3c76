"""Data sets: one file a format; each registers its reader by name."""

from fstore.extractor.datasets._api import FORMATS, dataset_format, format_options
from fstore.extractor.datasets._files import Note, Progress, find_file
from fstore.extractor.datasets._splits import Fractions
from fstore.registry import import_siblings

__all__ = [
    "FORMATS",
    "Fractions",
    "Note",
    "Progress",
    "dataset_format",
    "find_file",
    "format_options",
]

import_siblings(__name__, list(__path__))
