"""Fit the tensors of a file to a network; name everything that does not fit."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fstore.errors import DataError, FstoreError
from fstore.extractor.networks import Network, build_network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.weights.readers import read_tensors
from fstore.types import FloatArray

__all__ = ["MEAN_IMAGE", "fit", "load_weights", "network_for", "read_mean_image"]

MEAN_IMAGE = "fstore.mean_image"
"""Reserved name: the mean image that belongs to a checkpoint, (3, resize, resize) float32."""

OPTIONAL = "num_batches_tracked"
"""Counters of batch normalisation that older files lack; evaluation does not use them."""


def load_weights(path: Path, network: Network) -> dict[str, Tensor]:
    """Read a file of weights for a network.

    Parameters
    ----------
    path : Path
        See :func:`fstore.extractor.weights.readers.read_tensors` for formats.
    network : Network
        Whose parameters and buffers the file must hold, no more and no less. For a file with
        another number of classes build it with :func:`network_for` first.

    Returns
    -------
    dict of name to Tensor
        Names, shapes and dtypes of the network's state dict. Fully connected weights of old
        Caffe files, ``(1, 1, out, in)``, become ``(out, in)``.

    Raises
    ------
    DataError
        Unreadable file; or wrong shapes, missing or unexpected tensors, or values that are not
        finite: all are named.
    """
    return fit(read_tensors(path), network, source=str(path))


def fit(tensors: Mapping[str, Tensor], network: Network, *, source: str) -> dict[str, Tensor]:
    """Return tensors in the network's names, shapes and dtypes; see :func:`load_weights`."""
    expected = network.model.state_dict()
    given = {name: t for name, t in tensors.items() if name != MEAN_IMAGE}
    problems = []
    result: dict[str, Tensor] = {}
    for name, target in expected.items():
        if name not in given:
            if name.endswith(OPTIONAL):
                result[name] = torch.zeros_like(target)
            continue
        tensor = _reshaped(given[name], tuple(target.shape))
        if tensor is None:
            wrong, right = tuple(given[name].shape), tuple(target.shape)
            problems.append(f"{name} is {wrong}, expected {right}")
        elif not bool(torch.isfinite(tensor).all()):
            problems.append(f"{name} holds values that are not finite")
        else:
            # own memory, aligned as torch does it: kernels chosen by the alignment of a mapped
            # file would round differently
            result[name] = torch.empty(target.shape, dtype=target.dtype).copy_(tensor)
    missing = [name for name in expected if name not in given and not name.endswith(OPTIONAL)]
    unexpected = [name for name in given if name not in expected]
    problems += [f"missing: {', '.join(missing)}"] if missing else []
    problems += [f"unexpected: {', '.join(unexpected)}"] if unexpected else []
    if problems:
        raise DataError(f"{source} does not fit network {network.name!r}: {'; '.join(problems)}")
    return result


def network_for(tensors: Mapping[str, Tensor], network: Network) -> Network:
    """Return the network with as many outputs as tensors were trained for.

    Parameters
    ----------
    tensors : mapping of name to Tensor
        Named as by :func:`fstore.extractor.weights.readers.read_tensors`.
    network : Network
        Built under its name with the default number of classes.

    Returns
    -------
    Network
        ``network`` itself, unless the tensors differ from it in the number of classes and in
        nothing else.
    """
    expected = network.model.state_dict()
    shapes = {n: (tuple(t.shape), tuple(expected[n].shape)) for n, t in _shared(tensors, expected)}
    wrong = [(a, b) for a, b in shapes.values() if _squeezed(a) != _squeezed(b)]
    counts = {(_squeezed(a) or (1,))[0] for a, _ in wrong}
    if len(counts) != 1:
        return network
    try:
        other = build_network(network.name, classes=counts.pop())
    except (FstoreError, TypeError):  # not built by name, or takes no number of classes
        return network
    state = other.model.state_dict()
    same = all(
        _squeezed(tuple(t.shape)) == _squeezed(tuple(state[n].shape))
        for n, t in _shared(tensors, state)
    )
    return replace(other, preprocess=network.preprocess) if same else network


def _shared(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> list[tuple[str, Tensor]]:
    return [(name, tensor) for name, tensor in tensors.items() if name in expected]


def _reshaped(tensor: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Return the tensor in the shape wanted, if only leading ones differ; else None."""
    if _squeezed(tuple(tensor.shape)) != _squeezed(shape):
        return None
    return tensor.reshape(shape)


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Drop leading ones: legacy Caffe shapes are filled up with them to four."""
    kept = list(shape)
    while kept and kept[0] == 1:
        kept.pop(0)
    return tuple(kept)


def read_mean_image(path: Path, preprocess: Preprocess) -> FloatArray:
    """Read a mean image from a ``.npy`` file.

    Parameters
    ----------
    path : Path
        Array (3, resize, resize) in the order of colours and the scale of the network's input;
        CaffeNet's ``ilsvrc_2012_mean.npy`` is (3, 256, 256), BGR, 0-255.
    preprocess : Preprocess
        Of the network.

    Returns
    -------
    array of the same shape, float32

    Raises
    ------
    DataError
        Unreadable, or of another shape or type.
    """
    expected = (3, preprocess.resize, preprocess.resize)
    try:
        image = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as exc:
        raise DataError(f"cannot read {path} as a .npy array: {exc}") from exc
    if image.shape != expected or image.dtype.kind not in "fiu":
        raise DataError(
            f"mean image {path} is {image.shape} {image.dtype}; expected numbers, {expected}"
        )
    if not np.isfinite(image).all():
        raise DataError(f"mean image {path} holds values that are not finite")
    return np.ascontiguousarray(image, dtype=np.float32)
