"""What a store holds, as rows with keys, and what one store lacks that another has."""

import hashlib
import json
import pickle
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deltalake import DeltaTable
from safetensors import safe_open

from fstore.store import Store
from fstore.store.places import place_at
from fstore.store.schema import TABLES
from fstore.store.verify import verify

__all__ = [
    "Contents",
    "Differences",
    "contents",
    "differences",
    "leftovers",
    "problems",
    "save",
    "strays",
]

KEYS = {
    "datasets": ("name",),
    "samples": ("dataset", "view", "sample_id"),
    "labels": ("dataset", "view", "sample_id", "class"),
    "splits": ("dataset", "view", "split", "seed", "sample_id"),
    "unreadable": ("dataset", "view", "sample_id"),
    "overlaps": ("dataset", "sample_id", "gt_sample_id"),
    "layers": ("network", "layer"),
    "checkpoints": ("network", "name"),
    "activations": ("network", "ckpt", "dataset", "view", "layer", "sample_id", "channel"),
    "detections": ("dataset", "detector", "image_id", "class", "box"),
    "reports": ("study", "report", "row", "col"),
    "studies": ("name",),
}
"""Of every table but ``runs`` and ``refreshes``, which tell of commands and not of contents."""
TIMES = {
    "trained_at",
    "registered_at",
    "noted_at",
    "created_at",
    "computed_at",
    "set_at",
    "seconds",
}
"""Columns that differ from run to run."""

Contents = dict[tuple[str, ...], Counter[str]]
"""Table and key -> the rows that have it, as texts of all other columns, with their numbers."""


@dataclass(frozen=True)
class Differences:
    """Rows that one store lacks, has more often, and has with other values or as the only one."""

    lost: int = 0
    doubled: int = 0
    stale: int = 0

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.lost or self.doubled or self.stale)


def contents(root: Path | str) -> Contents:
    """Read all rows of a store through its own reader, and the bytes of weights and detectors."""
    store = Store.open(root)
    held: Contents = {}
    for table, key in KEYS.items():
        rows = store.sql(f'SELECT * FROM "{table}"').arrow().to_pylist()
        for row in rows:
            _add(held, (table, *(_text(row[c]) for c in key)), _row(row, key))
    for folder in ("weights", "detectors", "proposals"):
        for entry in store.place.entries(folder):
            _add(held, ("file", entry.key), _digest(entry.key, store.place.read(entry.key)))
    return held


def _digest(key: str, data: bytes) -> str:
    """Return the sha256 of a file; of a detector without when it was trained and how long."""
    if Path(key).parent.name != "detectors":
        return hashlib.sha256(data).hexdigest()
    with TemporaryDirectory() as folder:
        path = Path(folder, "detector")
        path.write_bytes(data)
        with safe_open(path, "np") as file:
            about = {k: json.loads(v) for k, v in file.metadata().items()}
            about["detector"]["record"] = _row(about["detector"]["record"], ())
            tensors = {k: file.get_tensor(k).tobytes().hex() for k in file.keys()}  # noqa: SIM118
    return hashlib.sha256(_text([about, tensors]).encode()).hexdigest()


def _add(held: Contents, key: tuple[str, ...], row: str) -> None:
    held.setdefault(key, Counter())[row] += 1


def _row(row: dict[str, Any], key: tuple[str, ...]) -> str:
    text = _text({c: v for c, v in row.items() if c not in TIMES and c not in key})
    return hashlib.sha256(text.encode()).hexdigest()


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def differences(right: Contents, held: Contents) -> Differences:
    """Compare a store with one that nothing happened to."""
    lost = doubled = stale = 0
    for key in sorted(k for k in right.keys() | held.keys() if k in right or k[0] != "file"):
        wanted, got = right.get(key, Counter()), held.get(key, Counter())
        missing, more = (wanted - got).total(), (got - wanted).total()
        stale += min(missing, more) if wanted else more
        lost += max(missing - more, 0)
        doubled += max(more - missing, 0) if wanted else 0
    return Differences(lost, doubled, stale)


def strays(right: Contents, held: Contents) -> list[str]:
    """Return the files beside the tables that one store has and the other has not."""
    return sorted(key[1] for key in held.keys() - right.keys() if key[0] == "file")


def save(root: Path | str, path: Path) -> None:
    """Write the contents of a store, and what verify says of it, to a file for another process."""
    path.write_bytes(pickle.dumps((contents(root), problems(root))))


def problems(root: Path | str) -> list[str]:
    """Return what ``fstore verify`` says, without where the store is."""
    rows = verify(place_at(root))
    return [f"{row['file']}: {row['problem']}".replace(str(root), "") for row in rows]


def leftovers(root: Path | str) -> list[str]:
    """Return data files that no log names, half-written ones, leases, and states of training."""
    place = place_at(root)
    keys = [entry.key for entry in place.entries("")]
    left = [key for key in keys if key.endswith((".tmp", ".lease"))]
    left += [key for key in keys if key.startswith("training/")]
    for table in TABLES:
        log = DeltaTable(place.table(table), storage_options=place.storage_options)
        named = {uri.rpartition("/")[2] for uri in log.file_uris()}
        data = {key for key in keys if key.startswith(f"{table}/") and key.endswith(".parquet")}
        if table == "activations":
            left += sorted(k for k in data if not _in_log(k) and Path(k).name not in named)
    return left


def _in_log(key: str) -> bool:
    return "_delta_log" in Path(key).parts
