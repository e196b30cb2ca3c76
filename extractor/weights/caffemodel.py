"""Read the weights in a Caffe model file, without Caffe and without protobuf.

A ``.caffemodel`` is a serialised ``NetParameter`` of ``caffe.proto``. Only the fields that hold
weights are read; everything else is skipped by its wire type::

    NetParameter      2 layers (V1LayerParameter)    100 layer (LayerParameter)
    V1LayerParameter  4 name    6 blobs (BlobProto)
    LayerParameter    1 name    7 blobs (BlobProto)
    BlobProto         1 num  2 channels  3 height  4 width  5 data (float)  7 shape (BlobShape)
                      8 double_data
    BlobShape         1 dim
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError

__all__ = ["read_caffemodel"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Field: TypeAlias = tuple[int, int, int, memoryview]
"""Field number, wire type, value (varints) and bytes (everything else)."""


def read_caffemodel(path: Path) -> dict[str, list[NDArray[np.float32]]]:
    """Return every layer's blobs, in the order of the file.

    Parameters
    ----------
    path : Path
        File with V1 ``layers``, newer ``layer`` messages, or both.

    Returns
    -------
    dict of layer name to list of float32 arrays
        Weights, then biases, as they stand: shapes of files from before ``BlobShape`` have four
        dimensions ``(num, channels, height, width)``. Layers without blobs are left out.

    Raises
    ------
    DataError
        The file is truncated, no Caffe model, holds no weights, or two layers of one name with
        weights.
    """
    layers: dict[str, list[NDArray[np.float32]]] = {}
    try:
        for name, blobs in _layers(memoryview(path.read_bytes())):
            if name in layers:
                raise DataError(
                    f"{path} holds weights of two layers {name!r}; give each layer its own name"
                )
            layers[name] = blobs
    except _MalformedError as exc:
        raise DataError(f"{path} is no Caffe model, or is truncated: {exc}") from exc
    except (UnicodeDecodeError, ValueError, OverflowError, MemoryError) as exc:
        if isinstance(exc, DataError):
            raise
        reason = type(exc).__name__
        raise DataError(f"{path} is no Caffe model, or is damaged ({reason})") from exc
    if not layers:
        raise DataError(f"{path} holds no layer with weights; expected a Caffe NetParameter")
    return layers


class _MalformedError(Exception):
    """The bytes are no protobuf message of the expected kind."""


def _layers(net: memoryview) -> Iterator[tuple[str, list[NDArray[np.float32]]]]:
    for number, wire, _, body in _fields(net):
        if number in {2, 100} and wire == BYTES:
            name_field, blobs_field = (4, 6) if number == 2 else (1, 7)
            name, blobs = "", []
            for inner, inner_wire, _, part in _fields(body):
                if inner == name_field and inner_wire == BYTES:
                    name = bytes(part).decode()
                elif inner == blobs_field and inner_wire == BYTES:
                    blobs.append(_blob(part))
            if blobs:
                yield name, blobs


def _blob(message: memoryview) -> NDArray[np.float32]:
    legacy: dict[int, int] = {}
    shape: tuple[int, ...] | None = None
    values: list[NDArray[np.float32]] = []
    for number, wire, value, body in _fields(message):
        if number in {1, 2, 3, 4} and wire == VARINT:
            legacy[number] = value
        elif number == 7 and wire == BYTES:
            shape = _dims(body)
        elif number in {5, 8} and wire in {BYTES, FIXED32, FIXED64}:
            values.append(_numbers(body, "<f4" if number == 5 else "<f8"))
    data = np.concatenate(values) if values else np.empty(0, np.float32)
    if shape is None:
        shape = tuple(legacy.get(n, 1) for n in (1, 2, 3, 4)) if legacy else (data.size,)
    if int(np.prod(shape, dtype=object)) != data.size:
        raise _MalformedError(f"a blob of shape {shape} holds {data.size} values")
    return data.reshape(shape)


def _numbers(body: memoryview, dtype: str) -> NDArray[np.float32]:
    if len(body) % np.dtype(dtype).itemsize:
        raise _MalformedError(f"{len(body)} bytes of numbers of type {dtype}")
    with np.errstate(over="ignore"):  # what becomes infinite is refused with its name later
        return np.frombuffer(body, dtype).astype(np.float32)


def _dims(message: memoryview) -> tuple[int, ...]:
    dims: list[int] = []
    for number, wire, value, body in _fields(message):
        if number == 1 and wire == VARINT:
            dims.append(value)
        elif number == 1 and wire == BYTES:  # packed
            place = 0
            while place < len(body):
                dim, place = _varint(body, place)
                dims.append(dim)
    return tuple(dims)


def _fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields of a message; neighbouring fixed-width values of one field as one."""
    place = 0
    while place < len(message):
        tag, start = _varint(message, place)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, place = _varint(message, start)
            yield number, wire, value, message[:0]
        elif wire == BYTES:
            length, start = _varint(message, start)
            place = start + length
            _check_end(message, place)
            yield number, wire, 0, message[start:place]
        elif wire in {FIXED32, FIXED64}:
            body, place = _fixed_run(message, place, start=start, width=4 if wire == FIXED32 else 8)
            yield number, wire, 0, body
        else:
            raise _MalformedError(f"wire type {wire} of field {number} at byte {place}")


def _fixed_run(
    message: memoryview, place: int, *, start: int, width: int
) -> tuple[memoryview, int]:
    """Take the values of a run of equal tags: numbers that a writer did not pack."""
    _check_end(message, start + width)
    tag = np.frombuffer(message[place:start], np.uint8)
    stride = len(tag) + width
    whole = (len(message) - place) // stride
    rows = np.frombuffer(message[place : place + whole * stride], np.uint8).reshape(whole, stride)
    same = (rows[:, : len(tag)] == tag).all(axis=1)
    count = whole if same.all() else int(same.argmin())
    values = rows[:count, len(tag) :].tobytes()
    return memoryview(values), place + count * stride


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Return a base-128 number and the place after it."""
    value = shift = 0
    while True:
        _check_end(message, place + 1)
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise _MalformedError(f"a number of more than 64 bits at byte {place}")


def _check_end(message: memoryview, end: int) -> None:
    if end > len(message):
        raise _MalformedError(f"{end - len(message)} bytes are missing")
