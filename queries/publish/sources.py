"""The lineage of numbers: for readers, and as JSON beside the CSV."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fstore.csv_text import csv_rows
from fstore.queries.cells.needs import ROW_COLUMNS
from fstore.queries.publish.exhibits import Exhibit, Provenance
from fstore.types import CheckpointRecord

__all__ = ["Known", "Source", "finite", "sources", "write_csv", "write_json"]

Known = Mapping[tuple[str, str], CheckpointRecord]
"""The store's checkpoints by network and name."""


class Source:
    """What one fingerprint stands for, as lines of heading and texts."""

    def __init__(self, provenance: Provenance, records: Known) -> None:
        self.id = f"source-{provenance.fingerprint[:16]}"
        self.fingerprint = provenance.fingerprint
        self.code_version = provenance.code_version
        self.computed_at = provenance.computed_at
        self.checkpoints = [_ancestry(key, records) for key in _checkpoints(provenance)]
        self.inputs = provenance.inputs

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "computed_at": self.computed_at.isoformat(),
            "code_version": self.code_version,
            "checkpoints": self.checkpoints,
            **self.inputs,
        }


def sources(exhibit: Exhibit, records: Known) -> dict[str, Source]:
    """Return the sources of an exhibit's cells by fingerprint."""
    return {key: Source(provenance, records) for key, provenance in exhibit.provenance.items()}


def _checkpoints(provenance: Provenance) -> list[tuple[str, str]]:
    """Return network and name of the checkpoints that were read; names have no slash or space."""
    read = [*provenance.inputs.get("partitions", {}), *provenance.inputs.get("weights", {})]
    pairs = (
        text.split(" ", 1)[0].partition("/") for text in read
    )  # "network/ckpt data.view layer"
    return list(dict.fromkeys((network, ckpt) for network, _, ckpt in pairs))


def _ancestry(key: tuple[str, str], records: Known) -> dict[str, Any]:
    """Return a checkpoint and the names of those that it was trained from, nearest first."""
    network, name = key
    record = records.get(key)
    parents: list[str] = []
    at = record
    while at is not None and at.parent and at.parent not in {name, *parents}:
        parents.append(at.parent)
        at = records.get((network, at.parent))
    own = {"network": network, "name": name, "parents": parents}
    if record is None:
        return own
    return own | {"iteration": record.iteration, "sha256": record.sha256}


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as ``report show --csv`` prints them."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(ROW_COLUMNS)
        writer.writerows(csv_rows(rows, ROW_COLUMNS))


def write_json(exhibit: Exhibit, sources_of: Mapping[str, Source], path: Path) -> None:
    """Write an exhibit's rows and the lineage of each."""
    content = {
        "report": exhibit.name,
        "title": exhibit.title,
        "answers": exhibit.answers,
        "state": exhibit.state,
        "why": exhibit.why,
        "missing": [{"lack": m.lack, "command": m.command} for m in exhibit.missing],
        "rows": list(_rows(exhibit)),
        "lineage": {key: source.as_dict() for key, source in sources_of.items()},
    }
    text = json.dumps(finite(content), indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _rows(exhibit: Exhibit) -> Iterator[dict[str, Any]]:
    for row in exhibit.rows:
        paper, value = row["paper"], row["value"]
        difference = None if paper is None else value - paper
        yield {**row, "difference": difference}


def finite(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return what JSON can say of a value: None for numbers that are not finite, at any depth."""
    if isinstance(value, Mapping):
        return {key: finite(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [finite(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
