"""Files of weights: read whatever their format, matched by name and shape, kept atomically."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fstore.errors import DataError, StorageError
from fstore.extractor.networks import Network, build_network
from fstore.extractor.weights import (
    MEAN_IMAGE,
    load_checkpoint,
    load_weights,
    read_mean_image,
    save_checkpoint,
    tensors_sha256,
)
from fstore.extractor.weights.checkpoints import _copied


@pytest.fixture
def network() -> Network:
    """caffenet-mini with seeded initial weights."""
    torch.manual_seed(3)
    return build_network("caffenet-mini")


@pytest.fixture
def other() -> Network:
    """caffenet-mini with other initial weights, to load into."""
    torch.manual_seed(4)
    return build_network("caffenet-mini")


def _npz(state: dict[str, Tensor], path: Path) -> None:
    arrays: dict[str, Any] = {name.replace(".", "/"): t.numpy() for name, t in state.items()}
    np.savez(path, **arrays)


def _parallel(state: dict[str, Tensor], path: Path) -> None:
    nested = {f"module.{name}": t for name, t in state.items()}
    torch.save({"epoch": 3, "state_dict": nested, "optimizer": {"lr": 0.1}}, path)


WRITERS: dict[str, Callable[[dict[str, Tensor], Path], object]] = {
    "a.safetensors": save_file,
    "a.pth": torch.save,
    "nested.pt": lambda state, path: torch.save({"model": state, "best": 0.5}, path),
    "parallel.tar": _parallel,
    "a.npz": _npz,
}


@pytest.mark.parametrize("name", WRITERS)
def test_formats_give_the_same_tensors(
    name: str, network: Network, other: Network, tmp_path: Path
) -> None:
    """Each format, written by its own library, gives back every tensor bit by bit."""
    state = network.model.state_dict()
    WRITERS[name](state, tmp_path / name)
    found = load_weights(tmp_path / name, other)
    assert list(found) == list(state)
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_problems_are_all_named(network: Network, tmp_path: Path) -> None:
    """Wrong shapes, missing, unexpected and non-finite tensors are named in one error."""
    state = dict(network.model.state_dict())
    state["conv1.weight"] = torch.zeros(16, 3, 5, 5)
    state["conv2.bias"] = torch.full((48,), float("nan"))
    state["extra.weight"] = torch.zeros(2)
    del state["fc8.bias"]
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(DataError) as caught:
        load_weights(tmp_path / "bad.pt", network)
    message = str(caught.value)
    assert "conv1.weight is (16, 3, 5, 5), expected (16, 3, 7, 7)" in message
    assert "conv2.bias holds values that are not finite" in message
    assert "missing: fc8.bias" in message
    assert "unexpected: extra.weight" in message


def test_legacy_shapes_fit_only_by_leading_ones(network: Network, tmp_path: Path) -> None:
    """(1, 1, out, in) fits (out, in); the same number of values in another shape does not."""
    state = dict(network.model.state_dict())
    state["fc7.weight"] = state["fc7.weight"][None, None]
    torch.save(state, tmp_path / "old.pt")
    found = load_weights(tmp_path / "old.pt", network)
    assert torch.equal(found["fc7.weight"], network.model.state_dict()["fc7.weight"])
    state["fc7.weight"] = network.model.state_dict()["fc7.weight"].reshape(128, 512)
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(DataError, match=r"fc7.weight is \(128, 512\), expected \(256, 256\)"):
        load_weights(tmp_path / "other.pt", network)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_files_are_named_errors(
    name: str, share: float, network: Network, tmp_path: Path
) -> None:
    """A file cut short is a DataError that names it, in every format."""
    path = tmp_path / name
    WRITERS[name](network.model.state_dict(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=name):
        load_weights(path, network)


def test_pickles_that_run_code_are_refused(network: Network, tmp_path: Path) -> None:
    """A torch file that would call a function on loading is refused, and calls nothing."""
    torch.save({"weight": Fraction(1, 3)}, tmp_path / "code.pt")
    with pytest.raises(DataError, match="which runs nothing of it"):
        load_weights(tmp_path / "code.pt", network)


@pytest.mark.parametrize("name", ["none.pt", "readme.md"])
def test_missing_and_unknown_files(name: str, network: Network, tmp_path: Path) -> None:
    """A file that is not there, or of an unknown ending, is a named error."""
    (tmp_path / "readme.md").write_text("weights")
    with pytest.raises(DataError, match=name):
        load_weights(tmp_path / name, network)


def test_checkpoint_restores_weights_and_mean_image(
    network: Network, other: Network, tmp_path: Path
) -> None:
    """A saved checkpoint loads into a copy: same outputs, its mean image, the original as was."""
    mean = np.random.default_rng(0).random((3, 64, 64)).astype(np.float32)
    path = save_checkpoint(network.model.state_dict(), tmp_path / "a.safetensors", mean_image=mean)
    before = tensors_sha256(other.model.state_dict())
    loaded = load_checkpoint(path, other)
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded.model(x), network.model(x))
    assert not loaded.model.training
    assert tensors_sha256(other.model.state_dict()) == before
    assert loaded.preprocess.mean_image is not None
    np.testing.assert_array_equal(loaded.preprocess.mean_image, mean)
    assert loaded.preprocess.hash == replace(other.preprocess, mean_image=mean).hash
    assert set(load_file(path)) == {*network.model.state_dict(), MEAN_IMAGE}


@pytest.mark.parametrize(("name", "last"), [("caffenet-digits", True), ("caffenet-mini", False)])
def test_weights_lie_in_memory_as_the_network_asks(name: str, last: bool, tmp_path: Path) -> None:
    """A network in channels_last is so with a checkpoint's weights, and computed in less time."""
    network = build_network(name)
    path = save_checkpoint(network.model.state_dict(), tmp_path / "a.safetensors")
    loaded = load_checkpoint(path, network)
    own, given = (n.model.get_parameter("conv2.weight") for n in (loaded, network))
    assert given.is_contiguous(memory_format=torch.channels_last) is last
    assert own.stride() == given.stride()
    assert torch.equal(own, given)


@pytest.mark.parametrize("shape", [(8, 1, 3, 3), (16, 8, 1, 1), (4, 3, 3, 3), (2, 3, 1, 2, 2)])
@pytest.mark.parametrize("last", [True, False])
def test_strides_of_weights_are_the_networks(shape: tuple[int, ...], last: bool) -> None:
    """Depthwise and 1x1 filters, whose strides say it while they count as contiguous, too."""
    kind = {4: torch.channels_last, 5: torch.channels_last_3d}[len(shape)]
    given = torch.empty(shape).to(memory_format=kind) if last else torch.empty(shape)
    weights = torch.randn(shape)
    for like in (given, given.to("meta")):
        own = _copied(weights, like=like)
        assert (own.stride(), own.device.type) == (given.stride(), "cpu")
        assert torch.equal(own, weights)


def test_checkpoint_of_other_classes_loads(other: Network, tmp_path: Path) -> None:
    """Weights for another number of classes get a network with that many outputs."""
    five = build_network("caffenet-mini", classes=5)
    path = save_checkpoint(five.model.state_dict(), tmp_path / "a.safetensors")
    assert load_checkpoint(path, other).model(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


def test_hash_covers_names_types_shapes_and_values() -> None:
    """The tensors' hash ignores order and strides, and changes with anything else."""
    a = torch.arange(6.0).reshape(2, 3)
    b = torch.tensor(3, dtype=torch.bfloat16)
    same = tensors_sha256({"a": a, "b": b})
    assert tensors_sha256({"b": b, "a": a.T.contiguous().T}) == same
    changed = [
        {"a": a, "c": b},
        {"a": a.reshape(3, 2), "b": b},
        {"a": a.to(torch.float64), "b": b},
        {"a": a + 1, "b": b},
        {"a": a},
    ]
    assert same not in {tensors_sha256(tensors) for tensors in changed}


def _die(fd: Any) -> None:  # noqa: ANN401, ARG001 - stands for os.fsync
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_writer_leaves_the_old_file(network: Network, tmp_path: Path) -> None:
    """SIGKILL before the new file has its name leaves the old checkpoint whole."""
    path = save_checkpoint(network.model.state_dict(), tmp_path / "a.safetensors")
    old = path.read_bytes()
    child = os.fork()
    if child == 0:  # pragma: no cover - dies
        os.fsync = _die
        save_checkpoint({"a": torch.zeros(3)}, path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert path.read_bytes() == old


def test_unwritable_folder_is_a_named_error(tmp_path: Path) -> None:
    """A checkpoint that cannot be written says where."""
    with pytest.raises(StorageError, match=r"cannot write .*a\.safetensors"):
        save_checkpoint({"a": torch.zeros(1)}, tmp_path / "no" / "a.safetensors")


def test_mean_image_must_fit(network: Network, tmp_path: Path) -> None:
    """A mean image of another shape is refused with both shapes."""
    np.save(tmp_path / "mean.npy", np.zeros((3, 32, 32)))
    with pytest.raises(DataError, match=r"is \(3, 32, 32\) float64; expected .*\(3, 64, 64\)"):
        read_mean_image(tmp_path / "mean.npy", network.preprocess)
