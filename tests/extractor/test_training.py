"""Training: the protocol's updates, deterministic, resumable after a kill."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fstore.errors import DataError
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.training import (
    ArrayExamples,
    Recipe,
    Snapshot,
    Step,
    TrainingData,
    snapshot_name,
    train,
)
from fstore.extractor.training.examples import crop, draw, draw_crops
from fstore.extractor.weights import tensors_sha256

RECIPE = Recipe(lr=0.05, batch_size=8, step=6, mirror=True)


def toy_network(*, dropout: float = 0.5) -> Network:
    """Build a small seeded network with dropout."""
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(216, 2)]
    return Network("toy", nn.Sequential(*layers).eval(), Preprocess(size=8, resize=10), {})


def toy_data(n_examples: int = 40) -> TrainingData:
    """Make bright and dark images, which a linear model tells apart."""
    rng = np.random.default_rng(2)
    y = np.arange(n_examples) % 2
    noise = rng.standard_normal((n_examples, 3, 10, 10), np.float32)
    X = noise + (2 * y - 1).astype(np.float32)[:, None, None, None]
    half = n_examples // 2
    return TrainingData(ArrayExamples(X[:half], y[:half]), ArrayExamples(X[half:], y[half:]), "toy")


def run(folder: Path, iterations: int = 16, seed: int = 0) -> list[Snapshot]:
    """Train the toy network."""
    snapshots = [s for s in (4, 10, 16) if s <= iterations]
    return list(
        train(
            toy_network(),
            toy_data(),
            recipe=RECIPE,
            iterations=iterations,
            snapshots=snapshots,
            seed=seed,
            state_dir=folder,
            save_every=3,
        )
    )


def test_updates_are_the_protocols(tmp_path: Path) -> None:
    """Weights follow SGD with momentum; biases learn twice as fast and do not decay."""
    network, data = toy_network(dropout=0.0), toy_data()
    recipe = Recipe(lr=0.02, batch_size=20, momentum=0.9, weight_decay=0.1, step=2)
    data = TrainingData(ArrayExamples(data.train.load(np.arange(20))[:, :, 1:9, 1:9],
                                      data.train.labels), data.held_out)  # fmt: skip
    weights = {n: p.detach().clone() for n, p in network.model.named_parameters()}
    velocity = {n: torch.zeros_like(p) for n, p in weights.items()}
    for iteration in (1, 2, 3):  # by hand: the batch is the whole set
        lr = 0.02 if iteration < 3 else 0.002
        for p in weights.values():
            p.requires_grad_(True)
        x, y = torch.from_numpy(data.train.load(np.arange(20))), torch.from_numpy(data.train.labels)
        scores = torch.func.functional_call(network.model, weights, (x,))
        nn.functional.cross_entropy(scores, y).backward()  # type: ignore[no-untyped-call]
        for name, p in weights.items():
            bias = name.endswith("bias")
            assert p.grad is not None
            gradient = p.grad + (0 if bias else 0.1) * p.detach()
            velocity[name] = 0.9 * velocity[name] + lr * (2 if bias else 1) * gradient
            weights[name] = p.detach() - velocity[name]
    options = {"recipe": recipe, "iterations": 3, "snapshots": [3], "seed": 0}
    (found,) = train(network, data, state_dir=tmp_path, **options)  # type: ignore[arg-type]
    assert found.lr == pytest.approx(0.002)
    for name, p in weights.items():
        torch.testing.assert_close(found.weights[name], p, rtol=1e-4, atol=1e-6)  # order of sums


def test_same_seed_same_weights(tmp_path: Path) -> None:
    """Two runs with one seed are bit-equal, another seed differs, and the network is untouched."""
    first, again, other = (run(tmp_path / n, seed=s) for n, s in (("a", 0), ("b", 0), ("c", 1)))
    hashes = [[tensors_sha256(s.weights) for s in snaps] for snaps in (first, again, other)]
    assert hashes[0] == hashes[1]
    assert not set(hashes[0]) & set(hashes[2])
    assert [s.iteration for s in first] == [4, 10, 16]
    assert [s.lr for s in first] == pytest.approx([0.05, 0.005, 0.0005])
    assert first[-1].accuracy > 0.9


def test_extended_run_equals_a_long_one(tmp_path: Path) -> None:
    """A run asked for more iterations goes on where it was; its weights are those of one run."""
    whole = run(tmp_path / "whole")
    run(tmp_path / "parts", iterations=5)
    rest = run(tmp_path / "parts")
    assert [s.iteration for s in rest] == [10, 16]
    assert tensors_sha256(rest[-1].weights) == tensors_sha256(whole[-1].weights)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_training as t
from fstore.extractor.training import train

def step(step):
    if step.iteration == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

for snapshot in train(t.toy_network(), t.toy_data(), recipe=t.RECIPE, iterations=16,
                         snapshots=[4, 10, 16], seed=0, state_dir=Path(sys.argv[2]),
                         save_every=3, on_step=step):
    pass
"""


@pytest.mark.parametrize("iteration", [8, 10])
def test_killed_run_ends_with_the_same_weights(tmp_path: Path, iteration: int) -> None:
    """A run killed with SIGKILL and started again ends bit-equal to one that was not."""
    folder = tmp_path / "killed"
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", KILLED, here, str(folder), str(iteration)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert (folder / "state.pt").exists()
    resumed, whole = run(folder), run(tmp_path / "whole")
    assert [s.iteration for s in resumed] == [10, 16]
    for left, right in zip(resumed, whole[1:], strict=True):
        assert tensors_sha256(left.weights) == tensors_sha256(right.weights)


def test_state_of_another_run_is_not_resumed(tmp_path: Path) -> None:
    """A state left by another seed, or damaged, is refused with what to do."""
    run(tmp_path, seed=0)
    with pytest.raises(DataError, match="belongs to another run"):
        run(tmp_path, seed=1)
    (tmp_path / "state.pt").write_bytes(b"damaged")
    with pytest.raises(DataError, match="is damaged; delete it"):
        run(tmp_path)


def test_diverging_loss_is_a_named_error(tmp_path: Path) -> None:
    """A loss that is no number ends the run and names the iteration and the lr."""
    steps: list[Step] = []
    recipe = Recipe(lr=1e30, batch_size=8)
    with pytest.raises(
        DataError, match=r"the loss is (nan|inf) after \d+ iterations with lr 1e\+30"
    ):
        list(train(toy_network(), toy_data(), recipe=recipe, iterations=9, snapshots=[],
                      seed=0, state_dir=tmp_path, on_step=steps.append))  # fmt: skip
    assert all(np.isfinite(step.loss) for step in steps)


def test_draws_are_shuffled_epochs() -> None:
    """Every example is drawn once an epoch, in an order that depends on the seed."""
    drawn = np.concatenate([draw(10, 4, seed=3, iteration=i) for i in range(1, 6)])
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert drawn[:10].tolist() != drawn[10:].tolist()
    assert drawn[:4].tolist() != draw(10, 4, seed=4, iteration=1).tolist()
    assert len(draw(3, 8, seed=0, iteration=1)) == 8


def test_crops_are_parts_of_the_image() -> None:
    """A random crop is a window of its image, mirrored or not; both and all places occur."""
    images = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)
    windows = {
        images[0, :, y : y + 3, x : x + 3][:, :, ::side].tobytes()
        for y in (0, 1)
        for x in (0, 1)
        for side in (1, -1)
    }
    found = {crop(images, 3, draw_crops(2, mirror=True, seed=s))[0].tobytes() for s in range(100)}
    assert found == windows


@pytest.mark.parametrize(
    ("iteration", "name"), [(5, "5"), (300, "300"), (5000, "5k"), (305_000, "305k"), (1500, "1500")]
)
def test_snapshots_are_named_by_iteration(iteration: int, name: str) -> None:
    """Exact thousands are written with k."""
    assert snapshot_name(iteration) == name


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"lr": 0.0}, "lr of a recipe must be above 0"), ({"batch_size": None}, "give --batch-size")],
)
def test_bad_recipes_are_named_errors(changes: dict[str, object], message: str) -> None:
    """A recipe without sense, or without its numbers, says what is wrong."""
    with pytest.raises(DataError, match=message):
        Recipe.from_defaults({"lr": 0.1, **({} if "batch_size" in changes else {"batch_size": 2})},
                             **changes)  # fmt: skip
