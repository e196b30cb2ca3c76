"""What the system says of files, in our words: in errors of Python and of Rust libraries."""

import errno
import re

from fstore.server_errors import said_by_server

__all__ = ["REASONS", "is_panic", "reason"]

REASONS = {
    errno.ENOSPC: "No space left on device: the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "read-only file system: it can be read, not written",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.ENAMETOOLONG: "the name is longer than file systems take (255 bytes)",
    errno.ENOENT: "no such file or folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EISDIR: "it is a folder, not a file",
    errno.EIO: "the disk reports an input/output error",
    errno.ELOOP: "its links lead in a circle",
    errno.EMFILE: "too many files are open; raise the limit: ulimit -n",
}
"""Of an errno."""

OF_RUST = re.compile(r"\(os error (\d+)\)")


def reason(error: BaseException) -> str:
    """Return what is wrong, in one line: our words where the system's number is known, and a path.

    Examples
    --------
    >>> reason(OSError(28, "No space left on device", "x.npy"))
    'x.npy: No space left on device: the disk is full'
    """
    number = getattr(error, "errno", None)
    if number in REASONS:
        names = [error.filename, error.filename2]  # type: ignore[attr-defined]
        where = " -> ".join(_short(str(name)) for name in names if name is not None)
        return f"{where}: {REASONS[number]}" if where else REASONS[number]
    said = said_by_server(str(error))
    if said is not None:
        return said
    text = " ".join(str(error).replace("↳", "").split())
    worded = OF_RUST.search(text)
    if worded is not None and int(worded[1]) in REASONS:
        return REASONS[int(worded[1])]
    return text or type(error).__name__


def is_panic(error: BaseException) -> bool:
    """Tell whether a Rust library gave up; that is no ``Exception``, and of no class to import."""
    return type(error).__name__ == "PanicException"


def _short(name: str) -> str:
    return name if len(name) <= 200 else f"{name[:100]}...{name[-60:]}"
