"""Objects of a bucket: read, written and listed under keys, relative to a prefix."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fstore.store.buckets import Bucket, split_address
from fstore.store.conditional import change, put_if
from fstore.store.place import Entry
from fstore.store.remote_errors import in_words
from fstore.store.remote_files import FIRST, RangeFile

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ObjectStore

__all__ = ["Objects"]

HEADS = 1 << 16
"""Of data files, that are kept in mind."""


@dataclass(frozen=True)
class Objects:
    """What lies below a prefix of a bucket.

    The methods are those of :class:`~fstore.store.place.Place`. What a request changes is never
    changed by halves.
    """

    address: str
    """Such as ``s3://bucket/prefix``."""

    def __post_init__(self) -> None:
        scheme, bucket, prefix = split_address(self.address)
        whole = f"{scheme}://{bucket}" + (f"/{prefix}" if prefix else "")
        object.__setattr__(self, "address", whole)

    def __str__(self) -> str:
        return self.address

    @cached_property
    def bucket(self) -> Bucket:
        """The bucket, and how it is reached."""
        return Bucket(*split_address(self.address))

    @property
    def client(self) -> "ObjectStore":
        """What requests are made through."""
        return self.bucket.client()

    def uri(self, key: str) -> str:
        """Return the URI."""
        return self.bucket.uri(key)

    def names(self, folder: str) -> list[str]:
        """List what is below a prefix, up to the next slash."""
        with self.asking(folder):
            listed = self.client.list_with_delimiter(folder or None)
        below = [*listed["common_prefixes"], *(each["path"] for each in listed["objects"])]
        return [path.rstrip("/").rpartition("/")[2] for path in below]

    def entries(self, folder: str) -> Iterator[Entry]:
        """List what is below a prefix, with all slashes."""
        found = []
        with self.asking(folder):
            for some in self.client.list(folder or None):
                found += [_entry(each) for each in some]
        yield from sorted(found, key=lambda entry: entry.key)

    def entry(self, key: str) -> Entry | None:
        """Ask for a file's head."""
        try:
            with self.asking(key):
                return _entry(self.client.head(key))
        except FileNotFoundError:
            return None

    def open(self, key: str) -> RangeFile:
        """Open a file of which ranges are fetched as they are asked for; one version, or none."""
        return self.ranges(key)

    def ranges(self, key: str, *, by_thread: bool = False) -> RangeFile:
        """Open a file as :meth:`open`, for threads that are each at a place of their own."""
        with self.asking(key):
            head, tail = self.head(key)

        def fetch(start: int, stop: int) -> memoryview:
            part: GetOptions = {"range": (start, stop), "if_match": head["e_tag"]}
            with self.asking(key):
                return memoryview(self.client.get(key, options=part).bytes())

        return RangeFile(fetch, int(head["size"]), tail=tail, by_thread=by_thread)

    def head(self, key: str) -> "tuple[ObjectMeta, bytes]":
        """Return what is known of a file, and its last bytes where they came with it.

        A data file is never changed: what was known of it once is not asked for again. Readers of
        one begin at its end, so that comes in the same request.
        """
        if not key.endswith(".parquet"):
            return self.client.head(key), b""
        if key not in self._heads:
            if len(self._heads) >= HEADS:
                self._heads.clear()
            self._heads[key] = self._head_and_tail(key)
        return self._heads[key]

    def _head_and_tail(self, key: str) -> "tuple[ObjectMeta, bytes]":
        from obstore.exceptions import BaseError

        if self.bucket.scheme != "az":  # which knows no such ranges
            with suppress(BaseError):  # an empty file has no last bytes
                got = self.client.get(key, options={"range": {"suffix": FIRST}})
                return got.meta, bytes(got.bytes())
        return self.client.head(key), b""

    @cached_property
    def _heads(self) -> "dict[str, tuple[ObjectMeta, bytes]]":
        return {}

    def read(self, key: str) -> bytes:
        """Return a file's content."""
        with self.asking(key):
            return bytes(self.client.get(key).bytes())

    def create(self, key: str, data: bytes) -> bool:
        """Put an object that the server refuses if there is one."""
        return put_if(self.bucket, key, data, version=None) is not None

    def write(self, key: str, data: bytes) -> None:
        """Put an object."""
        with self.asking(key):
            self.client.put(key, data)

    def append(self, key: str, data: bytes) -> None:
        """Read the file, and write it if nobody else did meanwhile."""
        change(self.bucket, key, lambda before: (before or b"") + data)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._heads.pop(key, None)
        try:
            with self.asking(key):
                self.client.delete(key)
        except FileNotFoundError:
            pass

    @contextmanager
    def asking(self, key: str) -> Iterator[None]:
        """Have the server's errors in words, as errors of the system."""
        with in_words(self.uri(key)):
            yield


def _entry(about: Mapping[str, Any]) -> Entry:
    changed = about["last_modified"].timestamp()
    return Entry(
        key=about["path"],
        size_bytes=int(about["size"]),
        written=changed,
        touched=changed,
        version=about["e_tag"] or (about["size"], changed),
    )
