"""Training: the protocol's updates, deterministic, resumable after a kill."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from _kill import run_code, run_with_kills
from fstore.errors import DataError
from fstore.extractor.devices import to_device
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.training import (
    ArrayExamples,
    JoinedExamples,
    Recipe,
    Snapshot,
    Step,
    TrainingData,
    train,
)
from fstore.extractor.training.drawn_regions import DrawnBoxes
from fstore.extractor.training.examples import crop, draw, draw_crops
from fstore.extractor.training.loop import thin
from fstore.extractor.training.region_examples import RegionExamples
from fstore.extractor.training.regions import RegionImage, Regions
from fstore.extractor.training.run import TrainingRun
from fstore.extractor.warping import RegionCrops
from fstore.extractor.weights import tensors_sha256

RECIPE = Recipe(lr=0.05, batch_size=8, step=6, mirror=True)


def toy_network(*, dropout: float = 0.5) -> Network:
    """Build a small seeded network with dropout."""
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(216, 2)]
    return Network("toy", nn.Sequential(*layers).eval(), Preprocess(size=8, resize=10), {})


def toy_data(n_examples: int = 40, *, scale: float = 1) -> TrainingData:
    """Make bright and dark images, which a linear model tells apart."""
    rng = np.random.default_rng(2)
    y = np.arange(n_examples) % 2
    noise = rng.standard_normal((n_examples, 3, 10, 10), np.float32)
    X = np.float32(scale) * (noise + (2 * y - 1).astype(np.float32)[:, None, None, None])
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
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_training as t
from fstore.extractor.training import train

def tell(step):
    print(step.iteration, flush=True)
    time.sleep(0.05)  # so that the kill comes before the end

for snapshot in train(t.toy_network(), t.toy_data(), recipe=t.RECIPE, iterations=16,
                      snapshots=[4, 10, 16], seed=0, state_dir=Path(sys.argv[1]), save_every=3,
                      on_step=tell):
    pass
"""


@pytest.mark.slow
def test_killed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    """A run killed with SIGKILL and started again ends bit-equal to one that was not."""
    last = run_with_kills(KILLED, tmp_path / "killed", Path(__file__).parent, kills=1, longest=6)
    assert 1 <= last[0] < 16
    run_code(KILLED, tmp_path / "whole", Path(__file__).parent)  # as many threads as the other had
    # all of both is done: the last snapshot is given again
    (resumed,), (whole,) = run(tmp_path / "killed"), run(tmp_path / "whole")
    assert tensors_sha256(resumed.weights) == tensors_sha256(whole.weights)
    assert (resumed.curve, resumed.validation) == (whole.curve, whole.validation)


def test_a_flipped_bit_of_the_state_is_refused(tmp_path: Path) -> None:
    """A run does not go on from weights of which one bit has changed."""
    run(tmp_path, seed=0)
    whole = bytearray((tmp_path / "state.pt").read_bytes())
    whole[len(whole) // 2] ^= 1
    (tmp_path / "state.pt").write_bytes(whole)
    with pytest.raises(DataError, match="is damaged; delete it"):
        run(tmp_path, seed=0)


def test_states_of_earlier_versions_are_resumed(tmp_path: Path) -> None:
    """A state without a digest, as earlier versions wrote it, is read."""
    run(tmp_path, seed=0)
    path = tmp_path / "state.pt"
    path.write_bytes(path.read_bytes()[64:])
    assert run(tmp_path, seed=0)


def test_state_of_another_run_is_not_resumed(tmp_path: Path) -> None:
    """A state left by another seed, or damaged, is refused with what to do."""
    run(tmp_path, seed=0)
    with pytest.raises(DataError, match="belongs to another run"):
        run(tmp_path, seed=1)
    (tmp_path / "state.pt").write_bytes(b"damaged")
    with pytest.raises(DataError, match="is damaged; delete it"):
        run(tmp_path)


def test_a_kill_after_saving_costs_no_snapshot(tmp_path: Path) -> None:
    """The state is saved before its snapshot is given: one that nobody took is given again."""
    snapshots = train(toy_network(), toy_data(), recipe=RECIPE, iterations=16, snapshots=[4, 10],
                      seed=0, state_dir=tmp_path)  # fmt: skip
    first = next(snapshots)
    snapshots.close()  # type: ignore[attr-defined]
    again = run(tmp_path)
    assert [s.iteration for s in again] == [4, 10, 16]
    assert tensors_sha256(again[0].weights) == tensors_sha256(first.weights)
    assert again[0].accuracy == first.accuracy


def test_curves_and_measures_are_kept(tmp_path: Path) -> None:
    """A snapshot holds the loss of each iteration and what was measured, resumed or not."""
    steps: list[Step] = []
    options = {"recipe": RECIPE, "seed": 0, "validate_every": 3, "on_step": steps.append}
    for iterations in (5, 16):
        found = list(train(toy_network(), toy_data(), iterations=iterations, snapshots=[4, 16][
            : 1 if iterations == 5 else 2], state_dir=tmp_path, **options))  # type: ignore[arg-type] # fmt: skip
    last = found[-1]
    assert [s.iteration for s in steps] == list(range(1, 17))
    assert last.curve == [s.loss for s in steps]
    assert [i for i, _ in last.validation] == [3, 4, 6, 9, 12, 15, 16]
    assert last.validation[-1][1] == last.accuracy
    assert [s.held_out for s in steps[:4]] == [None, None, *(v for _, v in last.validation[:2])]
    kept = last.to_recipe()
    assert kept["curve"] == [[s.iteration, s.loss] for s in steps]
    assert kept["held_out_accuracy"] == last.accuracy


def test_long_curves_are_thinned() -> None:
    """A curve of 1,000 losses becomes means of runs of five; the last run may be shorter."""
    losses = [float(i) for i in range(1, 1002)]
    points = thin(losses)
    assert len(points) == 167  # runs of six
    assert points[0] == (6, 3.5)
    assert points[-1] == (1001, 999.0)  # of 997 ... 1001
    assert thin([]) == []


@pytest.mark.parametrize(
    ("gamma", "snapshots", "message"),
    [
        (1e30, [4], r"the loss is (nan|inf) after \d iterations with lr 5e\+28"),
        (1e45, [4, 5], r"0.weight is not finite after 5 iterations with lr 5e\+43"),
    ],
)
def test_diverging_is_a_named_error(
    tmp_path: Path, gamma: float, snapshots: list[int], message: str
) -> None:
    """Divergence ends the run, names iteration and rate, and spoils neither state nor snapshot."""
    recipe = Recipe(lr=0.05, batch_size=8, step=4, gamma=gamma)
    data = toy_data(scale=30)  # gradients above 1, so that the largest rate overflows weights
    found: list[Snapshot] = []
    steps: list[Step] = []
    with pytest.raises(DataError, match=f"training diverged: {message}; .* smaller --lr"):
        found.extend(train(toy_network(), data, recipe=recipe, iterations=9, snapshots=snapshots,
                           seed=0, state_dir=tmp_path, on_step=steps.append))  # fmt: skip
    assert [s.iteration for s in found] == [4]
    assert all(np.isfinite(step.loss) for step in steps)
    content = (tmp_path / "state.pt").read_bytes()[64:]  # after the digest
    state = torch.load(io.BytesIO(content), weights_only=True)
    assert state["iteration"] == 4
    assert all(torch.isfinite(tensor).all() for tensor in state["model"].values())


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    """Examples that are all of one class are a named error before anything is computed."""
    data = toy_data()
    one = ArrayExamples(data.train.load(np.arange(20)), np.ones(20, np.int64))
    with pytest.raises(DataError, match="all 20 examples to learn from are of one class; training"):
        list(train(toy_network(), TrainingData(one, data.held_out), recipe=RECIPE, iterations=2,
                   snapshots=[], seed=0, state_dir=tmp_path / "state"))  # fmt: skip
    assert not (tmp_path / "state").exists()


def test_mixed_precision_learns_and_resumes(tmp_path: Path) -> None:
    """With bfloat16 weights stay float32, the loss is near that without, resuming is exact."""
    recipe = replace(RECIPE, amp="bfloat16")
    options = {"recipe": recipe, "seed": 0}
    (whole,) = train(toy_network(), toy_data(), iterations=12, snapshots=[12],
                     state_dir=tmp_path / "a", **options)  # type: ignore[arg-type] # fmt: skip
    for iterations in (5, 12):
        parts = list(train(toy_network(), toy_data(), iterations=iterations, snapshots=[iterations],
                           state_dir=tmp_path / "b", **options))  # type: ignore[arg-type] # fmt: skip
    assert tensors_sha256(parts[-1].weights) == tensors_sha256(whole.weights)
    assert {t.dtype for t in whole.weights.values()} == {torch.float32}
    plain = run(tmp_path / "c", iterations=10)[-1]
    assert plain.curve != whole.curve[:10]
    # 8 bits of mantissa; below 1e-4 of what it began with, a loss is their residue
    assert plain.curve == pytest.approx(whole.curve[:10], rel=0.05, abs=1e-4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_float16_needs_a_gpu(tmp_path: Path) -> None:
    """Asking for float16 on a CPU says what to use instead."""
    with pytest.raises(DataError, match="amp float16 needs a GPU; use bfloat16, or off"):
        list(train(toy_network(), toy_data(), recipe=replace(RECIPE, amp="float16"), iterations=1,
                   snapshots=[], seed=0, state_dir=tmp_path))  # fmt: skip


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_regions_are_warped_where_the_model_is(tmp_path: Path, device: str) -> None:
    """Batches of regions come cut out for a model on a GPU, and are the same once warped."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(
        tmp_path / "a.png"
    )
    box = np.array([[5.0, 5, 30, 30]])
    labels = np.zeros(1, np.int64)
    image = RegionImage(tmp_path, "a.png", "", 60, 40, box, labels, np.zeros(1, bool))
    network = replace(toy_network(), preprocess=Preprocess(size=8, resize=8, context=1))
    examples = RegionExamples(
        [image], Regions(labels, box, labels), network.preprocess,
        source=DrawnBoxes([image], 1),
    )  # fmt: skip
    data = TrainingData(examples, examples)
    run = TrainingRun(network, data, replace(RECIPE, mirror=True), seed=0, device="cpu")
    expected, y = run.batch(3)
    run.device = torch.device(device)  # asked for its type alone, a GPU need not be there
    found, targets = run.batch(3)
    assert isinstance(found, RegionCrops) == (device == "cuda")
    warped = to_device(found, network.preprocess, torch.device("cpu"))
    assert torch.equal(warped, to_device(expected, network.preprocess, torch.device("cpu")))
    assert np.array_equal(targets, y)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("amp", ["off", "bfloat16", "float16"])
def test_learns_on_a_gpu(tmp_path: Path, amp: str) -> None:
    """On a GPU each precision learns the toy, with losses near those of the CPU."""
    recipe = replace(RECIPE, amp=amp)
    (found,) = train(toy_network(dropout=0), toy_data(), recipe=recipe, iterations=16, seed=0,
                     snapshots=[16], state_dir=tmp_path / "gpu", device="cuda")  # fmt: skip
    (cpu,) = train(toy_network(dropout=0), toy_data(), recipe=RECIPE, iterations=16, seed=0,
                   snapshots=[16], state_dir=tmp_path / "cpu")  # fmt: skip
    assert found.accuracy > 0.9
    assert found.curve[:4] == pytest.approx(cpu.curve[:4], rel=0.05)


def test_joined_examples_are_those_of_their_parts() -> None:
    """Places count through the parts, in any order; an epoch has every example once."""
    X = np.arange(7 * 3 * 2 * 2, dtype=np.float32).reshape(7, 3, 2, 2)
    y = np.array([0, 1, 0, 1, 1, 0, 0])
    cuts = (slice(0, 3), slice(3, 4), slice(4, 7))
    joined = JoinedExamples([ArrayExamples(X[c], y[c]) for c in cuts])
    places = np.array([6, 0, 3, 2, 4, 0])
    assert np.array_equal(joined.load(places), X[places])
    assert joined.labels.tolist() == y.tolist()
    options: dict[str, Any] = {"seed": 0, "iteration": 1, "size": 2, "mirror": False}
    images, labels = joined.batch(7, **options)
    whole, of_whole = ArrayExamples(X, y).batch(7, **options)
    assert np.array_equal(images, whole)
    assert np.array_equal(labels, of_whole)


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
