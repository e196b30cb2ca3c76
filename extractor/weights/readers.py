"""Read files of weights of several formats into named tensors."""

import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fstore.errors import DataError
from fstore.extractor.weights.caffemodel import read_caffemodel

__all__ = ["read_tensors"]

NESTED = ("state_dict", "model_state_dict", "model", "net", "weights")
"""Keys under which training programs put the state dict, with other things beside it."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name; the format is told by the file's ending.

    Parameters
    ----------
    path : Path
        ``.safetensors``; ``.pt``, ``.pth``, ``.bin``, ``.ckpt``, ``.tar`` (torch state dict, read
        with ``weights_only=True``; also one key down, as training programs nest it); ``.npz``;
        ``.caffemodel``.

    Returns
    -------
    dict of name to Tensor
        Names with dots: ``fire2/conv1x1_1/weight`` becomes ``fire2.conv1x1_1.weight``. A Caffe
        layer's blobs are ``NAME.weight``, ``NAME.bias``, then ``NAME.blob2`` and so on. The prefix
        ``module.`` of data-parallel training is dropped.

    Raises
    ------
    DataError
        No such file, unknown ending, or unreadable.
    """
    if not path.is_file():
        raise DataError(f"no file {path}; expected weights to import")
    reader = READERS.get(path.suffix)
    if reader is None:
        raise DataError(f"cannot tell the format of {path}; endings read: {', '.join(READERS)}")
    return {_plain_name(name): tensor for name, tensor in reader(path).items()}


def _plain_name(name: str) -> str:
    return name.replace("/", ".").removeprefix("module.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError) as exc:
        raise DataError(f"cannot read {path} as safetensors: {exc}") from exc


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as exc:  # torch raises whatever the broken bytes lead to
        first = str(exc).strip().split("\n", 1)[0] or type(exc).__name__
        raise DataError(
            f"cannot read {path} as a torch state dict with weights_only=True: {first}; "
            "save it anew with torch.save(model.state_dict(), file)"
        ) from exc
    return _state_dict(loaded, path)


def _state_dict(loaded: object, path: Path) -> dict[str, Tensor]:
    """Find the mapping of names to tensors, at the top or under a usual key."""
    if isinstance(loaded, Mapping):
        for key in NESTED:
            if isinstance(loaded.get(key), Mapping):
                return _state_dict(loaded[key], path)
        tensors = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
    raise DataError(
        f"{path} holds no state dict; expected names with tensors, also under one of "
        f"{', '.join(NESTED)}"
    )


def _read_npz(path: Path) -> dict[str, Tensor]:
    broken = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: _tensor(arrays[name]) for name in arrays.files}
    except (*broken, NotImplementedError, TypeError, AttributeError) as exc:
        raise DataError(f"cannot read {path} as .npz: {exc}") from exc


def _tensor(array: "np.ndarray[Any, Any]") -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _read_caffe(path: Path) -> dict[str, Tensor]:
    usual = ("weight", "bias")
    return {
        f"{layer}.{usual[place] if place < 2 else f'blob{place}'}": torch.from_numpy(blob)
        for layer, blobs in read_caffemodel(path).items()
        for place, blob in enumerate(blobs)
    }


READERS: Mapping[str, Callable[[Path], dict[str, Tensor]]] = {
    ".safetensors": _read_safetensors,
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt", ".tar"), _read_torch),
    ".npz": _read_npz,
    ".caffemodel": _read_caffe,
}
