"""The data sets that need no download: real digits, and scenes made of them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fstore.errors import DataError, StorageError
from fstore.extractor.datasets._generated import write_generated
from fstore.extractor.datasets._scenes import Scene, draw_scene
from fstore.extractor.datasets.digit_pictures import _files, digit_pictures
from fstore.extractor.datasets.digit_scenes import _devkit, digit_scenes
from fstore.extractor.datasets.digits import digits, load_digit_images
from fstore.extractor.datasets.voc import voc
from fstore.types import DatasetManifest, IntArray


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> DatasetManifest:
    """Return 60 scenes, the fewest that may be asked for."""
    return digit_scenes("scenes", tmp_path_factory.mktemp("scenes"), images=60)


def snapshot(root: Path) -> dict[str, bytes]:
    """Return path -> bytes of every file."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_digits_are_scikit_learns(tmp_path: Path) -> None:
    """1,797 PNG files of 8 x 8 hold scikit-learn's pixels and targets, dealt 50/10/40."""
    datasets = pytest.importorskip("sklearn.datasets")
    manifest = digits("d", tmp_path / "d")
    again = digits("d", tmp_path / "e", seeds=(4,))
    view = manifest.views[0]
    assert (manifest.format, manifest.task, len(view.samples)) == ("digits", "single", 1797)
    assert [s.digest for s in again.views[0].samples] == [s.digest for s in view.samples]
    assert [(s.name, s.seed) for s in again.views[0].splits] == [("official", 0), ("random", 4)]
    source = datasets.load_digits()
    for sample in view.samples[::97]:
        row = int(Path(sample.uri).stem)
        with Image.open(manifest.root / sample.uri) as image:
            assert (np.asarray(image) == np.rint(source.images[row] * 255 / 16)).all()
        assert dict(sample.labels) == {str(source.target[row]): 1}
    parts = view.splits[0].parts
    assert [parts.count(p) for p in ("train", "val", "test")] == [898, 180, 719]


def test_scenes_are_a_devkit_that_the_voc_reader_takes(scenes: DatasetManifest) -> None:
    """The folder passes every check of the voc reader, as a stranger's devkit would."""
    manifest = voc("again", scenes.root.parent)
    assert (manifest.classes, manifest.views) == (scenes.classes, scenes.views)
    assert scenes.format == "digit-scenes"
    assert scenes.classes == tuple("0123456789")
    assert len(list((scenes.root / "ImageSets" / "Main").iterdir())) == 4 + 4 * 10


def test_scenes_hold_what_they_promise(scenes: DatasetManifest) -> None:
    """One to five objects a scene, several classes in most, some objects difficult, 50/10/40."""
    image, gt = scenes.views
    objects = [sum(b.image_id == s.image_id for b in gt.samples) for s in image.samples]
    assert (min(objects), max(objects)) == (1, 5)
    assert sum(len(s.labels) > 1 for s in image.samples) > 30
    share = sum(s.difficult for s in gt.samples) / len(gt.samples)
    assert 0.02 < share < 0.25
    parts = image.splits[0].parts
    assert [parts.count(p) for p in ("train", "val", "test")] == [30, 6, 24]
    assert all(120 <= s.height <= 160 and 160 <= s.width <= 200 for s in image.samples)


def test_scenes_of_a_part_use_the_digits_of_that_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train scenes draw from train digits only, val from val, test from test."""
    _, pixels, parts = load_digit_images()
    part_of = {image.tobytes(): part for image, part in zip(pixels, parts, strict=True)}
    drawn: list[set[str]] = []

    def spy(
        rng: np.random.Generator,  # noqa: ARG001
        names: list[str],  # noqa: ARG001
        pool: IntArray,
        *,
        large: bool,  # noqa: ARG001
    ) -> Scene:
        drawn.append({part_of[image.tobytes()] for image in pool})
        return Scene(np.zeros((9, 9, 3), dtype=np.uint8), ())

    monkeypatch.setattr("fstore.extractor.datasets.digit_scenes.draw_scene", spy)
    files = dict(_devkit(20, 0))
    for part in ("train", "val", "test"):
        ids = files[f"VOC2007/ImageSets/Main/{part}.txt"].split()
        assert [drawn[int(i) - 1] for i in ids] == [{part}] * len(ids)
    assert len(drawn) == 20


@pytest.mark.parametrize("seed", range(20))
def test_boxes_enclose_their_digits(seed: int) -> None:
    """Boxes lie in the scene; around a digit that stands alone, they differ from the ground."""
    digit = np.zeros((1, 8, 8), dtype=np.uint8)
    digit[0, 1:7, 3:5] = 255
    scene = draw_scene(np.random.default_rng(seed), ["1"], digit)
    height, width = scene.pixels.shape[:2]
    for item in scene.objects:
        xmin, ymin, xmax, ymax = item.box
        assert 1 <= xmin < xmax <= width
        assert 1 <= ymin < ymax <= height
        if not item.difficult:
            inside = scene.pixels[int(ymin) : int(ymax), int(xmin) : int(xmax)].astype(float)
            ring = scene.pixels[max(0, int(ymin) - 9) : int(ymin) - 4, int(xmin) : int(xmax)]
            assert len(scene.objects) > 1 or abs(inside.mean() - ring.mean()) > 20


def test_a_killed_generation_is_completed(tmp_path: Path) -> None:
    """Cut off after any file, the next run leaves the same files as an undisturbed one."""
    files = [(f"a/{i}", bytes([i])) for i in range(4)]

    def cut_off() -> Iterator[tuple[str, bytes]]:
        yield from files[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_generated(tmp_path / "x", {"seed": 0}, cut_off())
    write_generated(tmp_path / "x", {"seed": 0}, files)
    write_generated(tmp_path / "y", {"seed": 0}, files)
    assert snapshot(tmp_path / "x") == snapshot(tmp_path / "y")


def test_a_finished_generation_is_left_alone(tmp_path: Path) -> None:
    """A second run writes nothing, even over a file that was altered; digests notice that."""
    write_generated(tmp_path / "x", {"seed": 0}, [("a", b"1")])
    (tmp_path / "x" / "a").write_bytes(b"altered")
    write_generated(tmp_path / "x", {"seed": 0}, [("a", b"1")])
    assert (tmp_path / "x" / "a").read_bytes() == b"altered"


def test_folders_of_other_origin_are_refused(tmp_path: Path) -> None:
    """Another recipe, or files that nobody generated, are not overwritten."""
    write_generated(tmp_path / "x", {"seed": 0}, [("a", b"1")])
    with pytest.raises(DataError, match=r"generated by .*0.*, asked for is .*1"):
        write_generated(tmp_path / "x", {"seed": 1}, [("a", b"2")])
    with pytest.raises(DataError, match="holds other files; choose an empty"):
        write_generated(tmp_path, {"seed": 0}, [("a", b"1")])
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_generated(tmp_path / "file" / "x", {"seed": 0}, [("a", b"1")])


def test_too_few_scenes_are_refused(tmp_path: Path) -> None:
    """Ten classes in every part need scenes enough."""
    with pytest.raises(DataError, match="9 images are too few for ten classes; ask for 60"):
        digit_scenes("s", tmp_path / "s", images=9)
    with pytest.raises(DataError, match="199 images are too few for ten classes; ask for 200"):
        digit_scenes("s", tmp_path / "s", images=199, large=True)


def test_a_scene_depends_on_seed_and_number_alone(scenes: DatasetManifest) -> None:
    """More scenes leave the first ones as they are; another seed changes them."""
    first = (scenes.root / "JPEGImages" / "000001.jpg").read_bytes()
    assert next(_devkit(61, 0)) == ("VOC2007/JPEGImages/000001.jpg", first)
    assert next(_devkit(60, 1)) != ("VOC2007/JPEGImages/000001.jpg", first)


def test_large_digits_are_few_and_large(tmp_path: Path) -> None:
    """One to three digits a scene, their longer sides 44 to 83 pixels; small ones are difficult."""
    manifest = digit_scenes("s", tmp_path / "s", images=200, large=True)
    image, gt = manifest.views
    objects = [sum(b.image_id == s.image_id for b in gt.samples) for s in image.samples]
    assert (min(objects), max(objects)) == (1, 3)
    boxes = [s.box for s in gt.samples if not s.difficult and s.box is not None]
    sides = [max(b[2] - b[0], b[3] - b[1]) + 1 for b in boxes]
    assert 38 <= min(sides) < max(sides) <= 83  # a box is around ink of more than half: smaller
    parts = Counter(image.splits[0].parts)
    assert parts == {"train": 40, "val": 40, "test": 120}
    with pytest.raises(DataError, match="holds the data set generated by"):
        digit_scenes("s", tmp_path / "s", images=60)


def test_pictures_show_one_digit_of_their_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 pictures have each digit five times in train, once in val, four times in test."""
    _, pixels, parts = load_digit_images()
    part_of = {image.tobytes(): part for image, part in zip(pixels, parts, strict=True)}
    drawn: list[str] = []

    def spy(_: np.random.Generator, name: str, digit: IntArray) -> IntArray:
        drawn.append(f"{part_of[digit.tobytes()]}/{name}")
        return np.zeros((64, 64, 3), dtype=np.uint8)

    with monkeypatch.context() as patched:
        patched.setattr("fstore.extractor.datasets.digit_pictures.draw_picture", spy)
        assert [uri.rpartition("/")[0] for uri, _ in _files(100, 0)] == drawn
    manifest = digit_pictures("p", tmp_path / "p", images=100)
    view = manifest.views[0]
    assert (manifest.format, manifest.task) == ("digit-pictures", "single")
    assert all((s.width, s.height) == (64, 64) for s in view.samples)
    dealt = Counter(
        (part, *s.labels) for s, part in zip(view.samples, view.splits[0].parts, strict=True)
    )
    for part, n in (("train", 5), ("val", 1), ("test", 4)):
        of_part = [count for (of, _), count in dealt.items() if of == part]
        assert of_part == [n] * 10
    assert next(_files(101, 0)) == next(_files(100, 0)) != next(_files(100, 1))


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    """Ten digits in every part need pictures enough."""
    with pytest.raises(DataError, match="99 images are too few for ten classes in three parts"):
        digit_pictures("p", tmp_path / "p", images=99)
