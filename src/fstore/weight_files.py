"""Hash a checkpoint's safetensors file without torch, as its weights were when registered."""

import hashlib
import json
from pathlib import Path
from typing import Any, BinaryIO

from fstore.errors import DataError

__all__ = ["MEAN_IMAGE", "weights_sha256"]

MEAN_IMAGE = "fstore.mean_image"
"""Reserved name: the mean image, part of the preprocessing and not of the weights."""

TORCH_NAMES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
"""safetensors' words for kinds of numbers, and torch's, which the hash covers."""

CHUNK = 1 << 22
LARGEST_HEADER = 100_000_000
"""Bytes; the limit of safetensors itself."""


def weights_sha256(path: Path) -> str:
    """Return the sha256 of a file's tensors: names, kinds, shapes and bytes, by name.

    The same as :func:`fstore.extractor.weights.tensors_sha256` of the tensors that torch reads
    from it, without the mean image. A few megabytes are held at a time.

    Raises
    ------
    DataError
        No such file, or no safetensors.
    """
    state = hashlib.sha256()
    try:
        with path.open("rb") as file:
            start, header = _header(file)
            for name in sorted(header):
                entry = header[name]
                shape, (first, last) = tuple(entry["shape"]), entry["data_offsets"]
                kind = TORCH_NAMES[entry["dtype"]]
                state.update(f"{name} torch.{kind} {shape}\n".encode())
                _add(state, file, start + first, last - first)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as exc:
        raise DataError(f"cannot read {path} as safetensors: {exc}") from exc
    return state.hexdigest()


def _header(file: BinaryIO) -> tuple[int, dict[str, Any]]:
    """Return where the values begin, and what is said of each tensor."""
    size = int.from_bytes(file.read(8), "little")
    if size > LARGEST_HEADER:
        raise ValueError(f"a header of {size} bytes")
    header = json.loads(file.read(size))
    kept = {k: v for k, v in header.items() if k not in {"__metadata__", MEAN_IMAGE}}
    return 8 + size, kept


def _add(state: "hashlib._Hash", file: BinaryIO, start: int, size: int) -> None:
    file.seek(start)
    while size > 0:
        chunk = file.read(min(CHUNK, size))
        if not chunk:
            raise ValueError(f"{size} bytes are missing")
        state.update(chunk)
        size -= len(chunk)
