"""The formats that features are exported to: one file each, named as the ending of its files."""

from fstore.registry import import_siblings
from fstore.store.export.formats._api import FORMATS, RowLabels, Table, check_installed, file_format

__all__ = ["FORMATS", "RowLabels", "Table", "check_installed", "file_format"]

import_siblings(__name__, list(__path__))
