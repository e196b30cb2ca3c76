"""Where a network runs: names of devices, compute precision, and the GPU against the CPU."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from fstore.errors import DataError
from fstore.extractor.devices import (
    COMPUTE,
    Runner,
    default_batch_size,
    find_devices,
    make_runners,
    matmul_precision,
    to_device,
)
from fstore.extractor.images import warp_box
from fstore.extractor.networks import Network, build_network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.warping import RegionCrops, crop_regions
from fstore.types import ActivationBatch, Box, LayerResponses

CPU = torch.device("cpu")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Give a function that makes torch see a number of CUDA devices."""

    def pretend(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return pretend


@pytest.fixture(scope="module")
def network() -> Network:
    """Give caffenet-mini with seeded weights."""
    torch.manual_seed(0)
    return build_network("caffenet-mini")


@pytest.mark.parametrize(
    ("count", "text", "names"),
    [
        (0, "auto", ["cpu"]),
        (0, "cpu", ["cpu"]),
        (2, "cpu", ["cpu"]),
        (2, "auto", ["cuda:0", "cuda:1"]),
        (2, "cuda", ["cuda:0", "cuda:1"]),
        (2, "cuda:1", ["cuda:1"]),
        (2, "cuda:1,0", ["cuda:1", "cuda:0"]),
        (2, "cuda:1,1", ["cuda:1"]),
    ],
)
def test_texts_name_devices(
    gpus: Callable[[int], None], count: int, text: str, names: list[str]
) -> None:
    """``auto`` takes all GPUs, or the CPU; numbers choose GPUs, each once."""
    gpus(count)
    assert [str(d) for d in find_devices(text)] == names


@pytest.mark.parametrize(
    "text",
    ["gpu", "cuda0", "cudaX", "cuda:", "cuda:a", "cuda:-1", "cuda:0,", "auto:0", "", "cuda:²"],
)
def test_unknown_texts_are_refused(gpus: Callable[[int], None], text: str) -> None:
    """Anything else is an error that says what may be written."""
    gpus(2)
    with pytest.raises(DataError, match=r"unknown device .*; use auto, cpu, cuda, or cuda:0,1"):
        find_devices(text)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "cuda"), (0, "cuda:0"), (2, "cuda:2"), (2, "cuda:0,7")]
)
def test_absent_devices_are_refused(gpus: Callable[[int], None], count: int, text: str) -> None:
    """A device that is not there is an error that says how many there are."""
    gpus(count)
    with pytest.raises(DataError, match=f"'{text}' is not there; CUDA devices .*: {count}"):
        find_devices(text)


def test_batches_are_larger_on_gpus() -> None:
    """32 samples on the CPU, 256 on a GPU; fewer where a sample has millions of values."""
    gpu = torch.device("cuda", 0)
    assert default_batch_size([CPU], 260_448) == 32  # caffenet: 33 MB
    assert default_batch_size([gpu], 260_448) == 256
    assert default_batch_size([CPU], 3_543_624) == 8  # squeezenet-v1.0: 8 x 14.2 MB fit in 128 MiB
    assert default_batch_size([gpu], 3_543_624) == 64
    assert default_batch_size([CPU], 1 << 40) == 1


@pytest.mark.parametrize(
    ("compute", "says"),
    [
        ("fp8", "unknown compute precision 'fp8'; use float32, tf32, bfloat16, float16"),
        ("tf32", "'tf32' needs a GPU; use float32 or bfloat16"),
        ("float16", "'float16' needs a GPU"),
    ],
)
def test_compute_precision_that_is_not_there(network: Network, compute: str, says: str) -> None:
    """An unknown precision, and one that the CPU lacks, are errors that say what may be used."""
    with pytest.raises(DataError, match=says):
        make_runners(network, ["fc7"], devices=[CPU], precision="tf32", compute=compute)


def test_matmul_precision_is_put_back() -> None:
    """Inside, TF32 is allowed or not and cuDNN stays on; after an error all is as before."""

    def state() -> tuple[object, ...]:
        cudnn = torch.backends.cudnn
        return (
            torch.get_float32_matmul_precision(),
            cudnn.allow_tf32,
            cudnn.enabled,
            cudnn.benchmark,
        )

    before = state()
    for compute, expected in (("tf32", ("high", True)), ("float32", ("highest", False))):
        with matmul_precision(compute):
            assert state() == (*expected, True, False)
        assert state() == before
    with suppress(KeyboardInterrupt), matmul_precision("tf32"):
        raise KeyboardInterrupt
    assert state() == before


def forward(network: Network, device: torch.device, compute: str, n: int = 4) -> ActivationBatch:
    """Run random images through all declared layers."""
    images = np.random.default_rng(1).normal(size=(n, 3, 64, 64)).astype(np.float32)
    runner = Runner(network, list(network.layers), device=device, precision="tf32", compute=compute)
    return runner.submit(np.arange(n), images).result()


def test_bfloat16_on_the_cpu_is_close(network: Network) -> None:
    """Autocast to bfloat16 changes responses by a few hundredths of a layer's largest."""
    full, half = forward(network, CPU, "float32"), forward(network, CPU, "bfloat16")
    assert not np.array_equal(half.layers["fc7"].act_max, full.layers["fc7"].act_max)
    for layer, expected in full.layers.items():
        scale = np.abs(expected.act_max).max()
        # 8 significant bits, seven layers deep
        assert np.abs(half.layers[layer].act_max - expected.act_max).max() < 0.05 * scale, layer
        assert half.layers[layer].act_max.dtype == np.float32


def columns(responses: LayerResponses) -> dict[str, NDArray[Any]]:
    """Return a layer's columns by name."""
    return {name: getattr(responses, name) for name in LayerResponses.__slots__}


def regions(size: int) -> tuple[RegionCrops, NDArray[np.float32], Preprocess]:
    """Return regions cut out of an image of noise, the same warped, and how."""
    p = Preprocess(size, size, context=4)
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8))
    boxes: list[Box] = [(1, 1, 120, 90), (5, 7, 60, 50), (100, 80, 120, 90)]
    crops = crop_regions(image, boxes, p, uri="a")
    return crops, np.stack([warp_box(image, box, p) for box in boxes]), p


def test_regions_warped_by_the_runner_give_the_same_responses(network: Network) -> None:
    """A batch of regions that are cut out runs like one that is warped; layouts differ."""
    crops, warped, p = regions(64)
    runner = Runner(
        replace(network, preprocess=p), ["conv5", "fc7"], device=CPU, precision="float32",
        compute="float32",
    )  # fmt: skip
    found, expected = (runner.submit(np.arange(3), x).result() for x in (crops, warped))
    for layer, values in expected.layers.items():
        scale = np.abs(values.act_max).max()
        # channels last in memory: other kernels, whose sums have another order
        assert np.abs(found.layers[layer].act_max - values.act_max).max() < 1e-5 * scale, layer


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_regions_reach_the_gpu_with_the_same_bits() -> None:
    """Warped on the GPU or copied there, inputs are equal and have one layout."""
    crops, warped, p = regions(64)
    cuda = torch.device("cuda", 0)
    here, there = to_device(crops, p, cuda), to_device(warped, p, cuda)
    assert torch.equal(here, there)
    assert here.stride() == there.stride()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("compute", COMPUTE)
def test_the_gpu_agrees_with_the_cpu(network: Network, compute: str) -> None:
    """The same images give the same responses on both, summaries included."""
    expected = forward(network, CPU, "float32")
    # sums in another order; TF32 and halves keep 11 or 8 significant bits, seven layers deep
    tolerance = 1e-3 if compute == "float32" else 0.05
    found = forward(network, torch.device("cuda", 0), compute)
    for layer, values in expected.layers.items():
        scale = np.abs(values.act_max).max()
        error = np.abs(found.layers[layer].act_max - values.act_max).max()
        assert error <= tolerance * scale, layer
        if values.maps is not None:
            other = columns(found.layers[layer])
            maps = other["maps"]
            assert np.abs(maps - values.maps).max() <= tolerance * scale, layer
            assert np.array_equal(other["act_max"], maps.max(-1))
            assert np.array_equal(other["argmax"], maps.argmax(-1))
            assert np.array_equal(other["nnz"], np.count_nonzero(maps, axis=-1))
            assert np.array_equal(other["npos"], np.count_nonzero(maps > 0, axis=-1))
            # float64 sums of 225 numbers of 11 bits, in another order
            assert np.allclose(other["act_sum"], maps.sum(-1, dtype=np.float64), rtol=1e-12)
