"""Rounding and summaries against arithmetic that shares nothing with them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from fstore.extractor.responses import (
    _on_cpu,
    _on_gpu,
    _round_to_tf32,
    round_to,
    stored,
    summarise,
)
from fstore.types import Precision

MANY = settings(max_examples=60, deadline=None)
NAN_BITS = (0x7FC00000, 0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001, 0xFF800001, 0xFFC00000, 0x7F801000)
F32_BITS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=200)


def floats(patterns: list[int] | tuple[int, ...]) -> NDArray[np.float32]:
    """Return the float32 numbers of bit patterns."""
    return np.array(patterns, np.uint32).view(np.float32)


def rounded(x: NDArray[np.float32], precision: Precision) -> NDArray[np.float32]:
    """Round with the code under test."""
    result: NDArray[np.float32] = round_to(torch.from_numpy(x.copy()), precision).numpy()
    return result


def by_arithmetic(x: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Round to ``bits`` significant bits in float64: mantissa times 2^bits, half to even.

    Below float32's normal range the spacing stays that of the smallest normal number.
    """
    wide = x.astype(np.float64)
    _, exponent = np.frexp(wide)
    step = np.ldexp(1.0, np.maximum(exponent, -125) - bits)
    with np.errstate(over="ignore"):
        nearest: NDArray[np.float32] = (np.round(wide / step) * step).astype(np.float32)
    return nearest


def same(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Tell whether numbers are equal bit for bit."""
    return bool(np.array_equal(a.view(np.uint32), b.view(np.uint32)))


@MANY
@given(F32_BITS)
def test_tf32_is_the_nearest_with_ten_bits(patterns: list[int]) -> None:
    """Any number goes to the nearest with 10 bits after the leading one, ties to even."""
    x = floats(patterns)
    x = x[np.isfinite(x)]
    if x.size:
        assert same(rounded(x, "tf32"), by_arithmetic(x, 11))


@pytest.mark.parametrize("sign", [1, -1])
def test_ties_go_to_even(sign: int) -> None:
    """Halfway between two neighbours, the one with an even last bit is taken."""
    ulp = 2.0**-10
    x = sign * np.array([1 + 0.5 * ulp, 1 + 1.5 * ulp, 1 + 2.5 * ulp, 1 + 0.5001 * ulp], np.float32)
    expected = sign * np.array([1, 1 + 2 * ulp, 1 + 2 * ulp, 1 + ulp], np.float32)
    assert same(rounded(x, "tf32"), expected)


def test_the_ends_of_the_range() -> None:
    """Above the largest representable number lies infinity; zeros keep their sign."""
    largest = np.float32(2.0**127 * (2 - 2.0**-10))
    halfway = np.float32(2.0**127 * (2 - 2.0**-11))  # float32 that is as near to infinity
    below = np.nextafter(halfway, np.float32(0))
    x = np.array([largest, below, halfway, np.finfo(np.float32).max, np.inf, -np.inf], np.float32)
    expected = np.array([largest, largest, np.inf, np.inf, np.inf, -np.inf], np.float32)
    assert same(rounded(x, "tf32"), expected)
    assert same(rounded(-x, "tf32"), -expected)
    zeros = np.array([0.0, -0.0], np.float32)
    assert same(rounded(zeros, "tf32"), zeros)
    assert rounded(floats([1]), "tf32")[0] == 0  # the smallest denormal is nearer to 0


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float32"])
@pytest.mark.parametrize("pattern", NAN_BITS)
def test_nan_stays_nan(precision: Precision, pattern: int) -> None:
    """A NaN of any payload and sign stays NaN, and its neighbours are not touched."""
    x = np.concatenate([floats([pattern]), np.array([1.5, -2.0], np.float32)])
    found = rounded(x, precision)
    assert np.isnan(found).tolist() == [True, False, False]
    assert found[1:].tolist() == [1.5, -2.0]


@MANY
@given(F32_BITS)
def test_bfloat16_is_the_nearest_with_seven_bits(patterns: list[int]) -> None:
    """Any number goes to the nearest with 7 bits after the leading one, ties to even."""
    x = floats(patterns)
    x = x[np.isfinite(x)]
    if x.size:
        assert same(rounded(x, "bfloat16"), by_arithmetic(x, 8))


@MANY
@given(F32_BITS)
def test_rounding_twice_is_rounding_once(patterns: list[int]) -> None:
    """Stored values are exact in their precision; float32 keeps every bit."""
    x = floats(patterns)
    once = rounded(x, "tf32")
    assert same(rounded(once, "tf32"), once)
    assert same(rounded(x, "float32"), x)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float32"])
def test_the_network_keeps_its_values(precision: Precision) -> None:
    """Rounding works on a contiguous copy: what it was given is as before, strided or not."""
    x = torch.randn(3, 4, 5).transpose(0, 2)
    before = x.clone()
    result = round_to(x, precision)
    assert result.is_contiguous()
    assert torch.equal(x, before)
    assert result.data_ptr() != x.data_ptr()
    half = torch.tensor([1.0, 0.1], dtype=torch.float16)
    assert round_to(half, "float32").tolist() == [1.0, float(half[1])]


# Summaries


def maps(kind: str, seed: int, shape: tuple[int, int, int]) -> Tensor:
    """Return responses: of both signs, after a ReLU, with many ties, with NaN and infinities."""
    random = np.random.default_rng(seed)
    x = random.normal(size=shape).astype(np.float32)
    if kind == "relu":
        x = np.maximum(x, 0)
    if kind == "ties":
        x = random.integers(-1, 2, size=shape).astype(np.float32) * np.float32(0.5)
    if kind == "zeros":
        x = np.where(random.random(shape) < 0.5, np.float32(0), np.float32(-0.0))
    if kind == "odd":
        x = random.choice(floats((*NAN_BITS, 0x7F800000, 0xFF800000, 0x3F800000)), size=shape)
    return torch.from_numpy(rounded(x, "tf32"))


def by_loop(row: NDArray[np.float32]) -> dict[str, float]:
    """Summarise one map in plain Python; the first NaN, or the first largest, is the largest."""
    values = [float(v) for v in row]
    nan = [i for i, v in enumerate(values) if v != v]  # noqa: PLR0124 - NaN by its definition
    first = nan[0] if nan else values.index(max(values))
    return {
        "act_max": values[first],
        "act_sum": float("nan") if nan else sum(values),
        "nnz": sum(v != 0 for v in values),
        "npos": sum(v > 0 for v in values),
        "argmax": first,
    }


@MANY
@given(
    kind=st.sampled_from(("both", "relu", "ties", "zeros", "odd")),
    seed=st.integers(0, 10_000),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from((2, 9, 36))),
)
def test_both_routes_are_the_plain_loop(kind: str, seed: int, shape: tuple[int, int, int]) -> None:
    """The CPU's way and the GPU's way (run on the CPU) give what a loop over the map gives."""
    x = maps(kind, seed, shape)
    ways = [_on_cpu(x).tensors, _on_gpu(x).tensors]
    for index in np.ndindex(*shape[:2]):
        expected = by_loop(x.numpy()[index])
        for way in ways:
            found = {name: float(way[name][index]) for name in expected}
            # The sum alone depends on the order of its terms: 36 of them in float64
            assert found.pop("act_sum") == pytest.approx(
                expected["act_sum"], rel=1e-14, abs=1e-14, nan_ok=True
            )
            assert found == pytest.approx(
                {k: expected[k] for k in found}, rel=0, abs=0, nan_ok=True
            )
    for name in ways[0]:
        assert ways[0][name].dtype == ways[1][name].dtype


LENGTHS = (1, 2, 7, 8, 9, 36, 127, 128, 129, 137, 169, 255, 257, 3025, 8191, 8192, 8193, 12_321)


@pytest.mark.parametrize("positions", LENGTHS)
@pytest.mark.parametrize("strided", [False, True])
def test_one_pass_is_numpys_way(positions: int, *, strided: bool) -> None:
    """Rounded maps and their summaries are those of plain NumPy, the last bits of sums included."""
    random = np.random.default_rng(positions)
    x = random.normal(size=(3, 5, positions, 1)).astype(np.float32)
    x *= np.exp2(random.integers(-40, 40, size=x.shape)).astype(np.float32)
    x[random.random(x.shape) < 0.3] = 0
    x[1] = np.maximum(x[1], 0)
    x[2, 0], x[2, 1], x[2, 2] = 0, -1, np.inf
    output = torch.from_numpy(x)
    if strided:
        output = output.to(memory_format=torch.channels_last)
    found = stored(output, "tf32").to_host(np.asarray)
    maps = by_arithmetic(x[..., 0], 11)
    assert found.maps is not None
    assert same(found.maps, maps)
    assert found.act_sum is not None
    assert np.array_equal(found.act_sum.view("u8"), maps.sum(-1, dtype=np.float64).view("u8"))
    assert same(found.act_max, maps.max(-1))
    for name, expected in {
        "argmax": maps.argmax(-1),
        "nnz": (maps != 0).sum(-1),
        "npos": (maps > 0).sum(-1),
    }.items():
        assert np.array_equal(getattr(found, name), expected), name
    assert np.array_equal(output.numpy(), x)


def test_threads_share_the_rows() -> None:
    """Large batches are cut at whole maps; every map is done, whichever thread does it."""
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(7, 3, 320, 320)).astype("f4"))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = stored(x, "tf32").to_host(np.asarray)
    finally:
        torch.set_num_threads(before)
    maps = by_arithmetic(x.numpy().reshape(7, 3, -1), 11)
    assert found.maps is not None
    assert same(found.maps, maps)
    assert same(found.act_max, maps.max(-1))


@MANY
@given(F32_BITS)
def test_a_gpus_rounding_is_the_cpus(patterns: list[int]) -> None:
    """What torch computes on a GPU (run on the CPU here) are the bits of the compiled loop."""
    x = floats(patterns)
    assert same(_round_to_tf32(torch.from_numpy(x.copy())).numpy(), rounded(x, "tf32"))


def test_rectified_maps_are_summarised_as_they_are_stored() -> None:
    """With rectify what is below 0 is 0 in maps and summaries alike."""
    x = torch.tensor([[[[-1.0, 2.0], [-3.0, 0.0]]]])
    found = stored(x, "tf32", rectify=True).to_host(np.asarray)
    assert found.maps is not None
    assert found.maps.tolist() == [[[0, 2, 0, 0]]]
    assert found.nnz is not None
    assert found.nnz.tolist() == [[1]]
    assert found.act_sum is not None
    assert found.act_sum.tolist() == [[2]]


def test_vectors_have_no_summary() -> None:
    """A fully connected layer's response is its own largest; nothing else is stored."""
    assert list(summarise(torch.ones(2, 3)).tensors) == ["act_max"]


def test_maps_are_flattened_row_by_row() -> None:
    """The largest's place counts along rows first, and maps keep that order."""
    x = torch.zeros(1, 2, 3, 4)
    x[0, 1, 2, 1] = 5
    responses = summarise(x).to_host(np.asarray)
    assert responses.maps is not None
    assert responses.argmax is not None
    assert responses.maps.shape == (1, 2, 12)
    assert responses.argmax.tolist() == [[0, 9]]  # row 2, column 1 of 4
    assert responses.maps[0, 1, 9] == 5
