"""Fit the tensors of a file to a network; name everything that does not fit."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fstore.errors import DataError, FstoreError
from fstore.extractor.networks import Network, build_network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.weights.choosing import choose_state
from fstore.extractor.weights.names import MEAN_IMAGE, is_counter, named, nearest, ties
from fstore.extractor.weights.readers import read_states, with_dots
from fstore.extractor.weights.wrappings import is_head
from fstore.types import FloatArray

__all__ = [
    "MEAN_IMAGE",
    "fit",
    "load_weights",
    "network_for",
    "read_mean_image",
]

REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)
SHOWN = 12
"""Names in a message; the rest is counted."""
LARGEST_VIEW = 1 << 26
"""Bytes; a larger tensor must have a value of its own for each element."""


def load_weights(path: Path, network: Network, *, key: str | None = None) -> dict[str, Tensor]:
    """Read a file of weights for a network.

    Parameters
    ----------
    path : Path
        See :func:`fstore.extractor.weights.readers.read_states` for formats.
    network : Network
        Whose parameters and buffers the file must hold, no more and no less. For a file with
        another number of classes build it with :func:`network_for` first.
    key : str or None
        Which of several state dicts.

    Returns
    -------
    dict of name to Tensor
        Names, shapes and dtypes of the network's state dict. Fully connected weights of old
        Caffe files, ``(1, 1, out, in)``, become ``(out, in)``.

    Raises
    ------
    DataError
        Unreadable file; or wrong shapes or kinds of numbers, missing or unexpected tensors, or
        values that are not finite: all are named.
    """
    chosen = choose_state(read_states(path), network, path, key=key)[1]
    return fit(chosen, network, source=str(path))


def fit(tensors: Mapping[str, Tensor], network: Network, *, source: str) -> dict[str, Tensor]:
    """Return tensors in the network's names, shapes and dtypes; see :func:`load_weights`."""
    expected = network.model.state_dict()
    exact = named(tensors, network, source)
    stored = nearest(tensors, network, source) if exact is None else exact
    same = ties(network.model)
    problems: list[str] = []
    result: dict[str, Tensor] = {}
    for name, target in expected.items():
        if name in stored:
            taken, problem = _fitted(stored[name], target)
            if taken is not None:
                result[name] = taken
            if problem is not None:
                problems.append(f"{name} {problem}")
        elif is_counter(name):
            result[name] = torch.zeros_like(target)
    advice = "" if problems else _advice(set(expected) - set(stored), set(stored) - set(expected))
    problems += _unmatched(expected, stored, same)
    problems += _share(result, same)
    if problems:
        what = "; ".join(problems) + advice
        raise DataError(f"{source} does not fit network {network.name!r}: {what}")
    return {name: result[name] for name in expected}


def _fitted(stored: Tensor, target: Tensor) -> tuple[Tensor | None, str | None]:
    """Return a tensor as the network has it, or None, and what is wrong with it, or None."""
    problem = _kind_problem(stored, target)
    if problem is None and _squeezed(tuple(stored.shape)) != _squeezed(tuple(target.shape)):
        problem = f"is {tuple(stored.shape)}, expected {tuple(target.shape)}"
    if problem is None:
        problem = _view_problem(stored)
    if problem is not None:
        return None, problem
    # own memory, aligned as torch does it: kernels chosen by the alignment of a mapped file
    # would round differently
    taken = torch.empty(target.shape, dtype=target.dtype).copy_(stored.reshape(target.shape))
    return taken, _value_problem(taken, stored, target)


def _kind_problem(stored: Tensor, target: Tensor) -> str | None:
    """Say why numbers of one kind cannot be taken for those of another; None if they can."""
    if stored.layout != torch.strided or stored.is_nested:
        return "is a sparse or nested tensor, expected a dense one (tensor.to_dense())"
    if stored.is_quantized:
        return "is quantized, expected the numbers themselves (tensor.dequantize())"
    if stored.is_meta:
        return "has no values: it was saved from the meta device"
    if target.is_complex():
        fits, wanted = stored.is_complex(), "complex numbers"
    elif target.is_floating_point():
        fits = stored.dtype in REAL or stored.dtype == target.dtype
        wanted = "real numbers (float16, bfloat16, float32 or float64)"
    elif target.dtype == torch.bool:
        fits, wanted = stored.dtype in {torch.bool, torch.uint8}, "true or false"
    else:
        fits, wanted = stored.dtype in WHOLE or stored.dtype == target.dtype, "whole numbers"
    kind = str(stored.dtype).removeprefix("torch.")
    return None if fits else f"holds {kind}, expected {wanted}; fstore does not guess their scale"


def _view_problem(stored: Tensor) -> str | None:
    """Refuse few bytes that are said to be many: they would fill the memory."""
    size = stored.numel() * stored.element_size()
    if size > LARGEST_VIEW and size > stored.untyped_storage().nbytes():
        return f"claims {size} bytes, of which the file holds {stored.untyped_storage().nbytes()}"
    return None


def _value_problem(taken: Tensor, stored: Tensor, target: Tensor) -> str | None:
    if not target.is_floating_point() and not target.is_complex():
        same = bool((taken.to(torch.int64) == stored.reshape(taken.shape).to(torch.int64)).all())
        return None if same else f"holds numbers beyond {str(target.dtype).removeprefix('torch.')}"
    odd = ~torch.isfinite(taken)
    if not bool(odd.any()):
        return None
    # masks may hold -inf: where the network itself has the same
    initial = target if target.device.type == "cpu" else None
    if (
        initial is not None
        and not bool(torch.isnan(taken).any())
        and torch.equal(taken[odd], initial[odd])
    ):
        return None
    return "holds values that are not finite"


def _unmatched(
    expected: Mapping[str, Tensor], stored: Mapping[str, Tensor], same: Mapping[str, str]
) -> list[str]:
    """Name what is missing, but for counters and second names of one tensor; and what is extra."""
    groups = {**{first: first for first in same.values()}, **same}
    present = {groups.get(name, name) for name in stored}
    missing = [n for n in expected if groups.get(n, n) not in present and not is_counter(n)]
    unexpected = [name for name in stored if name not in expected]
    problems = [f"missing: {_listed(missing)}"] if missing else []
    return problems + ([f"unexpected: {_listed(unexpected)}"] if unexpected else [])


def _advice(missing: set[str], unexpected: set[str]) -> str:
    """Say what to do where nothing but the network's class scores has no weights."""
    ends = {name.partition(".")[0] for name in missing | unexpected if not is_counter(name)}
    if not missing or len(ends) != 1 or not is_head(next(iter(missing)), ()):
        return ""
    (end,) = ends
    return (
        f". These weights have no class scores for {end!r}: name a function that returns the "
        f"network without them, as in model.{end} = torch.nn.Identity(), by --network "
        "path/to/file.py:function"
    )


def _share(result: dict[str, Tensor], same: Mapping[str, str]) -> list[str]:
    """Give the tensors that are one in the network one value; say where a file has two."""
    problems = []
    for second, first in same.items():
        if first in result and second in result:
            if not torch.equal(result[first], result[second]):
                problems.append(f"{first} and {second} are one tensor in the network, and differ")
        elif first in result or second in result:
            value = result.get(first, result.get(second))
            if value is not None:
                result[first] = result[second] = value
    return problems


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def network_for(
    tensors: Mapping[str, Tensor],
    network: Network,
    *,
    build: Callable[..., Network] = build_network,
) -> Network:
    """Return the network with as many outputs as tensors were trained for.

    Parameters
    ----------
    tensors : mapping of name to Tensor
        As they stand in a file.
    network : Network
        Built under its name with the default number of classes.
    build : function
        Builds it with another number.

    Returns
    -------
    Network
        ``network`` itself, unless the tensors differ from it in the number of classes and in
        nothing else.
    """
    expected = network.model.state_dict()
    try:
        named_tensors = named(tensors, network, "") or with_dots(tensors, "")
    except DataError:  # two names that become one: fitting them will tell
        return network
    shapes = [
        (tuple(t.shape), tuple(expected[n].shape))
        for n, t in named_tensors.items()
        if n in expected
    ]
    wrong = [(a, b) for a, b in shapes if _squeezed(a) != _squeezed(b)]
    counts = {(_squeezed(a) or (1,))[0] for a, _ in wrong}
    if len(counts) != 1:
        return network
    try:
        other = build(network.name, classes=counts.pop())
    except FstoreError:  # not built by name, or takes no number of classes
        return network
    state = other.model.state_dict()
    same = all(
        _squeezed(tuple(t.shape)) == _squeezed(tuple(state[n].shape))
        for n, t in named_tensors.items()
        if n in state
    )
    return replace(other, preprocess=network.preprocess) if same else network


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
    except Exception as exc:  # numpy parses a text header: anything may come of broken bytes
        reason = getattr(exc, "strerror", None) or "it is damaged, or no such file"
        raise DataError(f"cannot read {path} as a .npy array: {reason}") from exc
    if not isinstance(image, np.ndarray):  # an .npz
        raise DataError(f"mean image {path} holds several arrays; expected one, {expected}")
    if image.shape != expected or image.dtype.kind not in "fiu":
        raise DataError(
            f"mean image {path} is {image.shape} {image.dtype}; expected numbers, {expected}"
        )
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(image, dtype=np.float32)
    if not np.isfinite(single).all():
        raise DataError(f"mean image {path} holds values that are not finite")
    return single
