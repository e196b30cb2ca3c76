"""The version of a partition: a hash of what it holds, whatever files hold it."""

import hashlib
from collections.abc import Iterable

from fstore.store.files import StoredFile

__all__ = ["partition_version"]


def partition_version(files: Iterable[StoredFile]) -> str:
    """Return a hash of the rows of a partition's files, read off their names.

    It covers the fingerprints, the number of samples and the sum modulo 2^64 of the checksums of
    all rows. Names, number and order of the files play no part, so compaction changes nothing;
    the number of rows follows from the samples, since the fingerprint fixes the layer's shape.

    Parameters
    ----------
    files : iterable of StoredFile
        All files of one partition.

    Returns
    -------
    str
        16 hex digits of a sha256; empty if there are no files.
    """
    listed = list(files)
    if not listed:
        return ""
    fingerprints = sorted({file.fingerprint for file in listed})
    n_samples = sum(file.n_samples for file in listed)
    checksum = sum(file.checksum for file in listed) % 2**64
    text = f"{','.join(fingerprints)} {n_samples} {checksum:016x}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
