"""What an extraction says of itself: how far it is, and what came of it."""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["WORKER_COLUMNS", "Progress", "Summary"]

WORKER_COLUMNS = ("worker", "node", "device", "shards", "samples", "seconds", "images_per_s")
"""Of what each worker of a cluster did; seconds are those in which it computed."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands: samples done and to do, of which job, images a second."""

    job: str
    done: int
    total: int
    images_per_s: float


@dataclass(repr=False)
class Summary:
    """What a run added and where its time went.

    Of work on a cluster, ``start_s`` is what it took until the first worker was ready, and
    ``workers`` has a row of :data:`WORKER_COLUMNS` for each; the seconds of all are added up.
    """

    run_id: str = ""
    device: str = ""
    samples: int = 0
    present: int = 0
    rows: int = 0
    bytes: int = 0
    raw_bytes: int = 0
    seconds: float = 0.0
    start_s: float = 0.0
    images_s: float = 0.0
    forward_s: float = 0.0
    writer_s: float = 0.0
    encode_s: float = 0.0
    commit_s: float = 0.0
    non_finite: int = 0
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    workers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def images_per_s(self) -> float:
        """Samples a second over the whole run, without what starting a cluster took."""
        return self.samples / worked if (worked := self.seconds - self.start_s) > 0 else 0.0

    def __repr__(self) -> str:
        return (
            f"<Summary: {self.samples} samples extracted, {self.present} already there, "
            f"{len(self.quarantined)} quarantined; {self.rows} rows, {self.bytes / 1e6:.1f} MB; "
            f"{self.seconds:.1f} s on {self.device or 'no device'}, "
            f"{self.images_per_s:.1f} images/s>"
        )
