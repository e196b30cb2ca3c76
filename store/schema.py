"""The tables of a store: column names, types, units, partition keys. Stated here, once.

Every table is a Delta table, a folder of hive-partitioned Parquet with a transaction log.
:data:`TABLES` maps a table's name to its :class:`Table`; ``docs/store.md`` explains the columns.
A change here bumps :data:`SCHEMA_VERSION`; ``upgrade.py`` brings older stores up to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from fstore.errors import SchemaError

__all__ = ["PARTITION", "SCHEMA_VERSION", "SUMMARIES", "TABLES", "Table", "check_rows"]

SCHEMA_VERSION = 4
"""Version 1 had no table ``refreshes`` and no ``seconds`` in ``reports``; version 2 had no
table ``unreadable``, no ``proposals`` in ``datasets`` and no ``seconds`` in ``runs``; version 3
had no ``draws`` in ``reports``. See ``upgrade.py``."""

TEXT, INT, LONG = pa.string(), pa.int32(), pa.int64()
REAL, DOUBLE, BOOL = pa.float32(), pa.float64(), pa.bool_()
TIME = pa.timestamp("us", tz="UTC")
BOX = pa.struct([("xmin", DOUBLE), ("ymin", DOUBLE), ("xmax", DOUBLE), ("ymax", DOUBLE)])
VIEW_ROW = pa.struct([("view", TEXT), ("samples", LONG), ("manifest", TEXT), ("labels", TEXT)])
BAD_ROW = pa.struct(
    [("dataset", TEXT), ("view", TEXT), ("sample_id", LONG), ("uri", TEXT), ("reason", TEXT)]
)

NETWORK, CKPT, DATASET, VIEW, LAYER = "network", "ckpt", "dataset", "view", "layer"
SAMPLE_ID, CHANNEL = "sample_id", "channel"
ACT_MAX, ACT_SUM, NNZ, NPOS, ARGMAX, MAP = "act_max", "act_sum", "nnz", "npos", "argmax", "map"

PARTITION = (NETWORK, CKPT, DATASET, VIEW, LAYER)
"""Partition columns of ``activations``, outermost first; values are always strings."""


@dataclass(frozen=True)
class Table:
    """One table: its columns and the columns that become folders."""

    name: str
    schema: pa.Schema
    partition: tuple[str, ...] = ()

    @property
    def file_schema(self) -> pa.Schema:
        """Columns inside the files: all but the partition columns."""
        return pa.schema([f for f in self.schema if f.name not in self.partition])


def _table(name: str, columns: Mapping[str, pa.DataType], *partition: str) -> Table:
    return Table(name, pa.schema(list(columns.items())), partition)


TABLES: dict[str, Table] = {
    t.name: t
    for t in (
        _table(
            "datasets",
            {
                "name": TEXT,
                "format": TEXT,
                "task": TEXT,  # single, multi or none
                "classes": pa.list_(TEXT),
                "root": TEXT,  # folder of the images; inside the store: relative to it
                "views": pa.list_(VIEW_ROW),  # with the hashes of samples and of labels
                "registered_at": TIME,
                "proposals": TEXT,  # JSON: how view proposal was found; NULL: no such view
            },
        ),
        _table(
            "samples",
            {
                DATASET: TEXT,
                VIEW: TEXT,
                SAMPLE_ID: LONG,  # dense from 0 within (dataset, view), never reused
                "image_id": TEXT,
                "uri": TEXT,  # relative to the data set's root
                "digest": TEXT,  # BLAKE2b-128 of the file
                "width": INT,  # pixels of the whole image
                "height": INT,
                "box": BOX,  # 1-based, inclusive; NULL for whole images
                "difficult": BOOL,
            },
            DATASET,
            VIEW,
        ),
        _table(
            "labels",
            {DATASET: TEXT, VIEW: TEXT, SAMPLE_ID: LONG, "class": TEXT, "label": INT},
        ),
        _table(
            "splits",
            {DATASET: TEXT, VIEW: TEXT, "split": TEXT, "seed": LONG, SAMPLE_ID: LONG, "part": TEXT},
        ),
        _table(
            "unreadable",  # samples whose images cannot be read
            {
                DATASET: TEXT,
                VIEW: TEXT,
                SAMPLE_ID: LONG,
                "uri": TEXT,
                "reason": TEXT,
                "noted_at": TIME,
            },
        ),
        _table(
            "overlaps",
            {DATASET: TEXT, SAMPLE_ID: LONG, "gt_sample_id": LONG, "class": TEXT, "iou": REAL},
            DATASET,
        ),
        _table(
            "layers",
            {
                NETWORK: TEXT,
                LAYER: TEXT,
                "channels": INT,
                "height": INT,
                "width": INT,
                "kind": TEXT,  # conv (maps) or fc (one value a channel)
                "order": INT,
                "definition": TEXT,  # hash of the computation from the input to the tap
            },
        ),
        _table(
            "checkpoints",
            {
                NETWORK: TEXT,
                "name": TEXT,
                "iteration": LONG,
                "lr": DOUBLE,
                "seed": LONG,
                "loss": DOUBLE,
                "parent": TEXT,
                "recipe": TEXT,  # JSON
                "preprocessing": TEXT,  # JSON
                "preprocessing_hash": TEXT,
                "sha256": TEXT,  # of the tensors
                "uri": TEXT,  # relative to the store
                "created_at": TIME,
            },
        ),
        _table(
            "activations",
            {
                NETWORK: TEXT,
                CKPT: TEXT,
                DATASET: TEXT,
                VIEW: TEXT,
                LAYER: TEXT,
                SAMPLE_ID: LONG,
                CHANNEL: INT,
                ACT_MAX: REAL,
                ACT_SUM: DOUBLE,  # NULL on disk where the map is 1x1, as the next four
                NNZ: INT,
                NPOS: INT,
                ARGMAX: INT,
                MAP: pa.list_(REAL),
            },
            *PARTITION,
        ),
        _table(
            "detections",
            {
                DATASET: TEXT,
                "detector": TEXT,
                "image_id": TEXT,
                "class": TEXT,
                "score": REAL,
                "box": BOX,
            },
            DATASET,
        ),
        _table(
            "runs",
            {
                "run_id": TEXT,
                "kind": TEXT,  # extract, proposals, ...; see runs.py
                "started_at": TIME,
                "finished_at": TIME,
                "exit": TEXT,  # ok, failed, interrupted; schedule: running, killed as well
                "message": TEXT,
                "parameters": TEXT,  # JSON
                "fingerprints": TEXT,  # JSON: partition -> fingerprint
                "versions": TEXT,  # JSON: library -> version
                "device": TEXT,
                "samples": LONG,
                "rows": LONG,
                "bytes": LONG,
                "images_per_s": DOUBLE,
                "quarantined": pa.list_(BAD_ROW),
                "seconds": DOUBLE,  # NULL: an older fstore did not note them
            },
        ),
        _table(
            "reports",
            {
                "study": TEXT,
                "report": TEXT,
                "row": TEXT,
                "col": TEXT,
                "value": DOUBLE,
                "std": DOUBLE,
                "n": LONG,
                "fingerprint": TEXT,  # of its inputs, its parameters and code_version
                "code_version": TEXT,
                "inputs": TEXT,  # JSON: what was read, with versions
                "computed_at": TIME,
                "seconds": DOUBLE,  # of computing; NULL: an older fstore did not note them
                "draws": pa.list_(REAL),  # value in draws of the test set; NULL: not drawn
            },
        ),
        _table(
            "refreshes",
            {
                "refresh_id": TEXT,
                "study": TEXT,
                "report": TEXT,
                "finished_at": TIME,
                "fingerprints": pa.list_(TEXT),  # of the cells that the report has since then
            },
        ),
        _table("studies", {"name": TEXT, "toml": TEXT, "set_at": TIME}),
    )
}

SUMMARIES: dict[str, Table] = {
    t.name: t
    for t in (
        _table("sample_totals", {**dict.fromkeys(PARTITION, TEXT), SAMPLE_ID: LONG, NNZ: LONG}),
        _table(
            "strongest_samples",
            {
                **dict.fromkeys(PARTITION, TEXT),
                CHANNEL: INT,
                "rank": INT,  # from 1, the largest response; of equal ones the smaller sample first
                SAMPLE_ID: LONG,
                ACT_MAX: REAL,
                ARGMAX: INT,
            },
        ),
    )
}
"""What SQL can ask of activations without reading their rows: see ``summaries.py``."""


def check_rows(table: Table, rows: pa.Table) -> pa.Table:
    """Return ``rows`` with the table's columns in order and of its types.

    Raises
    ------
    SchemaError
        A column is missing, unknown, or does not convert without loss.
    """
    expected, given = set(table.schema.names), set(rows.schema.names)
    if expected != given:
        missing, unknown = sorted(expected - given), sorted(given - expected)
        raise SchemaError(
            f"rows for table '{table.name}' lack columns {missing} and have unknown {unknown}"
        )
    try:
        return rows.select(table.schema.names).cast(table.schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaError(f"rows for table '{table.name}' have a wrong type: {error}") from error
