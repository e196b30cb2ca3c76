"""Data sets: one file a format; each registers its reader by name."""

from fstore.extractor.datasets._api import FORMATS, dataset_format
from fstore.extractor.datasets._files import Fractions, Progress
from fstore.registry import import_siblings

__all__ = ["FORMATS", "Fractions", "Progress", "dataset_format"]

import_siblings(__name__, list(__path__))
