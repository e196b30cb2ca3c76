"""What a checkpoint's file holds, recomputed without torch: the hash of its tensors."""

import hashlib
import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fstore.errors import DataError
from fstore.types import MEAN_IMAGE

__all__ = ["TensorSums", "tensor_sums"]

TORCH_NAMES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16",
    "U32": "uint32", "I32": "int32", "U64": "uint64", "I64": "int64",
    "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "C64": "complex64",
}  # fmt: skip
"""dtype in a safetensors file -> torch's word for it, which the hash is over."""


@dataclass(frozen=True, slots=True)
class TensorSums:
    """Sha256 of a file's tensors, and of the mean image's bytes (None: there is no such)."""

    weights: str
    mean_image: str | None


def tensor_sums(path: Path) -> TensorSums:
    """Hash a safetensors file's tensors: names, dtypes, shapes and bytes, in order of the names.

    This is what column ``sha256`` of table ``checkpoints`` has.

    Raises
    ------
    DataError
        The file cannot be read or is no safetensors file.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            start = 8 + int.from_bytes(data[:8], "little")
            if start > len(data):
                raise DataError(f"{path} is no safetensors file: its header is cut off")
            tensors = {n: t for n, t in json.loads(data[8:start]).items() if n != "__metadata__"}
            with memoryview(data) as view, view[start:] as body:
                return _sums(tensors, body)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no safetensors file, or damaged: {error}") from error


def _sums(tensors: dict[str, dict[str, Any]], body: memoryview) -> TensorSums:
    state, mean_image = hashlib.sha256(), None
    for name in sorted(tensors):
        begin, end = tensors[name]["data_offsets"]
        if not 0 <= begin <= end <= len(body):
            raise ValueError(f"tensor {name!r} is cut off")
        with body[begin:end] as values:
            if name == MEAN_IMAGE:
                mean_image = hashlib.sha256(values).hexdigest()
                continue
            shape = tuple(map(int, tensors[name]["shape"]))
            dtype = TORCH_NAMES[tensors[name]["dtype"]]
            state.update(f"{name} torch.{dtype} {shape}\n".encode())
            state.update(values)
    return TensorSums(state.hexdigest(), mean_image)
