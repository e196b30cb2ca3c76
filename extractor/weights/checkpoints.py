"""Checkpoints as fstore keeps them: safetensors, hashed by content, written atomically."""

import copy
import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from fstore.errors import StorageError
from fstore.extractor.networks._api import Network
from fstore.extractor.weights.matching import MEAN_IMAGE, fit, network_for
from fstore.extractor.weights.readers import read_tensors
from fstore.types import FloatArray

__all__ = ["load_checkpoint", "save_checkpoint", "tensors_sha256", "write_atomically"]


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Sha256 of tensors: names, dtypes, shapes and bytes, in the order of the names."""
    state = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        state.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()


def save_checkpoint(
    tensors: Mapping[str, Tensor], path: Path, *, mean_image: FloatArray | None = None
) -> Path:
    """Write tensors as safetensors; a file of that name is there whole or not at all.

    Parameters
    ----------
    tensors : mapping of name to Tensor
        Weights in the network's names.
    path : Path
        Its folder must exist; a file of that name is replaced.
    mean_image : array of shape (3, resize, resize), float32, or None
        Part of the checkpoint's preprocessing, kept under a reserved name.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    from safetensors.torch import save

    # copies, since safetensors refuses tensors that share memory
    whole = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
    if mean_image is not None:
        whole[MEAN_IMAGE] = torch.from_numpy(mean_image).clone()
    write_atomically(path, save(whole))
    return path


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file under a temporary name, flush it to the disk, then give it its name."""
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as exc:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {exc}") from exc


def load_checkpoint(path: Path, network: Network) -> Network:
    """Return the network with a checkpoint's weights, in evaluation mode.

    Parameters
    ----------
    path : Path
        File of :func:`save_checkpoint`.
    network : Network
        Left as it is: the result shares its code and declared layers, not its weights. Where
        the checkpoint has another number of classes, the network is built anew by its name.

    Returns
    -------
    Network
        With the checkpoint's mean image, if any, in its preprocessing.

    Raises
    ------
    DataError
        Unreadable file, or weights that do not fit.
    """
    tensors = read_tensors(path)
    network = network_for(tensors, network)
    weights = fit(tensors, network, source=str(path))
    held = [*network.model.parameters(), *network.model.buffers()]
    memo: dict[int, object] = {id(t): t for t in held}  # copies the modules, not their tensors
    model = copy.deepcopy(network.model, memo)
    model.load_state_dict(weights, assign=True)
    preprocess = network.preprocess
    if MEAN_IMAGE in tensors:
        preprocess = replace(preprocess, mean_image=tensors[MEAN_IMAGE].float().numpy())
    return replace(network, model=model.eval(), preprocess=preprocess)
