"""Where the network runs: one CPU, one GPU or several, each with its own copy of the model."""

import copy
import ctypes
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fstore.errors import DataError
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.responses import DeviceResponses, stored
from fstore.extractor.taps import Taps
from fstore.extractor.warping import Inputs, RegionCrops, moved, warp
from fstore.types import ActivationBatch, LayerSpec, Precision

__all__ = [
    "COMPUTE",
    "Runner",
    "default_batch_size",
    "find_devices",
    "keep_freed_memory",
    "make_runners",
    "to_device",
]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h

COMPUTE = {"float32": None, "tf32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Precisions of the forward pass: full, TF32 matrix products, autocast to either half."""


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next batch instead of giving it back at once.

    A layer's output of a batch has tens of MB; by default each is mapped afresh and every page of
    it zeroed, which took 40 % of the time of SqueezeNet on a CPU. Without glibc nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, 1 << 30)
    mallopt(M_TRIM_THRESHOLD, 1 << 30)


def find_devices(text: str) -> list[torch.device]:
    """Return the devices that ``auto``, ``cpu``, ``cuda`` or ``cuda:0,1`` means.

    Raises
    ------
    DataError
        No such device on this machine, or an unknown text.
    """
    if text == "cpu" or (text == "auto" and not torch.cuda.is_available()):
        return [torch.device("cpu")]
    if not re.fullmatch(r"auto|cuda(:[0-9]+(,[0-9]+)*)?", text, re.ASCII):
        raise DataError(f"unknown device {text!r}; use auto, cpu, cuda, or cuda:0,1")
    count = torch.cuda.device_count()
    _, _, numbers = text.partition(":")
    wanted = [int(n) for n in numbers.split(",")] if numbers else list(range(count))
    if not wanted or max(wanted) >= count:
        raise DataError(f"device {text!r} is not there; CUDA devices of this machine: {count}")
    return [torch.device("cuda", n) for n in dict.fromkeys(wanted)]


def default_batch_size(devices: Sequence[torch.device], values: int) -> int:
    """Return a power of two: at most 32 on the CPU, 256 on a GPU, less for networks of many values.

    Parameters
    ----------
    devices : what the network runs on
    values : int
        Values of one sample over the network's declared layers; a batch of them takes at most
        128 MiB as float32 on the CPU, 1 GiB on a GPU.
    """
    most, memory = (32, 1 << 27) if devices[0].type == "cpu" else (256, 1 << 30)
    fit = max(1, memory // (4 * values))
    return min(most, 1 << (fit.bit_length() - 1))


@dataclass(frozen=True, slots=True)
class Pending:
    """A batch that a device is working on; :meth:`result` waits for it."""

    sample_ids: NDArray[np.int64]
    layers: dict[str, DeviceResponses]
    event: Any

    def result(self) -> ActivationBatch:
        """Return the responses on the host."""
        if self.event is not None:
            self.event.synchronize()
        host: Callable[[Tensor], NDArray[Any]] = np.array if self.event is not None else np.asarray
        return ActivationBatch(
            self.sample_ids, {name: r.to_host(host) for name, r in self.layers.items()}
        )


class Runner:
    """One device with its copy of the network.

    Parameters
    ----------
    network : Network
        Left as it is.
    layers : the taps
    device : torch.device
    precision : what values are rounded to
    compute : key of :data:`COMPUTE`
    start : layer whose stored responses are given in place of images, or None
    rectify : whether max(x, 0) of every response is kept

    Attributes
    ----------
    network : Network
        On the device.
    taps : Taps
    """

    def __init__(
        self,
        network: Network,
        layers: Sequence[str],
        *,
        device: torch.device,
        precision: Precision,
        compute: str,
        start: str | None = None,
        rectify: bool = False,
    ) -> None:
        self.device = device
        self._precision = precision
        self._rectify = rectify
        self.compute = compute
        if device.type == "cuda":
            model = copy.deepcopy(network.model).to(device)
            model = model.to(memory_format=torch.channels_last)
            network = replace(network, model=model)
        self.network = network
        self._preprocess = network.preprocess
        self.taps = Taps(network, layers, start=start)
        self._specs = {spec.name: spec for spec in self.taps.specs}

    def submit(self, sample_ids: NDArray[np.int64], images: Inputs) -> Pending:
        """Start the forward pass of a batch; returns at once on a GPU.

        Parameters
        ----------
        sample_ids : array of shape (n,), int64
        images : array of shape (n, 3, S, S), float32, or RegionCrops of length n
            With a ``start`` its responses, of shape (n, channels, positions).

        Raises
        ------
        DataError
            A layer gave another shape than that of its LayerSpec.
        """
        kept: dict[str, DeviceResponses] = {}

        def keep(layer: str, output: Tensor) -> None:
            _check_shape(self._specs[layer], output, len(sample_ids))
            kept[layer] = stored(output, self._precision, rectify=self._rectify)

        x = to_device(images, self._preprocess, self.device)
        with self.arithmetic():
            self.taps.run(x, keep)
        return self._to_host(sample_ids, kept)

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Compute in the runner's precision for a while."""
        kind = COMPUTE[self.compute]
        with (
            matmul_precision(self.compute),
            torch.autocast(self.device.type, dtype=kind, enabled=kind is not None),
        ):
            yield

    def _to_host(
        self, sample_ids: NDArray[np.int64], layers: dict[str, DeviceResponses]
    ) -> Pending:
        if self.device.type == "cpu":
            return Pending(sample_ids, layers, None)
        staged = {
            name: DeviceResponses({k: _staged(t) for k, t in r.tensors.items()})
            for name, r in layers.items()
        }
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        return Pending(sample_ids, staged, event)


def _check_shape(spec: LayerSpec, output: Tensor, n: int) -> None:
    """Refuse responses that have another shape than what was found out about the layer."""
    maps = () if spec.kind == "fc" else (spec.height, spec.width)
    expected = (n, spec.channels, *maps)
    if tuple(output.shape) != expected:
        raise DataError(
            f"layer {spec.name!r} gave {tuple(output.shape)} for {n} samples; expected {expected}: "
            "its shape depends on more than the size of the input, so it cannot be stored"
        )


def to_device(images: Inputs, preprocess: Preprocess, device: torch.device) -> Tensor:
    """Return inputs on a device, in the layout that suits it; regions are warped there.

    Parameters
    ----------
    images : array of shape (n, 3, S, S) or (n, channels, positions), or RegionCrops of length n
    preprocess : Preprocess
        That regions were cut with.
    device : torch.device
        To a GPU the copy only begins.
    """
    if isinstance(images, RegionCrops):
        return warp(images, preprocess, device)
    x = moved(images, device)
    if device.type == "cpu":
        return x.clone()  # into aligned memory: alignment decides the last bits of a result
    return x.to(memory_format=torch.channels_last) if x.dim() == 4 else x


def _staged(tensor: Tensor) -> Tensor:
    """Start the copy of a tensor to pinned memory."""
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return pinned.copy_(tensor, non_blocking=True)


@contextmanager
def matmul_precision(compute: str) -> Iterator[None]:
    """Allow or forbid TF32 inside matrix products and convolutions for a while."""
    allow = compute == "tf32"
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if allow else "highest")
    try:
        with torch.backends.cudnn.flags(
            enabled=torch.backends.cudnn.enabled,  # its default is False: no cuDNN at all
            benchmark=False,
            deterministic=True,  # a resumed run gives the same bits
            allow_tf32=allow,
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def make_runners(
    network: Network,
    layers: Sequence[str],
    *,
    devices: Sequence[torch.device],
    precision: Precision,
    compute: str,
    start: str | None = None,
    rectify: bool = False,
) -> list[Runner]:
    """Return one runner a device; with a ``start``, of the network behind that layer.

    Raises
    ------
    DataError
        The compute precision is unknown, or the device does not have it.
    """
    if compute not in COMPUTE:
        raise DataError(f"unknown compute precision {compute!r}; use {', '.join(COMPUTE)}")
    if compute in {"tf32", "float16"} and devices[0].type == "cpu":
        raise DataError(f"compute precision {compute!r} needs a GPU; use float32 or bfloat16")
    if devices[0].type == "cpu":
        keep_freed_memory()
    common: dict[str, Any] = {"precision": precision, "compute": compute, "start": start}
    return [Runner(network, layers, device=d, rectify=rectify, **common) for d in devices]
