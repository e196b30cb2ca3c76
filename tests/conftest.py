"""Fixtures that several rooms' tests share."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray
from typer.main import get_command

from _build import PARTS, add_checkpoint, add_dataset, add_layers, put, relu
from _object_server import remote, seaweed  # noqa: F401 - fixtures
from fstore.store import Store
from fstore.store.files import Partition

# How long a machine takes to draw an example says nothing about the code.
settings.register_profile("fstore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fstore")

NETWORK = "torchvision:x"
SHAPES = {"conv1": (3, 4, 4), "fire2/concat": (5, 4, 4), "fc7": (6, 1, 1)}
CKPTS = ("5", "005")


@dataclass(frozen=True)
class Known:
    """A store and all that is in it: (checkpoint, layer) -> (samples, channels, positions)."""

    store: Store
    values: Mapping[tuple[str, str], NDArray[np.float32]]


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """Return a store of known responses, which no test changes.

    Twelve images; layers ``conv1`` (dense), ``fire2/concat`` (sparse, so zeros are NULL on disk;
    channel 4 never fires) and ``fc7`` (sparse); checkpoints whose names look like numbers.
    """
    store = Store.create(tmp_path_factory.mktemp("known") / "store")
    add_dataset(store, parts=PARTS * 2)
    add_layers(store, NETWORK, SHAPES)
    values = {}
    for seed, ckpt in enumerate(CKPTS):
        add_checkpoint(store, NETWORK, ckpt, iteration=5)
        for layer, (channels, height, width) in SHAPES.items():
            x = relu(seed, 12, channels, height * width)
            if layer == "conv1":
                x = x - np.float32(2)
            if layer == "fire2/concat":
                x = np.maximum(x - np.float32(0.5), 0)
                x[:, 4] = 0
            put(store, Partition(NETWORK, ckpt, "d", "image", layer), x)
            values[ckpt, layer] = x
    return Known(store, values)


@pytest.fixture(autouse=True)
def _own_threads() -> Iterator[None]:
    """Give torch its threads back after a test that took some: bits depend on their number."""
    import torch

    before = torch.get_num_threads()
    yield
    if torch.get_num_threads() != before:
        torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_not_ignored() -> None:
    """Undo what a shell does to its background jobs: they ignore SIGINT, and so do their children.

    Tests that send it to a process of their own would wait for it without end.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _program_made_once() -> Iterator[None]:
    """Have ``CliRunner`` make the commands once a process, as a user's process does, not each time.

    That takes 30 ms, thousands of times.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", cache(get_command))
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests agree to out of the user's own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture
def seed() -> int:
    """Return the seed of statistical tests, which pass for any: ``FSTORE_TEST_SEED``."""
    return int(os.environ.get("FSTORE_TEST_SEED", "0"))


@pytest.fixture
def store(known: Known) -> Store:
    """Return the store of :func:`known`."""
    return known.store


@pytest.fixture
def empty(tmp_path: Path) -> Store:
    """Return an empty store."""
    return Store.create(tmp_path / "store")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Give a function that mounts a file system of some MiB; skipped without the right to."""
    mounted = []

    def mount(size_mib: int) -> Path:
        place = tmp_path / "disk"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(place)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("no right to mount a small file system")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)
