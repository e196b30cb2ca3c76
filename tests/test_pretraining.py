"""Pre-training into a store: killed, out of space, diverging, by several processes."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from _kill import run_code, run_with_kills
from fstore import workflows
from fstore.errors import DataError, StorageError
from fstore.extractor.training import Multiplier, Step
from fstore.extractor.weights import read_tensors
from fstore.store import Store
from fstore.workflows.train.run import TrainingOptions, pretrain

RUN = {"network": "caffenet-mini", "dataset": "noise", "batch_size": 4, "lr": 0.002,
       "mirror": True, "seed": 1}  # fmt: skip


def make_images(folder: Path, classes: str = "ab", n: int = 24) -> Path:
    """Write n PNG files, in turn into a folder for each class, which its brightness tells."""
    random = np.random.default_rng(7)
    for i in range(n):
        bright = 60 + 80 * (i % len(classes))
        pixels = random.integers(0, 60, size=(6, 6, 3), dtype=np.uint8) + np.uint8(bright)
        path = folder / classes[i % len(classes)] / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((70, 60), Image.Resampling.BICUBIC).save(path)
    return folder


def make_store(path: Path, images: Path) -> Store:
    """Create a store with one data set."""
    store = Store.create(path)
    workflows.add_dataset(store, "noise", "imagefolder", root=images, seeds=[0])
    return store


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Give a folder of generated images of two classes."""
    return make_images(tmp_path / "images")


def known(store: Store) -> dict[str, tuple[str, float | None, str]]:
    """Return what is registered: weights, loss and recipe of each checkpoint."""
    return {c.name: (c.sha256, c.loss, c.recipe) for c in store.checkpoints()}


PRETRAIN = """
import sys
from pathlib import Path
from fstore.store import Store
from fstore.workflows.train.run import TrainingOptions, pretrain

store = Store.open(Path(sys.argv[1]))
options = TrainingOptions(save_every=2, workers=2, on_step=lambda s: print(s.iteration, flush=True))
pretrain(store, network="caffenet-mini", dataset="noise", batch_size=4, lr=0.002,
         mirror=True, seed=1, iterations=int(sys.argv[2]), snapshots=[3, 10, int(sys.argv[2])],
         options=options)
"""


def killed_equals_whole(tmp_path: Path, images: Path, kills: int, seed: int) -> None:
    """Compare a store whose run was killed with one whose run was not."""
    killed, whole = (make_store(tmp_path / name, images) for name in ("killed", "whole"))
    iterations = 12 * kills + 8
    run_with_kills(PRETRAIN, killed.path, iterations, kills=kills, longest=8, seed=seed)
    run_code(PRETRAIN, whole.path, iterations)
    assert known(killed) == known(whole)
    assert set(known(whole)) == {"3", "10", str(iterations)}
    assert list((killed.path / "training").iterdir()) == []


@pytest.mark.slow
def test_killed_runs_end_as_one(tmp_path: Path, images: Path, seed: int) -> None:
    """A run killed twice ends with the same checkpoints, bit for bit, losses and curves too."""
    killed_equals_whole(tmp_path, images, kills=2, seed=seed)


@pytest.mark.slow
def test_runs_killed_often_end_as_one(tmp_path: Path, images: Path, seed: int) -> None:
    """Six kills at random moments change no bit of what a run ends with."""
    killed_equals_whole(tmp_path, images, kills=6, seed=seed + 1)


def test_a_full_disk_keeps_the_last_snapshot(
    tmp_path: Path, small_disk: Callable[[int], Path], images: Path
) -> None:
    """On a disk that fills up: a named error, the last snapshot whole; a rerun ends as ever."""
    place = small_disk(24)
    store = make_store(place / "store", images)
    filler = place / "filler"

    def fill(step: Step) -> None:
        if step.iteration == 3:
            free = shutil.disk_usage(place).free
            filler.write_bytes(b"x" * (free - (64 << 10)))

    run: dict[str, Any] = {**RUN, "iterations": 6, "snapshots": [2, 5, 6]}
    with pytest.raises(StorageError, match="No space left"):
        pretrain(store, **run, options=TrainingOptions(on_step=fill))
    (record,) = Store.open(store.path).checkpoints()
    assert record.name == "2"
    weights = read_tensors(store.checkpoint_path(record))
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    filler.unlink()
    done: list[Step] = []
    pretrain(store, **run, options=TrainingOptions(on_step=done.append))
    assert [step.iteration for step in done] == [3, 4, 5, 6]  # the state is from iteration 2
    whole = make_store(tmp_path / "whole", images)
    pretrain(whole, **run)
    assert known(store) == known(whole)


def test_a_kill_just_before_the_end_leaves_nothing(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose last act is missing, taking its state away, does it when it is run again."""
    store = make_store(tmp_path / "store", images)
    with monkeypatch.context() as patch:
        patch.setattr("fstore.workflows.train.run._clear", lambda _: None)
        (record,) = pretrain(store, **RUN, iterations=2)  # type: ignore[arg-type]
    assert len(list((store.path / "training").glob("*/state.pt"))) == 1
    assert pretrain(store, **RUN, iterations=2) == [record]  # type: ignore[arg-type]
    assert list((store.path / "training").iterdir()) == []


def test_divergence_keeps_the_last_snapshot(tmp_path: Path, images: Path) -> None:
    """A run that diverges is a named error; what it registered before stays, and is finite."""
    store = make_store(tmp_path / "store", images)
    run: dict[str, Any] = {**RUN, "iterations": 12, "snapshots": [3, 12], "step": 3, "gamma": 1e30}
    for _ in range(2):  # again: from the state, to the same end
        with pytest.raises(DataError, match=r"training diverged.*kept.*smaller --lr"):
            pretrain(store, **run)
    (record,) = store.checkpoints()
    weights = read_tensors(store.checkpoint_path(record))
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    """A data set with one class cannot be trained on; the error says why."""
    store = make_store(tmp_path / "store", make_images(tmp_path / "images", "a"))
    with pytest.raises(DataError, match="are of one class; training needs two or more"):
        pretrain(store, **RUN, iterations=2)  # type: ignore[arg-type]
    assert store.checkpoints() == []


def test_a_frozen_layer_is_in_the_recipe(tmp_path: Path, images: Path) -> None:
    """A factor of 0 keeps a layer's initial bits in the checkpoint, and its recipe says so."""
    store = make_store(tmp_path / "store", images)
    workflows.init_checkpoint(store, network="caffenet-mini", name="initial", seed=1, classes=2)
    frozen = (Multiplier("conv*", lr=0.0, decay=0.0), Multiplier("*.bias", lr=2.0, decay=0.0))
    (record,) = pretrain(store, **RUN, iterations=2, multipliers=frozen)  # type: ignore[arg-type]
    before, after = (
        read_tensors(store.checkpoint_path(r)) for r in (store.find_checkpoint("initial"), record)
    )
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if name.startswith("conv")}
    assert json.loads(record.recipe)["recipe"]["multipliers"][0] == {
        "pattern": "conv*", "lr": 0.0, "decay": 0.0
    }  # fmt: skip


TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
       "-m", "fstore.cli"]  # fmt: skip
ARGUMENTS = ["train", "pretrain", "--network", "caffenet-mini", "--dataset", "noise",
             "--batch-size", "7", "--lr", "0.002", "--mirror", "--iterations", "6",
             "--snapshots", "2,6", "--validate-every", "2", "--device", "cpu",
             "--json"]  # fmt: skip


def trained(store: Store, program: list[str], *options: str) -> list[dict[str, Any]]:
    """Train by the command line, in processes of their own; return what it prints."""
    command = [*program, "--store", str(store.path), *ARGUMENTS, *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path, images: Path) -> None:
    """Two CPU processes of torchrun register once what one process gives, to rounding."""
    stores = [make_store(tmp_path / name, images) for name in ("one", "two")]
    programs = ([sys.executable, "-m", "fstore.cli"], TWO)
    outputs = [trained(store, program) for store, program in zip(stores, programs, strict=True)]
    for left, right in zip(*outputs, strict=True):
        assert (left["name"], left["lr"]) == (right["name"], right["lr"])
        assert left["loss"] == pytest.approx(right["loss"], rel=1e-5)  # order of sums
        one, two = (
            read_tensors(store.checkpoint_path(store.find_checkpoint(left["name"])))
            for store in stores
        )
        for name, tensor in one.items():  # float32: rounding of six updates
            torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-6)
    recipes = [json.loads(s.find_checkpoint("6").recipe) for s in stores]
    assert recipes[0].keys() == recipes[1].keys()
    assert [i for i, _ in recipes[1]["validation"]] == [2, 4, 6]


@pytest.mark.slow
def test_two_processes_killed_go_on(tmp_path: Path, images: Path) -> None:
    """Torchrun's processes, all killed after a snapshot, go on to the same bits."""
    killed, whole = (make_store(tmp_path / name, images) for name in ("killed", "whole"))
    command = [*TWO, "--store", str(killed.path), *ARGUMENTS, "--save-every", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with psutil.Popen(command, env=environment, stderr=subprocess.DEVNULL,
                      stdout=subprocess.DEVNULL) as process:  # fmt: skip
        while not killed.checkpoints():
            assert process.poll() is None
            time.sleep(0.02)
        for one in [process, *process.children(recursive=True)]:
            one.kill()
    assert [record.name for record in killed.checkpoints()] == ["2"]
    trained(killed, TWO)
    trained(whole, TWO)
    assert known(killed) == known(whole)


def test_workers_and_saving_change_nothing(tmp_path: Path, images: Path) -> None:
    """One decoding thread or three, saving often or seldom: the same weights."""
    stores = [make_store(tmp_path / str(i), images) for i in range(2)]
    options = TrainingOptions(workers=1, save_every=1)
    pretrain(stores[0], **RUN, iterations=4, options=options)  # type: ignore[arg-type]
    options = replace(options, workers=3, save_every=None, validate_every=2)
    pretrain(stores[1], **RUN, iterations=4, options=options)  # type: ignore[arg-type]
    assert known(stores[0])["4"][0] == known(stores[1])["4"][0]


@pytest.mark.parametrize(
    ("device", "message"),
    [("cuda:0,1", "a process trains on one device"), ("gpu", "unknown device")],
)
def test_devices_are_checked(tmp_path: Path, images: Path, device: str, message: str) -> None:
    """Several devices for one process, or an unknown one, are named errors."""
    store = make_store(tmp_path / "store", images)
    with pytest.raises(DataError, match=message):
        pretrain(store, **RUN, iterations=2, options=TrainingOptions(device=device))  # type: ignore[arg-type]
