"""Checkpoints of a Delta log: a summary of its commits, which a broken one must not hide.

Delta's library opens a table by the newest checkpoint, and fails if that one is cut off or gone,
although the commits that it sums up are all there. The summary is then dropped, and the commits
are read.
"""

import json
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet as pq

__all__ = ["drop_broken_checkpoints"]

HINT = "_last_checkpoint"
"""File that names the newest checkpoint."""


def drop_broken_checkpoints(log: Path) -> bool:
    """Put checkpoints out of the way that nobody can read, if all commits are whole.

    They are renamed to ``NAME.damaged``, which Delta does not look at. Nothing is touched where a
    commit is missing or broken: the checkpoint might be all that is left of it.

    Parameters
    ----------
    log : Path
        Folder ``_delta_log`` of a table.

    Returns
    -------
    bool
        Whether something was put out of the way, so that opening the table may work now.
    """
    try:
        if not _whole(log):
            return False
        broken = [p for p in log.glob("*.checkpoint*.parquet") if not _readable(p)]
        hint = log / HINT
        misleads = hint.exists() and (bool(broken) or not _names_one(hint))
        for path in broken:
            path.replace(path.with_name(f"{path.name}.damaged"))
        if misleads:
            hint.unlink(missing_ok=True)
    except OSError:  # a store that cannot be written: the first error is told
        return False
    return bool(broken) or misleads


def _whole(log: Path) -> bool:
    """Whether every commit from the first one on is there and is JSON."""
    commits = sorted(p for p in log.glob("*.json") if p.stem.isdigit() and len(p.stem) == 20)
    if not commits or [int(p.stem) for p in commits] != list(range(len(commits))):
        return False
    try:
        for path in commits:
            for line in path.read_text("utf-8").splitlines():
                json.loads(line)
    except ValueError:
        return False
    return True


def _readable(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def _names_one(hint: Path) -> bool:
    """Whether the hint names a checkpoint that is there."""
    try:
        version = int(json.loads(hint.read_text("utf-8"))["version"])
    except (ValueError, KeyError, TypeError):
        return False
    return any(hint.parent.glob(f"{version:020d}.checkpoint*.parquet"))
