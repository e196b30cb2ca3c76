"""PASCAL VOC devkits, hand-made and real."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fstore.errors import DataError
from fstore.extractor.datasets.voc import voc

Devkit = Callable[..., Path]

IMAGES = {
    "000003": [("dog", (1, 1, 20, 10), 0), ("cat", (2, 2, 5, 5), 1)],
    "000001": [("dog", (3, 3, 9, 9), 1), ("dog", (4, 4, 8, 8), 0)],
    "000002": [],
    "000004": [("cat", (1, 1, 1, 1), 0)],
}
LISTS = {"trainval": "000001,000002,000003", "train": "000001", "val": "000002", "test": "000004"}
CLASS_LISTS = {
    "cat_trainval": "000001 -1,000002 -1,000003  0",
    "dog_trainval": "000001  1,000002 -1,000003  1",
    "cat_test": "000004 1",
    "dog_test": "000004 -1",
}


def test_views_of_a_small_devkit(make_devkit: Devkit) -> None:
    """Images by id, boxes by image in XML order, labels 1 or 0, parts from the lists."""
    manifest = voc("v", make_devkit(IMAGES, LISTS | CLASS_LISTS))
    image, gt = manifest.views
    assert (manifest.task, manifest.classes, manifest.root.name) == (
        "multi",
        ("cat", "dog"),
        "VOC2007",
    )
    assert [(s.image_id, dict(s.labels)) for s in image.samples] == [
        ("000001", {"dog": 1}),
        ("000002", {}),
        ("000003", {"dog": 1, "cat": 0}),
        ("000004", {"cat": 1}),
    ]
    assert image.samples[0].uri == "JPEGImages/000001.jpg"
    assert (image.samples[0].width, image.samples[0].height) == (20, 10)
    assert [(s.image_id, dict(s.labels), s.box, s.difficult) for s in gt.samples] == [
        ("000001", {"dog": 0}, (3, 3, 9, 9), True),
        ("000001", {"dog": 1}, (4, 4, 8, 8), False),
        ("000003", {"dog": 1}, (1, 1, 20, 10), False),
        ("000003", {"cat": 0}, (2, 2, 5, 5), True),
        ("000004", {"cat": 1}, (1, 1, 1, 1), False),
    ]
    assert [(s.name, s.seed, s.parts) for s in image.splits] == [
        ("official", 0, ("train", "val", "train", "test"))  # 000003: in trainval only
    ]
    assert gt.splits[0].parts == ("train", "train", "train", "train", "test")


def test_random_splits_stand_beside_the_official_one(make_devkit: Devkit) -> None:
    """Each seed adds a split, and a box plays the part of its image in every one."""
    image, gt = voc("v", make_devkit(IMAGES, LISTS), seeds=(3, 5)).views
    assert [(s.name, s.seed) for s in gt.splits] == [("official", 0), ("random", 3), ("random", 5)]
    for whole, boxes in zip(image.splits, gt.splits, strict=True):
        part = dict(zip([s.image_id for s in image.samples], whole.parts, strict=True))
        assert boxes.parts == tuple(part[s.image_id] for s in gt.samples)


@pytest.mark.parametrize("levels", ["", "VOC2007", ".."])
def test_root_may_be_any_level_of_the_devkit(make_devkit: Devkit, levels: str) -> None:
    """The year's folder, VOCdevkit and the folder that holds it all lead to the same."""
    root = make_devkit(IMAGES, LISTS)
    assert voc("v", root / levels).root == root.resolve() / "VOC2007"


def test_year_chooses_among_several(make_devkit: Devkit) -> None:
    """With two years there, --year is needed, and an absent year is an error."""
    make_devkit(IMAGES, LISTS)
    root = make_devkit(IMAGES, {"trainval": "000001,000004"}, year="VOC2012")
    assert len(voc("v", root, year="2012").views[0].samples) == 2
    with pytest.raises(DataError, match="several years: VOC2007, VOC2012; choose one"):
        voc("v", root)
    with pytest.raises(DataError, match="no VOC2010/JPEGImages"):
        voc("v", root, year="2010")


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (
            {"cat_test": "000004 -1"},
            r"class 'cat', image 000004: cat_test\.txt says -1, the ann.* 1",
        ),
        ({"cat_trainval": "000001 -1,000002 -1,000003 1"}, r"'cat', image 000003: .* 1, .* 0 "),
        ({"dog_test": "000003 -1"}, r"in only one of dog_test\.txt and test\.txt"),
        ({"dog_test": "000004 2"}, r"dog_test\.txt, line 1: .*expected '<image> 1\|0\|-1'"),
        ({"test": "000003,000004"}, r"image 000003 is in trainval\.txt and in test\.txt"),
        ({"val": "000001"}, r"image 000001 is in train\.txt and in val\.txt"),
        ({"trainval": "000001,000002"}, r"in only one of cat_trainval"),
        ({"train": "000003,000001,000003"}, "lists image 000003 twice"),
        ({"test": "000009"}, r"image 000009 has no annotation .*000009\.xml"),
        ({"cow_test": "000004 -1"}, "has no image of class 'cow'"),
    ],
)
def test_lists_that_contradict(make_devkit: Devkit, lists: dict[str, str], message: str) -> None:
    """A list that contradicts an annotation or another list is a DataError that names both."""
    root = make_devkit(IMAGES, LISTS | CLASS_LISTS | lists)
    with pytest.raises(DataError, match=message):
        voc("v", root)


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<annotation><object>", "not a sound XML file"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "not a sound XML file"),
        ("<annotation><object/></annotation>", "an object has no name"),
        ("<annotation><object><name>cat</name></object></annotation>", "no complete bndbox"),
        (
            "<annotation><size><width>9</width><height>10</height></size></annotation>",
            "has 20 x 10 pixels, its annotation says 9 x 10",
        ),
    ],
)
def test_broken_annotations(make_devkit: Devkit, xml: str, message: str) -> None:
    """Malformed XML, entities, incomplete objects and a wrong size are DataErrors."""
    root = make_devkit(IMAGES, LISTS)
    (root / "VOC2007" / "Annotations" / "000004.xml").write_text(xml)
    with pytest.raises(DataError, match=message):
        voc("v", root)


@pytest.mark.parametrize("box", [(-1, 1, 5, 5), (1, 1, 21, 5), (1, 1, 5, 11), (6, 1, 5, 5)])
def test_boxes_outside_the_image(make_devkit: Devkit, box: tuple[int, int, int, int]) -> None:
    """A box that leaves the image, or is turned around, is a DataError with its numbers."""
    root = make_devkit(IMAGES | {"000004": [("cat", box, 0)]}, LISTS)
    with pytest.raises(DataError, match=r"image 000004: box .* is not inside 1 \.\.\. 20 x 1"):
        voc("v", root)


def test_missing_and_broken_images(make_devkit: Devkit) -> None:
    """A missing image is an error; an unreadable one stays a sample of size 0."""
    root = make_devkit(IMAGES, LISTS)
    path = root / "VOC2007" / "JPEGImages" / "000004.jpg"
    path.write_bytes(b"broken")
    sample = voc("v", root).views[0].samples[3]
    assert (sample.width, sample.height, len(sample.digest)) == (0, 0, 32)
    path.unlink()
    with pytest.raises(DataError, match=r"no image .*000004\.jpg \(1 missing in all\)"):
        voc("v", root)


def test_folders_that_are_no_devkit(make_images: Callable[..., Path], tmp_path: Path) -> None:
    """A missing folder, one without images, and one without lists say what is expected."""
    with pytest.raises(DataError, match=r"no folder .*nowhere; give"):
        voc("v", tmp_path / "nowhere")
    with pytest.raises(DataError, match="no JPEGImages or VOCyyyy/JPEGImages in"):
        voc("v", tmp_path)
    with pytest.raises(DataError, match=r"no image lists in .*Main; expected trainval"):
        voc("v", make_images("JPEGImages/a.jpg"))


PARTS_OF = {"train": {"train"}, "val": {"val"}, "trainval": {"train", "val"}, "test": {"test"}}


def test_real_labels_equal_the_official_lists(real_data: Path) -> None:
    """On 993 real images, labels, counts and parts equal the devkit's own lists."""
    folder = real_data / "voc" / "VOCdevkit" / "VOC2007"
    image, gt = voc("v", folder.parent).views
    labels = {s.image_id: s.labels for s in image.samples}
    parts = dict(zip(labels, image.splits[0].parts, strict=True))
    seen = 0
    for path in (folder / "ImageSets" / "Main").glob("*_*.txt"):
        name, which = path.stem.rsplit("_", 1)
        for line in path.read_text().splitlines():
            image_id, value = line.split()
            assert labels[image_id].get(name, -1) == int(value)
            assert parts[image_id] in PARTS_OF[which]
            seen += 1
    assert seen == 20 * 2 * 488 + 20 * 505
    assert Counter(parts.values()) == {"train": 235, "val": 253, "test": 505}
    assert (len(image.samples), len(gt.samples)) == (993, 3052)
