"""What stored responses are of, and what they were computed from."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from fstore.store.schema import PARTITION

__all__ = ["RECTIFIED", "Identity", "Partition"]

RECTIFIED = {"rectified": "max(x, 0)"}
"""The part of an identity that only layers have of which negative responses were stored as 0."""


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One layer's responses of one checkpoint to one view of a data set."""

    network: str
    ckpt: str
    dataset: str
    view: str
    layer: str

    @property
    def values(self) -> dict[str, str]:
        """Partition column -> value."""
        return {name: getattr(self, name) for name in PARTITION}

    @property
    def folder(self) -> str:
        """Path below the table, ``/`` and ``:`` in names percent-encoded."""
        return "/".join(f"{k}={quote(v, safe='')}" for k, v in self.values.items())

    def __str__(self) -> str:
        return f"{self.network}/{self.ckpt} {self.dataset}.{self.view} {self.layer}"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a partition's values depend on: part -> hash or setting; the hash of all is its name.

    Parts are ``weights``, ``definition`` (the network up to the tap), ``preprocessing``,
    ``samples`` (the view's manifest), ``stored precision`` and ``compute precision``; of some
    ``derived from`` (stored responses that the pass began at) and :data:`RECTIFIED`.
    """

    parts: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the sha256 of the parts."""
        text = json.dumps(dict(self.parts), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
