"""Read files of weights of several formats into named tensors."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fstore.errors import DataError
from fstore.extractor.weights.caffemodel import read_caffemodel
from fstore.extractor.weights.folders import weights_in
from fstore.extractor.weights.foreign import refuse_foreign, refuse_shard
from fstore.extractor.weights.torch_files import States, read_torch

__all__ = ["read_safetensors", "read_states", "read_tensors", "with_dots"]

INDEX = ".index.json"


def read_states(path: Path) -> States:
    """Return the state dicts of a file; the format is told by the file's ending.

    Parameters
    ----------
    path : Path
        ``.safetensors``; ``.pt``, ``.pth``, ``.bin``, ``.ckpt``, ``.tar`` (torch state dict, read
        with ``weights_only=True``); ``.npz``; ``.caffemodel``; ``.index.json`` of weights in
        several files. Capitals or not. A folder stands for the one file of weights in it.

    Returns
    -------
    dict of key to state dict
        Names as they stand in the file. Only torch files have several; see :func:`read_torch`.
        A Caffe layer's blobs are ``NAME.weight``, ``NAME.bias``, then ``NAME.blob2`` and so on.

    Raises
    ------
    DataError
        No such file, unknown ending, something else than weights, or unreadable.
    """
    if path.is_dir():
        path = weights_in(path)
    refuse_foreign(path)
    if path.name.lower().endswith(INDEX):
        return {"": _read_index(path)}
    refuse_shard(path)
    return _read_whole(path)


def read_tensors(path: Path, *, key: str | None = None) -> dict[str, Tensor]:
    """Return the tensors of a file by name, with dots: ``fire2/weight`` becomes ``fire2.weight``.

    Parameters
    ----------
    path : Path
        See :func:`read_states`.
    key : str or None
        Which state dict of a torch file that holds several, nested ones as ``a.b``.

    Raises
    ------
    DataError
        Unreadable, no such key, or several state dicts and no key.
    """
    states = read_states(path)
    if key is None and len(states) == 1:
        return with_dots(next(iter(states.values())), str(path))
    if key is None or key not in states:
        raise DataError(key_problem(path, states, key))
    return with_dots(states[key], str(path))


def key_problem(path: Path, states: Mapping[str, Mapping[str, Tensor]], key: str | None) -> str:
    """Say which state dicts a file holds, where the one that was asked for is not there."""
    state_dicts = ", ".join(
        f"{name or 'the file itself'} ({len(s)} tensors)" for name, s in states.items()
    )
    if key is None:
        return f"{path} holds several state dicts: {state_dicts}; choose one with --key NAME"
    return f"{path} holds no state dict under {key!r}; there are: {state_dicts}"


def with_dots(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return tensors with the dots of torch's names in place of slashes.

    Raises
    ------
    DataError
        Two names become one.
    """
    named: dict[str, str] = {}
    for name in tensors:
        if (other := named.setdefault(name.replace("/", "."), name)) != name:
            raise DataError(
                f"{source} holds both {other!r} and {name!r}, which are one name to torch"
            )
    return {dotted: tensors[name] for dotted, name in named.items()}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of one safetensors file.

    Raises
    ------
    DataError
        Damaged, or of a kind that torch does not have.
    """
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except Exception as exc:  # the library raises whatever a broken header leads to
        reason = str(exc).strip().split("\n", 1)[0] or type(exc).__name__
        raise DataError(
            f"cannot read {path} as safetensors: {reason}; it is truncated, damaged, or no such "
            "file: copy or download it again"
        ) from exc


def _read_whole(path: Path) -> States:
    ending = path.suffix.lower()
    if ending in TORCH:
        return read_torch(path)
    reader = READERS.get(ending)
    if reader is None:
        endings = ", ".join([*READERS, *TORCH, INDEX])
        raise DataError(f"cannot tell the format of {path}; endings read: {endings}")
    tensors = reader(path)
    if not tensors:
        raise DataError(f"{path} holds no tensors; expected the weights of a network")
    return {"": tensors}


def _read_index(path: Path) -> dict[str, Tensor]:
    """Read the files that an index names; each tensor must be in the file that it says."""
    try:
        places = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise DataError(
            f"{path} is no index of weights; expected JSON with a 'weight_map' of tensor to file"
        ) from exc
    if not isinstance(places, dict) or not places or not all(map(_is_name, places.values())):
        raise DataError(f"{path}: its 'weight_map' is no mapping of tensors to files beside it")
    tensors: dict[str, Tensor] = {}
    for name in dict.fromkeys(places.values()):
        wanted = {tensor for tensor, file in places.items() if file == name}
        part = _part(path, name)
        if set(part) != wanted:
            differ = ", ".join(sorted(set(part) ^ wanted)[:5])
            raise DataError(f"{path} and {name} differ in what {name} holds: {differ}")
        tensors |= part
    return tensors


def _part(index: Path, name: str) -> dict[str, Tensor]:
    part = index.parent / name
    if not part.is_file():
        raise DataError(f"{index} names {name}, which is not beside it; copy all parts there")
    refuse_foreign(part)
    states = _read_whole(part)
    if "" not in states:
        raise DataError(f"{part} holds no tensors at its top, as a part of several files does")
    return states[""]


def _is_name(value: object) -> bool:
    """Tell the name of a file in the same folder; an index must not lead elsewhere."""
    return isinstance(value, str) and value not in {"", ".", ".."} and not set(value) & set("/\\\0")


def _read_npz(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            names = list(arrays.files)
            tensors = {name: _tensor(arrays[name], f"{path}: array {name!r}") for name in names}
    except DataError:
        raise
    except Exception as exc:  # zip, zlib and numpy each have their own
        reason = str(exc).strip().split("\n", 1)[0] or type(exc).__name__
        if "allow_pickle" in reason or "pickle" in reason:
            reason = "it holds Python objects, not numbers, or is damaged"
        raise DataError(f"cannot read {path} as .npz: {reason}; save it with numpy.savez") from exc
    if len(tensors) < len(names):
        raise DataError(f"{path} holds an array twice; save it anew with numpy.savez")
    return tensors


def _tensor(array: "np.ndarray[Any, Any]", what: str) -> Tensor:
    if array.dtype.kind not in "biufc":
        raise DataError(f"{what} holds {array.dtype}, not numbers; save weights only")
    return torch.from_numpy(
        np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)
    )


def _read_caffe(path: Path) -> dict[str, Tensor]:
    usual = ("weight", "bias")
    return {
        f"{layer}.{usual[place] if place < 2 else f'blob{place}'}": torch.from_numpy(blob)
        for layer, blobs in read_caffemodel(path).items()
        for place, blob in enumerate(blobs)
    }


TORCH = (".pt", ".pth", ".bin", ".ckpt", ".tar")
READERS: Mapping[str, Callable[[Path], dict[str, Tensor]]] = {
    ".safetensors": read_safetensors,
    ".npz": _read_npz,
    ".caffemodel": _read_caffe,
}
