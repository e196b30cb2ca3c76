"""Folders of images: every layout, and what is wrong with the others."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fstore.errors import DataError
from fstore.extractor.datasets.imagefolder import imagefolder
from fstore.types import DatasetManifest

Images = Callable[..., Path]


def labelled(manifest: DatasetManifest) -> list[tuple[str, dict[str, int]]]:
    """Return uri and labels of every image."""
    return [(s.uri, dict(s.labels)) for s in manifest.views[0].samples]


def test_class_folders_may_be_nested(make_images: Images) -> None:
    """`a/abbey` is a class; hidden files and files that are no images are ignored."""
    root = make_images("b/bar/2.png", "a/abbey/1.jpg", "b/bar/1.JPEG", "top/x.png", "a/.y/z.png")
    (root / "a" / "abbey" / "notes.txt").write_text("no image")
    manifest = imagefolder("s", root)
    assert (manifest.task, manifest.classes) == ("single", ("a/abbey", "b/bar", "top"))
    assert labelled(manifest) == [
        ("a/abbey/1.jpg", {"a/abbey": 1}),
        ("b/bar/1.JPEG", {"b/bar": 1}),
        ("b/bar/2.png", {"b/bar": 1}),
        ("top/x.png", {"top": 1}),
    ]
    assert manifest.views[0].splits == ()


def test_part_folders_are_the_official_split(make_images: Images) -> None:
    """With train, val and test folders, classes are the folders in them."""
    root = make_images("train/a/1.png", "train/b/c/1.png", "val/a/2.png", "test/b/c/3.png")
    manifest = imagefolder("s", root)
    assert manifest.classes == ("a", "b/c")
    (split,) = manifest.views[0].splits
    assert (split.name, split.seed) == ("official", 0)
    assert split.parts == ("test", "train", "train", "val")


@pytest.mark.parametrize("name", ["1.png", "val/1.png"])
def test_label_file_for_flat_images(make_images: Images, name: str) -> None:
    """ImageNet's val: flat images, named by path or file name, take the label of their line."""
    root = make_images("train/a/0.png", "train/b c/0.png", "val/1.png", "val/2.png")
    (root / "val.txt").write_text(f"{name} b c\n\n2.png\ta\n")
    manifest = imagefolder("s", root, label_file="val.txt")
    assert labelled(manifest)[2:] == [("val/1.png", {"b c": 1}), ("val/2.png", {"a": 1})]


def test_images_without_folders_have_no_labels(make_images: Images) -> None:
    """A flat folder is a data set without classes, which random splits still deal."""
    manifest = imagefolder("s", make_images("1.png", "2.png", "3.png", "4.png"), seeds=(0,))
    assert (manifest.task, manifest.classes) == ("none", ())
    assert Counter(manifest.views[0].splits[0].parts) == {"train": 2, "test": 2}


def test_unreadable_images_stay(make_images: Images) -> None:
    """A broken image keeps its place and its digest; its size is 0."""
    root = make_images("a/1.png", "a/2.png")
    (root / "a" / "1.png").write_bytes(b"")
    first, second = imagefolder("s", root).views[0].samples
    assert (first.width, first.height, len(first.digest)) == (0, 0, 32)
    assert (second.width, second.height) == (20, 10)


def test_linked_folders_are_followed_once(make_images: Images) -> None:
    """A linked class folder counts; a link that leads back up does not loop."""
    root = make_images("root/a/1.png", "elsewhere/2.png")
    (root / "root" / "b").symlink_to(root / "elsewhere")
    (root / "root" / "a" / "up").symlink_to(root / "root")
    assert labelled(imagefolder("s", root / "root")) == [
        ("a/1.png", {"a": 1}),
        ("b/2.png", {"b": 1}),
    ]


@pytest.mark.parametrize(
    ("uris", "labels", "message"),
    [
        ((), "", r"has no image; files need one of .*\.bmp"),
        (("a/1.png", "2.png"), "", r"image '2\.png' has no label \(1 such, 1 have one\)"),
        (("a/1.png", "b/x.txt"), "", r"folder .*b holds no image"),
        (("train/a/1.png", "val/b/1.png"), "", r"'val/b/1\.png' is of class 'b', which has no"),
        (("1.png",), "2.png a", r"line 1: no image '2\.png'"),
        (("v/1.png", "w/1.png"), "1.png a", r"line 1: 2 images '1\.png'"),
        (("1.png",), "1.png a\n1.png b", r"line 2: image '1\.png' is labelled twice"),
        (("1.png",), "1.png", r"expected '<image> <label>'"),
        (("1.png", "2.png"), "1.png a", r"image '2\.png' has no label"),
    ],
)
def test_folders_that_do_not_fit(
    make_images: Images, uris: tuple[str, ...], labels: str, message: str
) -> None:
    """What is missing, empty or ambiguous is a DataError that names it."""
    root = make_images(*(u for u in uris if u.endswith("png")))
    for uri in uris:
        if not (root / uri).exists():
            (root / uri).parent.mkdir()
            (root / uri).write_text("no image")
    (root / "labels").write_text(labels)
    with pytest.raises(DataError, match=message):
        imagefolder("s", root, label_file="labels" if labels else "")


def test_missing_folder_and_label_file(tmp_path: Path) -> None:
    """A root or a label file that is not there is named."""
    with pytest.raises(DataError, match=r"no folder .*nowhere; give"):
        imagefolder("s", tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no file .*labels\.txt; give it with --label-file"):
        imagefolder("s", tmp_path, label_file="labels.txt")


def test_progress_counts_every_file(make_images: Images) -> None:
    """The callback hears of each file once, in order, with the total."""
    heard: list[tuple[int, int]] = []
    root = make_images("a/1.png", "a/2.png")
    imagefolder("s", root, on_progress=lambda done, total: heard.append((done, total)))
    assert heard == [(1, 2), (2, 2)]


def test_real_folders(real_data: Path) -> None:
    """15 scene classes are dealt 35/7/28 a class; Tiny ImageNet has its 60 and 10 a class."""
    scenes = imagefolder("scenes", real_data / "scenes15", seeds=(0, 1, 2))
    classes = [next(iter(s.labels)) for s in scenes.views[0].samples]
    assert (len(scenes.classes), len(classes)) == (15, 15 * 70)
    for split in scenes.views[0].splits:
        dealt = Counter(zip(classes, split.parts, strict=True))
        assert {(p, n) for (_, p), n in dealt.items()} == {("train", 35), ("val", 7), ("test", 28)}
    tiny = imagefolder("tiny", real_data / "tinyimagenet")
    assert len(tiny.classes) == 100
    assert Counter(tiny.views[0].splits[0].parts) == {"train": 6000, "val": 1000}
