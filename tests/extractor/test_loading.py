"""Images decoded ahead in threads: order, groups, what is bad, and how it ends."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from fstore.errors import DataError
from fstore.extractor import loading
from fstore.extractor.images import ChangedFileError, decode, digest_bytes, load_sample
from fstore.extractor.loading import InputBatch, InputSample, load_batches
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.warping import RegionCrops, warp
from fstore.types import Box

SMALL = Preprocess(size=8, resize=8, context=1, mean=(0.0, 0.0, 0.0))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a folder of twelve images, each of its own grey."""
    for i in range(12):
        Image.new("RGB", (10, 12), (20 * i, 20 * i, 20 * i)).save(tmp_path / f"{i}.png")
    return tmp_path


def sample(root: Path, sample_id: int, image: int, box: Box | None = None) -> InputSample:
    """Describe a sample of an image as the store does."""
    uri = f"{image}.png"
    return InputSample(sample_id, uri, digest_bytes((root / uri).read_bytes()), box)


def load(
    root: Path, batches: Sequence[Sequence[InputSample]], workers: int = 3
) -> list[InputBatch]:
    """Load all batches."""
    return list(load_batches(root, batches, SMALL, workers=workers))


def images_of(batch: InputBatch) -> NDArray[np.float32]:
    """Return a batch's inputs, which were made on the host."""
    assert isinstance(batch.images, np.ndarray)
    return batch.images


def greys(batch: InputBatch) -> list[float]:
    """Return the brightest pixel of each sample."""
    values: list[float] = images_of(batch).max(axis=(1, 2, 3)).tolist()
    return values


EARLIER: list[threading.Thread] = []


@pytest.fixture(autouse=True)
def earlier() -> None:
    """Note the threads of tests before, which the interpreter has not collected yet."""
    EARLIER[:] = threading.enumerate()


def decoders() -> list[threading.Thread]:
    """Return the decoding threads that a test has left running."""
    running = [t for t in threading.enumerate() if t not in EARLIER]
    return [t for t in running if t.name.startswith("fstore-decode")]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the images that are decoded, each time."""
    seen: list[str] = []

    def counted(data: bytes, *, uri: str) -> Image.Image:
        seen.append(uri)
        return decode(data, uri=uri)

    monkeypatch.setattr(loading, "decode", counted)
    return seen


def test_order_is_kept_when_later_images_are_quicker(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches and samples come in the order asked for, whichever thread ends first."""

    def uneven(data: bytes, *, uri: str) -> Image.Image:
        time.sleep(0.02 if uri in {"0.png", "5.png"} else 0)
        return decode(data, uri=uri)

    monkeypatch.setattr(loading, "decode", uneven)
    batches = [[sample(root, i, i) for i in range(start, start + 3)] for start in range(0, 12, 3)]
    found = load(root, batches)
    assert [b.sample_ids.tolist() for b in found] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert [g for b in found for g in greys(b)] == [20 * i for i in range(12)]
    for batch in found:
        assert images_of(batch).dtype == np.float32
        assert images_of(batch).shape == (3, 3, 8, 8)


def test_boxes_of_one_image_are_decoded_once(root: Path, decoded: list[str]) -> None:
    """Consecutive samples of an image in a batch share one decoding, and differ in their box."""
    boxes: list[Box] = [(1, 1, 4, 4), (2, 2, 9, 9), (1, 1, 10, 12)]
    batch = [sample(root, i, 3, box) for i, box in enumerate(boxes)]
    (found,) = load(root, [[*batch, sample(root, 3, 4), sample(root, 4, 3)]])
    assert sorted(decoded) == ["3.png", "3.png", "4.png"]
    for i, box in enumerate(boxes):
        alone = load_sample(root, "3.png", box, preprocess=SMALL)
        assert np.array_equal(images_of(found)[i], alone)


@pytest.mark.parametrize("size", [1, 7, 32, 100])
def test_an_image_is_decoded_once_for_all_its_boxes(
    root: Path, decoded: list[str], size: int
) -> None:
    """Three images of 100 boxes are decoded three times, whatever batches the boxes are in."""
    random = np.random.default_rng(0)
    boxes: list[Box] = []
    for left, top in random.integers(1, 8, size=(300, 2)).tolist():
        boxes.append((left, top, left + 2, top + 3))
    samples = [sample(root, i, i // 100, box) for i, box in enumerate(boxes)]
    found = load(root, [samples[i : i + size] for i in range(0, 300, size)])
    assert sorted(decoded) == ["0.png", "1.png", "2.png"]
    assert [i for b in found for i in b.sample_ids.tolist()] == list(range(300))
    images = np.concatenate([images_of(b) for b in found])
    for i in (0, 99, 100, 101, 299):
        assert np.array_equal(
            images[i], load_sample(root, f"{i // 100}.png", boxes[i], preprocess=SMALL)
        )


def test_a_broken_image_is_decoded_once_and_costs_all_its_boxes(
    root: Path, decoded: list[str]
) -> None:
    """Every box of an image that cannot be decoded is reported; the next image is loaded."""
    (root / "0.png").write_bytes(b"no image")
    samples = [sample(root, i, i // 20, (1, 1, 5, 5)) for i in range(40)]
    found = load(root, [samples[:15], samples[15:30], samples[30:]])
    assert sorted(decoded) == ["0.png", "1.png"]
    assert [bad.sample_id for b in found for bad in b.bad] == list(range(20))
    assert [i for b in found for i in b.sample_ids.tolist()] == list(range(20, 40))


def test_unreadable_images_are_reported_and_left_out(root: Path) -> None:
    """An empty, a cut and a foreign file are named with the reason; the others are loaded."""
    whole = (root / "2.png").read_bytes()
    for image, data in ((0, b""), (2, whole[:45]), (4, b"no image")):
        (root / f"{image}.png").write_bytes(data)
    (found,) = load(root, [[sample(root, 10 + i, i) for i in range(6)]])
    assert found.sample_ids.tolist() == [11, 13, 15]
    assert greys(found) == [20, 60, 100]
    assert [(b.sample_id, b.uri) for b in found.bad] == [
        (10, "0.png"),
        (12, "2.png"),
        (14, "4.png"),
    ]
    assert "empty" in found.bad[0].reason
    assert all(b.uri in b.reason for b in found.bad)


def test_a_batch_of_bad_images_is_empty(root: Path) -> None:
    """A batch without a readable sample has none, of the right shape."""
    (root / "0.png").write_bytes(b"")
    (found,) = load(root, [[sample(root, 0, 0)]])
    assert images_of(found).shape == (0, 3, 8, 8)
    assert found.sample_ids.dtype == np.int64
    assert len(found.bad) == 1


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_bad_box_costs_itself_alone(root: Path, size: int) -> None:
    """Of five boxes one lies outside its image: the other four are loaded, however batched."""
    boxes: list[Box] = [(1, 1, 4, 4), (2, 2, 9, 9), (90, 90, 99, 99), (1, 1, 9, 9), (3, 3, 8, 8)]
    samples = [sample(root, i, 3, box) for i, box in enumerate(boxes)]
    found = load(root, [samples[i : i + size] for i in range(0, 5, size)])
    assert [i for b in found for i in b.sample_ids.tolist()] == [0, 1, 3, 4]
    assert [bad.sample_id for b in found for bad in b.bad] == [2]


@pytest.mark.parametrize("size", [1, 4, 9, 30])
def test_boxes_left_to_the_device_become_the_same(
    root: Path, decoded: list[str], size: int
) -> None:
    """Cut out and warped later, boxes have the bits, order and faults of those warped at once."""
    boxes: list[Box] = [(1, 1, 4, 4), (2, 2, 9, 9), (90, 90, 99, 99), (3, 3, 10, 12)]
    samples = [sample(root, i, i // 10, boxes[i % 4]) for i in range(30)]
    batches = [samples[i : i + size] for i in range(0, 30, size)]
    later = list(load_batches(root, batches, SMALL, workers=3, warp_later=True))
    assert sorted(decoded) == ["0.png", "1.png", "2.png"]
    for now, then in zip(load(root, batches), later, strict=True):
        assert then.sample_ids.tolist() == now.sample_ids.tolist()
        assert then.bad == now.bad
        if len(now.sample_ids):
            assert isinstance(then.images, RegionCrops)
            warped = warp(then.images, SMALL, torch.device("cpu"))
            assert np.array_equal(warped, images_of(now))


def test_whole_images_are_prepared_on_the_host(root: Path) -> None:
    """Batches with whole images among them are arrays, also where boxes are left to the device."""
    samples = [
        sample(root, 0, 0),
        sample(root, 1, 0, (1, 1, 4, 4)),
        sample(root, 2, 1, (1, 1, 4, 4)),
    ]
    batches = [samples[:2], samples[2:]]
    mixed, boxes = load_batches(root, batches, SMALL, workers=2, warp_later=True)
    assert images_of(mixed).shape == (2, 3, 8, 8)
    assert isinstance(boxes.images, RegionCrops)


@pytest.mark.parametrize(
    "damage", [lambda p: p.write_bytes(p.read_bytes() + b"x"), lambda p: p.unlink()]
)
def test_a_changed_file_ends_it(root: Path, damage: Callable[[Path], object]) -> None:
    """A file that is not the registered one is no bad image but an error; the threads end."""
    batches = [[sample(root, i, i)] for i in range(12)]
    damage(root / "5.png")
    seen: list[InputBatch] = []
    with pytest.raises(ChangedFileError, match=r"5\.png"):
        seen.extend(load_batches(root, batches, SMALL, workers=2))
    assert decoders() == []
    assert issubclass(ChangedFileError, DataError)


def test_it_reads_ahead_but_not_far(root: Path, decoded: list[str]) -> None:
    """When the first batch is handed out, only the next two were asked for."""
    stream = load_batches(root, [[sample(root, i, i)] for i in range(12)], SMALL, workers=2)
    next(stream)
    time.sleep(0.1)
    assert len(decoded) == 1 + loading.AHEAD
    stream.close()


def test_closed_early_it_leaves_no_thread(root: Path) -> None:
    """A reader that stops half way ends the decoding threads at once."""
    stream = load_batches(root, [[sample(root, i, i)] for i in range(12)], SMALL, workers=4)
    next(stream)
    assert decoders()
    stream.close()
    assert decoders() == []


def test_nothing_to_load(root: Path) -> None:
    """No batches, no threads, no result."""
    assert load(root, []) == []
    assert decoders() == []


def test_it_asks_for_batches_as_it_reads_ahead(root: Path) -> None:
    """Batches come from an endless stream; no more are taken than are decoded."""
    taken: list[int] = []

    def endless() -> Iterator[list[InputSample]]:
        for i in count():
            taken.append(i)
            yield [sample(root, i, i % 12)]

    with closing(load_batches(root, endless(), SMALL, workers=2, ahead=3)) as stream:
        assert next(stream).sample_ids.tolist() == [0]
        assert taken == [0, 1, 2, 3]
        assert next(stream).sample_ids.tolist() == [1]
        assert taken == [0, 1, 2, 3, 4]
