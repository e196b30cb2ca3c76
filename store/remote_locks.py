"""Locks and leases in object storage: objects that their holder renews as long as it lives.

Nothing frees an object when its holder dies, and no two machines' clocks agree. So a holder renews
its object, each time with other content, and each time only if nobody else has changed it. An
object that was not renewed for as long as its holder said is free to be taken over. How long ago
that was is told by the server's clock alone, which times every object.

A holder that is stopped for so long (a suspended machine, a broken network) loses its lock. It
learns so at the end, at the latest, and fails then.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from fstore.errors import StorageError
from fstore.store.conditional import Version, look, put_if

if TYPE_CHECKING:
    from fstore.store.objects import Objects

__all__ = ["alone", "is_held", "lease", "oldest_lease"]

EXPIRES_S = 30.0
"""After that long without being renewed, a lock or lease is nobody's."""
BEATS = 6
"""How often it is renewed in that time."""
POLL_SECONDS = 1.0
PREFIX, SUFFIX = "work-", ".lease"
CLOCK = "clock"
CLOCK_S = 60.0
"""For that long the server's time is reckoned from when it was asked for."""
SLACK_S = 2.0
"""The server's times are of whole seconds."""

_clocks: dict[str, tuple[float, float]] = {}  # place -> (this machine's ticks, server's time)


@dataclass
class Held:
    """An object that is renewed until it is let go."""

    place: "Objects"
    key: str
    version: Version
    content: dict[str, Any]
    is_lost: bool = False

    def __post_init__(self) -> None:
        self.renewed = time.monotonic()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._renew_on, daemon=True)
        self._thread.start()

    def _renew_on(self) -> None:
        while not self._ends.wait(self.content["expires_s"] / BEATS) and not self.is_lost:
            with suppress(StorageError):  # no network: the next beat may get through
                self._renew()

    def _renew(self) -> None:
        content, began = self.content | {"beat": uuid4().hex}, time.monotonic()
        version = put_if(self.place.bucket, self.key, _text(content), version=self.version)
        if version is None:
            self.is_lost = True
        else:
            self.renewed = began
            self.version, self.content = version, content

    def stop(self) -> None:
        """Renew it no more."""
        self._ends.set()
        self._thread.join()


@contextmanager
def alone(
    place: "Objects",
    key: str,
    on_wait: Callable[[], object] | None = None,
    *,
    poll_s: float | None = None,
) -> Iterator[None]:
    """Wait until no other process, or thread, holds an object, and hold it.

    Parameters
    ----------
    place, key : Objects, str
        The object, which is made for the purpose and stays.
    on_wait : callable or None
        Called whenever the lock is found not free. What it raises ends the waiting.
    poll_s : float or None
        Seconds between two looks; None for :data:`POLL_SECONDS`.

    Raises
    ------
    StorageError
        The server does not answer, or the lock was lost before the work was done.
    """
    while (held := _take(place, key)) is None:
        if on_wait is not None:
            on_wait()
        time.sleep(POLL_SECONDS if poll_s is None else poll_s)
    try:
        yield
    finally:
        held.stop()
        is_lost = held.is_lost or not _free(held)
    if is_lost:
        raise StorageError(
            f"{place.uri(key)}: this program was out of touch with the server for more than "
            f"{held.content['expires_s']:.0f} s, and another took over its lock; look whether what "
            "it did is there, and run the same command again"
        )


def _take(place: "Objects", key: str) -> Held | None:
    """Take a lock if nobody has it."""
    now = look(place.bucket, key)
    if now is not None and _is_in_force(place, now):
        return None
    content = _about("") | {"beat": uuid4().hex}
    version = put_if(place.bucket, key, _text(content), version=None if now is None else now[1])
    return None if version is None else Held(place, key, version, content)


def _free(held: Held) -> bool:
    """Write that a lock is nobody's, unless somebody else has taken it over."""
    free = _text({"owner": None, "beat": uuid4().hex})

    def is_ours(_: bytes) -> bool:
        """After a lost answer: nobody takes over a lock that was renewed a moment ago."""
        return time.monotonic() - held.renewed < float(held.content["expires_s"])

    version = put_if(held.place.bucket, held.key, free, version=held.version, is_ours=is_ours)
    return version is not None


def is_held(place: "Objects", key: str) -> bool:
    """Tell whether somebody holds a lock."""
    now = look(place.bucket, key)
    return now is not None and _is_in_force(place, now)


@contextmanager
def lease(place: "Objects", folder: str, what: str) -> Iterator[None]:
    """Keep an object as long as work lasts.

    Raises
    ------
    StorageError
        The server does not answer.
    """
    key, content = f"{folder}/{PREFIX}{uuid4().hex}{SUFFIX}", _about(what)
    version = put_if(place.bucket, key, _text(content), version=None)
    held = _Lease(place, key, str(version), content)
    try:
        yield
    finally:
        held.stop()
        with suppress(StorageError):  # a lease that stays is nobody's soon
            place.delete(key)


class _Lease(Held):
    """A lease says when it began, by the server's clock: each renewal changes its time."""

    def _renew(self) -> None:
        if "began" not in self.content:
            entry = self.place.entry(self.key)
            if entry is not None:
                self.content = self.content | {"began": entry.written}
        super()._renew()
        if self.is_lost:  # taken for a dead one's, and deleted: it is made again
            content = self.content | {"beat": uuid4().hex}
            version = put_if(self.place.bucket, self.key, _text(content), version=None)
            self.is_lost = version is None
            self.version = version or self.version


def oldest_lease(place: "Objects", folder: str) -> float:
    """Return since when files are spared: the start of the oldest lease in force, or infinity.

    Leases that were not renewed are removed.
    """
    since = float("inf")
    for name in place.names(folder):
        if not (name.startswith(PREFIX) and name.endswith(SUFFIX)):
            continue
        key = f"{folder}/{name}"
        now = look(place.bucket, key)
        if now is None:
            continue
        if _is_in_force(place, now):
            since = min(since, float(_parsed(now[0]).get("began", now[2])) - SLACK_S)
        else:
            place.delete(key)
    return since


def _is_in_force(place: "Objects", seen: tuple[bytes, Version, float]) -> bool:
    """Whether an object is somebody's, who has renewed it lately."""
    content = _parsed(seen[0])
    if content.get("owner") is None:
        return False
    return _server_time(place) - seen[2] < float(content.get("expires_s", EXPIRES_S)) + SLACK_S


def _server_time(place: "Objects") -> float:
    """Return the server's time, reckoned from when it last timed an object of ours."""
    known = _clocks.get(place.address)
    if known is None or not 0 <= time.monotonic() - known[0] < CLOCK_S:
        key = f"locks/{CLOCK}-{uuid4().hex}"
        place.write(key, b"")
        ticks, entry = time.monotonic(), place.entry(key)
        place.delete(key)
        if entry is None:
            raise StorageError(f"{place.uri(key)} was deleted as soon as it was written")
        known = _clocks[place.address] = ticks, entry.written
    return known[1] + time.monotonic() - known[0]


def _about(what: str) -> dict[str, Any]:
    """Return what a lock or lease says: who holds it, for people and for the next."""
    return {
        "owner": uuid4().hex,
        "what": what,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "expires_s": EXPIRES_S,
    }


def _text(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode()


def _parsed(data: bytes) -> dict[str, Any]:
    """Return what a lock or lease says; of one that nobody can read, that it is somebody's."""
    try:
        content = dict(json.loads(data))
        float(content.get("expires_s", EXPIRES_S))
        float(content.get("began", 0))
    except (ValueError, TypeError):
        return {"owner": "?"}
    return content
