"""Checkpoints as fstore keeps them: safetensors, hashed by content, written atomically."""

import copy
import hashlib
import os
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from fstore.errors import DataError, StorageError
from fstore.extractor.networks import Network, build_network
from fstore.extractor.weights.matching import MEAN_IMAGE, network_for
from fstore.extractor.weights.names import copy_modules, ties
from fstore.extractor.weights.readers import read_safetensors
from fstore.types import FloatArray

__all__ = [
    "load_checkpoint",
    "network_of",
    "read_checkpoint",
    "save_checkpoint",
    "tensors_sha256",
    "with_weights",
    "write_atomically",
]


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
    DataError
        safetensors has no such kind of numbers.
    """
    from safetensors.torch import save

    # copies, since safetensors refuses tensors that share memory
    whole = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
    if mean_image is not None:
        whole[MEAN_IMAGE] = torch.tensor(mean_image, dtype=torch.float32)
    try:
        content = save(whole)
    except (KeyError, ValueError) as exc:
        kinds = ", ".join(sorted({str(t.dtype) for t in whole.values()}))
        raise DataError(f"weights of these kinds cannot be kept as safetensors: {kinds}") from exc
    write_atomically(path, content)
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


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], FloatArray | None]:
    """Return the weights of a file of :func:`save_checkpoint`, and its mean image if it has one.

    Names stand as they were written: no prefix is dropped, no slash replaced.

    Raises
    ------
    DataError
        No such file, or unreadable.
    """
    if not path.is_file():
        raise DataError(f"no file {path}; the weights were deleted: import or train them again")
    tensors = read_safetensors(path)
    image = tensors.pop(MEAN_IMAGE, None)
    return tensors, None if image is None else image.float().numpy()


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
    weights, image = read_checkpoint(path)
    loaded = with_weights(network_for(weights, network), weights, source=str(path))
    return loaded if image is None else _with_mean(loaded, image)


def network_of(
    name: str, weights: Mapping[str, Tensor], image: FloatArray | None, *, source: str
) -> Network:
    """Build a network by its name and give it the weights of :func:`read_checkpoint`.

    Initial weights are not drawn where that cannot be noticed; torch's generator is kept.

    Raises
    ------
    UnknownNameError
        No such network.
    DataError
        The weights do not fit it.
    """
    from fstore.extractor.weights.undrawn import build_undrawn

    def build(name: str, *, classes: int | None = None) -> Network:
        return build_undrawn(lambda: build_network(name, classes=classes))

    loaded = with_weights(network_for(weights, build(name), build=build), weights, source=source)
    return loaded if image is None else _with_mean(loaded, image)


def with_weights(network: Network, weights: Mapping[str, Tensor], *, source: str) -> Network:
    """Return a network with other weights, in evaluation mode; the one given is left as it is.

    Parameters
    ----------
    network : Network
        The result shares its code, and the tensors that are no part of its state dict.
    weights : mapping of name to Tensor
        Exactly the entries of its state dict, in names, shapes and dtypes. Copied.
    source : str
        Where they are from, for errors.

    Raises
    ------
    DataError
        They are not these entries, or the network does not keep them as they are.
    """
    model = network.model
    expected = model.state_dict()
    _check_entries(weights, expected, network=network.name, source=source)
    # own memory, aligned as torch does it: kernels chosen by the alignment of a mapped file
    # would round differently
    state = OrderedDict((n, _copied(weights[n], like=expected[n])) for n in expected)
    state._metadata = copy.deepcopy(getattr(expected, "_metadata", None))  # type: ignore[attr-defined]
    shared = bool(ties(model)) or isinstance(model, torch.jit.ScriptModule)
    try:
        copied: nn.Module = copy.deepcopy(model) if shared else copy_modules(model)
        copied.load_state_dict(state, assign=not shared)
        held = copied.state_dict()
    except Exception as exc:
        first = str(exc).strip().split("\n", 1)[0] or type(exc).__name__
        raise DataError(
            f"network {network.name!r} cannot take over the weights of {source}: {first}"
        ) from exc
    lost = [n for n, t in weights.items() if not _equal(held.get(n), t)]
    if lost:
        raise DataError(
            f"network {network.name!r} does not keep the weights of {source} as they are: "
            f"{', '.join(lost[:5])}; look for code that changes them when they are loaded"
        )
    return replace(network, model=copied.eval())


def _copied(tensor: Tensor, *, like: Tensor) -> Tensor:
    """Return a copy that lies in memory as another tensor does: channels first or last.

    It is what a network asks for by ``model.to(memory_format=torch.channels_last)``, which decides
    how it is computed, in which time, and how it rounds.
    """
    return torch.empty_like(like, dtype=tensor.dtype, device=tensor.device).copy_(tensor)


def _check_entries(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, network: str, source: str
) -> None:
    def about(tensor: Tensor) -> str:
        return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"

    problems = [
        f"{n} is {about(t)}, expected {about(expected[n])}"
        for n, t in weights.items()
        if n in expected and about(t) != about(expected[n])
    ]
    problems += _words("missing", [n for n in expected if n not in weights])
    problems += _words("unexpected", [n for n in weights if n not in expected])
    if problems:
        raise DataError(f"{source} does not fit network {network!r}: {'; '.join(problems[:12])}")


def _words(what: str, names: list[str]) -> list[str]:
    return [f"{what}: {', '.join(names[:12])}"] if names else []


def _equal(actual: object, wanted: Tensor) -> bool:
    """Tell whether a tensor holds the same bits, NaN included."""
    if (
        not isinstance(actual, Tensor)
        or actual.dtype != wanted.dtype
        or actual.shape != wanted.shape
    ):
        return False
    bits = [t.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for t in (actual, wanted)]
    return torch.equal(*bits)


def _with_mean(network: Network, image: FloatArray) -> Network:
    return replace(network, preprocess=replace(network.preprocess, mean_image=image))
