"""The errors that a user can cause; one ``except FstoreError`` catches them all.

::

    FstoreError(Exception)
    ├── UnknownNameError   (LookupError)      network, checkpoint, dataset, layer, report
    ├── DataError          (ValueError)       image, file or array unfit for the question
    ├── SchemaError        (ValueError)       a stored table differs from store/schema.py
    ├── IdentityError      (ValueError)       same name, other content; says which part differs
    ├── QueryError         (ValueError)       SQL that is refused or fails
    ├── EngineError        (RuntimeError)     a cluster is not reached, or lost what a run needs
    ├── StorageError       (OSError)          the disk is full, a store is missing or damaged
    └── MissingExtraError  (ImportError)      optional library not installed

A message says what was wrong, what was expected and what to do. Messages quote those of libraries,
some of which colour theirs for a terminal: the codes are left out.
"""

import re

__all__ = [
    "DataError",
    "EngineError",
    "FstoreError",
    "IdentityError",
    "MissingExtraError",
    "QueryError",
    "SchemaError",
    "StorageError",
    "UnknownNameError",
]


_CODES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
"""Of terminals: colours and movements, titles and links, single letters."""


class FstoreError(Exception):
    """Base of every error that a user can cause."""

    def __str__(self) -> str:
        """Return the message, without codes for terminals."""
        return _CODES.sub("", super().__str__())


class UnknownNameError(FstoreError, LookupError):
    """A name that is not there, or that fits more than one thing.

    Attributes
    ----------
    dataset : str
        The data set that is not there, or lacks what was asked of it; empty if it is about none.
    """

    def __init__(self, *args: object, dataset: str = "") -> None:
        super().__init__(*args)
        self.dataset = dataset


class DataError(FstoreError, ValueError):
    """An image, a file or an array is unfit for the question."""


class SchemaError(FstoreError, ValueError):
    """A table differs from what ``store/schema.py`` says."""


class IdentityError(FstoreError, ValueError):
    """The same name stands for other content already."""


class QueryError(FstoreError, ValueError):
    """A SQL statement is refused or fails."""


class EngineError(FstoreError, RuntimeError):
    """A cluster cannot be reached, differs from this program, or lost what a run needs."""


class StorageError(FstoreError, OSError):
    """The disk is full, or a store is missing or damaged."""


class TrustError(FstoreError, PermissionError):
    """A store names code as a network, and the user has not agreed to run it."""


class MissingExtraError(FstoreError, ImportError):
    """An optional library is not installed."""
