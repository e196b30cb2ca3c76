"""A layer's features as a file for other programs: by samples, with labels and provenance."""

from fstore.store.export.finding import find_files, find_partition, select_files
from fstore.store.export.formats import FORMATS, RowLabels
from fstore.store.export.source import Source, partition_source
from fstore.store.export.writing import check_out, export_features, write_features

__all__ = [
    "FORMATS",
    "RowLabels",
    "Source",
    "check_out",
    "export_features",
    "find_files",
    "find_partition",
    "partition_source",
    "select_files",
    "write_features",
]
