"""Commits to a long log: one file, written if no other writer was quicker.

Delta's library holds a table's whole log to commit to it, and reads it again afterwards: 0.7 CPU
seconds at a hundred thousand files, for each shard, so that filling a store took a time that grew
with the square of its files. A commit that only adds files is one file of JSON, which must appear
under the next number or not at all. This module writes that file where a log is long; the library
writes all others, among them each hundredth, with which it writes a checkpoint of the log and
removes what is out of date of it.
"""

import json
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import quote

from fstore.store.delta_log import Log, commit_key

if TYPE_CHECKING:
    from deltalake.transaction import AddAction

    from fstore.store.place import Place

__all__ = ["append_files", "is_ours"]

LONG = 2000
"""Files in a log from which on the library is left out."""
CHECKPOINT = 100
"""Commits from one checkpoint of a log to the next: the library's number."""


def is_ours(log: Log) -> bool:
    """Whether the commit that follows a log is written here."""
    is_due = (log.version + 2) % CHECKPOINT == 0  # the library counts version 0, too
    return log.is_plain and not is_due and len(log.entries) >= LONG


def append_files(
    root: "Place", name: str, log: Log, *, added: "Sequence[AddAction]", once: Sequence[str]
) -> None:
    """Commit files to a table, as the version after a log's.

    Parameters
    ----------
    root, name : Place, str
        Store and table.
    log : Log
        What the commit is based on.
    added : sequence of AddAction
    once : sequence of str
        Of writers with the same of these, only one may commit after a version.

    Raises
    ------
    CommitFailedError
        There is a commit of that number; it may be this one, if an answer was lost.
    OSError
        It cannot be written.
    """
    from deltalake.exceptions import CommitFailedError

    now = int(time.time() * 1000)
    info = {
        "timestamp": now,
        "operation": "WRITE",
        "operationParameters": {"mode": "Append"},
        "engineInfo": f"fstore:{version('fstore')}",
    }
    # No version of a transaction is above the log's: each was committed in a version of its own.
    number = log.version + 1
    adds: list[dict[str, object]] = [{"add": _add(action)} for action in added]
    keys = [{"txn": {"appId": key, "version": number, "lastUpdated": now}} for key in once]
    actions = [{"commitInfo": info}, *adds, *keys]
    text = "".join(json.dumps(action, separators=(",", ":")) + "\n" for action in actions)
    if not root.create(commit_key(name, number), text.encode()):
        raise CommitFailedError(f"version {number} of table '{name}' was committed meanwhile")


def _add(action: "AddAction") -> dict[str, object]:
    return {
        "path": quote(action.path, safe="/="),  # a log's paths are URIs
        "partitionValues": dict(action.partition_values),
        "size": action.size,
        "modificationTime": action.modification_time,
        "dataChange": action.data_change,
        "stats": action.stats,
    }
