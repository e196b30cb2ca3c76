"""VOC and COCO annotations are read strictly: one meaning, or refused with the place."""

import copy
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fstore.errors import DataError, FstoreError
from fstore.extractor.datasets.coco import coco
from fstore.extractor.datasets.voc import voc
from fstore.types import DatasetManifest

OBJECT = (
    "<object><name>cat</name><difficult>0</difficult><bndbox><xmin>5</xmin><ymin>6</ymin>"
    "<xmax>20</xmax><ymax>21</ymax></bndbox></object>"
)
SIZE = "<size><width>60</width><height>40</height></size>"
XML = f"<annotation>{SIZE}{OBJECT}</annotation>"


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    """Write a devkit of two images; image ``a`` is for tests, ``b`` stays sound."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    for name, part in (("a", "train"), ("b", "test")):
        Image.new("RGB", (60, 40)).save(tmp_path / "JPEGImages" / f"{name}.jpg")
        (tmp_path / "Annotations" / f"{name}.xml").write_text(XML)
        (tmp_path / "ImageSets" / "Main" / f"{part}.txt").write_text(f"{name}\n")
    return tmp_path


def read(devkit: Path, xml: str | bytes, **options: Any) -> DatasetManifest:  # noqa: ANN401
    """Read the devkit with another annotation of image ``a``."""
    data = xml.encode() if isinstance(xml, str) else xml
    (devkit / "Annotations" / "a.xml").write_bytes(data)
    return voc("v", devkit, **options)


@pytest.mark.parametrize(
    ("text", "flag"),
    [("0", False), ("1", True), ("False", False), ("true", True), ("No", False), ("yes", True),
     ("Unspecified", False), ("", False), (" 1 ", True)],
)  # fmt: skip
def test_flags_mean_what_they_say(devkit: Path, text: str, flag: bool) -> None:
    """A word for no is no: such an object counts."""
    manifest = read(devkit, XML.replace("<difficult>0<", f"<difficult>{text}<"))
    assert manifest.views[1].samples[0].difficult is flag


VOC_FAULTS = {
    "difficult 2": ("<difficult>0<", "<difficult>2<", "difficult '2'; expected 0 or 1"),
    "difficult maybe": ("<difficult>0<", "<difficult>maybe<", "'maybe'"),
    "difficult twice": ("<difficult>0<", "<difficult>1</difficult><difficult>0<", "2 elements"),
    "number 1_0": ("<xmin>5<", "<xmin>1_0<", "'1_0' is no number"),
    "number in Arabic digits": ("<xmin>5<", "<xmin>\u0665<", "is no number"),
    "number nan": ("<xmin>5<", "<xmin>nan<", "'nan' is no number"),
    "two names": ("<name>cat<", "<name>dog</name><name>cat<", "2 elements name"),
    "two boxes": ("</bndbox>", "</bndbox><bndbox><xmin>1</xmin></bndbox>", "bndbox"),
    "from 0": ("<xmin>5<", "<xmin>0<", "--zero-based"),
    "another root": ("annotation>", "html>", "root <html>"),
    "scaled": (">60<", ">30<", "has 60 x 40 pixels, its annotation says 30 x 40"),
    "turned": (
        SIZE, "<size><width>40</width><height>60</height></size>", "lies on its side",
    ),
    "half a pixel": (">60<", ">60.5<", "whole number of pixels"),
    "a name with a line end": ("<name>cat<", "<name>c\nat<", "control character"),
}  # fmt: skip


@pytest.mark.parametrize("fault", VOC_FAULTS)
def test_voc_faults_are_named(devkit: Path, fault: str) -> None:
    """What has no single meaning is refused, with the file and what was wrong."""
    before, after, message = VOC_FAULTS[fault]
    assert before in XML
    with pytest.raises(DataError, match=message) as caught:
        read(devkit, XML.replace(before, after))
    assert "a.xml" in str(caught.value) or "image a" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff\xfe<annotation/>", b"<annotation>" * 5000,
        XML.encode("utf-16")[:-3], b'<?xml version="1.0" encoding="foo"?>' + XML.encode(),
        b'<!DOCTYPE a [<!ENTITY b "c">]>' + XML.replace("cat", "&b;").encode(), b"\0\0\0\0",
    ],
)  # fmt: skip
def test_broken_xml_is_told_in_words(devkit: Path, data: bytes) -> None:
    """Whatever the bytes are, the file is named and no other error leaves the reader."""
    with pytest.raises(DataError, match=r"a\.xml"):
        read(devkit, data)


def test_xml_in_other_encodings(devkit: Path) -> None:
    """XML states its own encoding, which is followed."""
    text = '<?xml version="1.0" encoding="{}"?>' + XML.replace("cat", "caf\u00e9")
    for name in ("utf-8", "latin-1", "utf-16"):
        manifest = read(devkit, text.format(name).encode(name))
        assert "caf\u00e9" in manifest.classes


def test_boxes_from_zero(devkit: Path) -> None:
    """With --zero-based a box is one pixel further right and down, its size unchanged."""
    one = read(devkit, XML).views[1].samples[0].box
    zero = read(devkit, XML, zero_based=True).views[1].samples[0].box
    assert [one, zero] == [(5, 6, 20, 21), (6, 7, 21, 22)]


def test_an_image_is_the_file_of_its_name(devkit: Path) -> None:
    """Files of the same name in folders below, or with another ending, do not take its place."""
    folder = devkit / "JPEGImages"
    (folder / "aug").mkdir()
    Image.new("RGB", (60, 40), "red").save(folder / "aug" / "a.jpg")
    Image.new("RGB", (60, 40), "red").save(folder / "b.bmp")
    uris = [s.uri for s in voc("v", devkit).views[0].samples]
    assert uris == ["JPEGImages/a.jpg", "JPEGImages/b.jpg"]
    (folder / "b.jpg").rename(folder / "b.png")
    with pytest.raises(DataError, match=r"may be any of b\.bmp, b\.png"):
        voc("v", devkit)
    (folder / "a.jpg").unlink()
    (folder / "b.bmp").unlink()
    with pytest.raises(DataError, match=r"there is one in a folder below, JPEGImages/aug/a\.jpg"):
        voc("v", devkit)


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_lists_with_marks(devkit: Path, mark: str, encoding: str) -> None:
    """A list with a byte order mark, or in UTF-16 with one, is read as it is meant."""
    path = devkit / "ImageSets" / "Main" / "train.txt"
    path.write_bytes(f"{mark if encoding == 'utf-8' else ''}a\n".encode(encoding))
    assert [s.image_id for s in voc("v", devkit).views[0].samples] == ["a", "b"]


@pytest.mark.parametrize("name", ["../a", "x/a", ".."])
def test_lists_name_no_folders(devkit: Path, name: str) -> None:
    """An image of a list is a name, never a path that leads elsewhere."""
    (devkit / "ImageSets" / "Main" / "train.txt").write_text(name)
    with pytest.raises(DataError, match="without folders"):
        voc("v", devkit)


def test_pipes_are_not_opened(devkit: Path) -> None:
    """An annotation that is a pipe would be waited for without end: it is refused."""
    (devkit / "Annotations" / "a.xml").unlink()
    os.mkfifo(devkit / "Annotations" / "a.xml")
    with pytest.raises(DataError, match="no regular file"):
        voc("v", devkit)


COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "1.png", "width": 60, "height": 40},
               {"id": 2, "file_name": "2.png", "width": 60, "height": 40}],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 5, 10, 10], "iscrowd": 0},
        {"id": 2, "image_id": 2, "category_id": 2, "bbox": [0, 0, 60, 40]},
    ],
}  # fmt: skip


def change(path: str, value: object) -> dict[str, Any]:
    """Return the instances with one value exchanged, as ``images.0.id``."""
    data = copy.deepcopy(COCO)
    *keys, last = path.split(".")
    node: Any = data
    for key in keys:
        node = node[int(key) if isinstance(node, list) else key]
    node[int(last) if isinstance(node, list) else last] = value
    return data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make two images of 60 x 40."""
    for n in (1, 2):
        Image.new("RGB", (60, 40)).save(tmp_path / f"{n}.png")
    return tmp_path


COCO_FAULTS = [
    ("annotations.0.iscrowd", "0", r"annotations\[0\]: iscrowd is '0'"),
    ("annotations.0.iscrowd", 2, "iscrowd is 2"),
    ("annotations.0.iscrowd", None, "iscrowd is None"),
    ("annotations.0.bbox", "1155", "bbox is '1155'"),
    ("annotations.0.bbox", ["1", "1", "5", "5"], r"bbox\[0\]: '1' is no number"),
    ("annotations.0.bbox", [True, 1, 5, 5], r"bbox\[0\]: True is no number"),
    ("annotations.0.bbox", [4, 5, -3, 10], "negative side"),
    ("annotations.0.bbox", [4, float("nan"), 3, 10], "is not finite"),
    ("annotations.0.bbox", {"x": 1}, "bbox is"),
    ("annotations.0.category_id", "1", "category_id is '1'"),
    ("annotations.0.category_id", 1.0, "category_id is 1.0"),
    ("annotations.0.category_id", 9, "category_id 9 is not in the file"),
    ("annotations.0.image_id", True, "image_id is True"),
    ("annotations.1.id", 1, "was used before"),
    ("categories.1.id", 1, r"categories\[1\]: id 1 or name 'dog' was used before"),
    ("categories.1.name", "cat", "was used before"),
    ("categories.0.name", None, "name is None; expected a text"),
    ("categories.0.name", "  ", "expected a text"),
    ("images.1.id", 1, "lists an image id twice"),
    ("images.0.file_name", None, "file_name is None"),
    ("images.0.file_name", "../1.png", "not a path below"),
    ("images.0.width", 120, "has 60 x 40 pixels, its annotation says 120 x 40"),
    ("images.0.width", "60", "width is '60'"),
    ("images.0.width", 0, "expected pixels"),
    ("images", {"1": {}}, "'images' is no list"),
    ("annotations.0", [1], "'annotations' is no list of objects"),
    ("categories", None, "'categories' is no list"),
]


@pytest.mark.parametrize(("path", "value", "message"), COCO_FAULTS)
def test_coco_faults_are_named(folder: Path, path: str, value: object, message: str) -> None:
    """An odd value is refused with its place in the file, never taken for something."""
    (folder / "i.json").write_text(json.dumps(change(path, value)))
    with pytest.raises(DataError, match=message):
        coco("c", folder, annotations="i.json")


@pytest.mark.parametrize(
    "text", ["", "[" * 100_000, '{"images": 1, "images": 2}', "\ufeff[]", "nul", '"x"', "\0"]
)
def test_broken_json_is_told_in_words(folder: Path, text: str) -> None:
    """Deep, doubled, cut and empty JSON is a DataError that names the file."""
    (folder / "i.json").write_text(text)
    with pytest.raises(DataError, match=r"i\.json"):
        coco("c", folder, annotations="i.json")


def test_turned_and_scaled_images(folder: Path) -> None:
    """The message tells whether an image lies on its side or was scaled."""
    for (width, height), word in (((40, 60), "on its side"), ((120, 80), "scaled")):
        data = copy.deepcopy(COCO)
        data["images"][0] |= {"width": width, "height": height}
        (folder / "i.json").write_text(json.dumps(data))
        with pytest.raises(DataError, match=word):
            coco("c", folder, annotations="i.json")


def test_files_that_count_from_zero_each(folder: Path) -> None:
    """Two files whose images have the same ids are two parts of one data set."""
    for at, name in enumerate(("train", "val"), start=1):
        data = {
            "images": [{"id": 0, "file_name": f"{at}.png", "width": 60, "height": 40}],
            "categories": [{"id": at, "name": "cat"}],
            "annotations": [{"id": 0, "image_id": 0, "category_id": at, "bbox": [at, 1, 5, 5]}],
        }
        (folder / f"{name}.json").write_text(json.dumps(data))
    manifest = coco("c", folder, annotations="train=train.json,val=val.json")
    image, gt = manifest.views
    assert [s.uri for s in image.samples] == ["1.png", "2.png"]
    assert image.splits[0].parts == ("train", "val")
    assert [s.box for s in gt.samples] == [(2, 2, 6, 6), (3, 2, 7, 6)]
    assert manifest.classes == ("cat",)


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Return bytes with some exchanged, cut, doubled, or words of the formats put in."""
    out = bytearray(data)
    words = [b"0", b"-1", b"nan", b"1e400", b"true", b"null", b'"', b"<", b"&x;", b"\xff", b"\0",
             b"[", b"{", b"</object>", b"\xef\xbb\xbf", b"9" * 30, b"/../"]  # fmt: skip
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(out) + 1)
        end = min(len(out), at + draw.randint(0, 12))
        kind = draw.randrange(4)
        if kind == 0:
            out[at:end] = draw.choice(words)
        elif kind == 1:
            del out[at:end]
        elif kind == 2:
            out[at:at] = out[at:end]
        elif len(out) > at:
            out[at] = draw.randrange(256)
    return bytes(out)


def told(make: Callable[[], DatasetManifest]) -> DatasetManifest | str:
    """Return what a reader gives, or the text of its error; anything else fails the test."""
    try:
        return make()
    except FstoreError as error:
        return str(error)


@pytest.mark.slow
def test_mutated_voc(devkit: Path) -> None:
    """6,000 broken annotations and lists: refused in words, or read the same twice."""
    draw = random.Random(0)  # noqa: S311 - no secret
    files = ["Annotations/a.xml", "ImageSets/Main/train.txt"]
    sound = {name: (devkit / name).read_bytes() for name in files}
    read_ones = 0
    for _ in range(6000):
        name = files[draw.random() < 0.2]
        (devkit / name).write_bytes(mutated(sound[name], draw))
        found = told(lambda: voc("v", devkit))
        assert found == told(lambda: voc("v", devkit))
        read_ones += not isinstance(found, str)
        (devkit / name).write_bytes(sound[name])
    assert 50 < read_ones < 5950  # both kinds were met


@pytest.mark.slow
def test_mutated_coco(folder: Path) -> None:
    """6,000 broken instance files: refused in words, or read the same twice."""
    draw = random.Random(0)  # noqa: S311 - no secret
    sound = json.dumps(COCO).encode()
    read_ones = 0
    for _ in range(6000):
        (folder / "i.json").write_bytes(mutated(sound, draw))
        found = told(lambda: coco("c", folder, annotations="i.json"))
        assert found == told(lambda: coco("c", folder, annotations="i.json"))
        read_ones += not isinstance(found, str)
    assert 50 < read_ones < 5950  # both kinds were met


@pytest.mark.parametrize("name", ["a\0b.png", "\ud800.png", "x/\udfff/1.png"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    """A zero byte or half a character in a file's name is refused with its place in the JSON."""
    image = {"id": 1, "file_name": name, "width": 60, "height": 40}
    (tmp_path / "i.json").write_text(
        json.dumps({"images": [image], "categories": [], "annotations": []})
    )
    with pytest.raises(DataError, match=r"images\[0\]: .* is no name that a file can have"):
        coco("c", tmp_path, annotations="i.json")


@pytest.mark.parametrize("name", ["x" * 256, "\u00fc" * 200, "a/" * 2500 + "b"])
def test_names_too_long_for_a_file(tmp_path: Path, name: str) -> None:
    """A name that is longer than any file's is refused in words."""
    image = {"id": 1, "file_name": name, "width": 60, "height": 40}
    (tmp_path / "i.json").write_text(
        json.dumps({"images": [image], "categories": [], "annotations": []})
    )
    with pytest.raises(DataError, match="its name is too long for a file"):
        coco("c", tmp_path, annotations="i.json")


def test_coco_files_are_named_as_tables_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A JSON file is found from where one stands, or from the root; `valid` is the part val."""
    root, here = tmp_path / "root", tmp_path / "here"
    for folder in (root, here):
        folder.mkdir()
    Image.new("RGB", (60, 40)).save(root / "1.png")
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}
    image = {"id": 1, "file_name": "1.png", "width": 60, "height": 40}
    parts = {"images": [image], "categories": [{"id": 1, "name": "c"}], "annotations": [entry]}
    (here / "i.json").write_text(json.dumps(parts))
    monkeypatch.chdir(here)
    found = coco("c", root, annotations="Valid=i.json")
    assert found.views[0].splits[0].parts == ("val",)
    (root / "i.json").write_text(json.dumps(parts))
    with pytest.raises(DataError, match="give an absolute path"):
        coco("c", root, annotations="i.json")


def test_a_line_of_a_list_is_one_name(devkit: Path) -> None:
    """An image's name may have spaces; a line of two words never stands for its first word."""
    for folder, ending in (("JPEGImages", ".jpg"), ("Annotations", ".xml")):
        whole = (devkit / folder / f"a{ending}").read_bytes()
        (devkit / folder / f"my cat 2{ending}").write_bytes(whole)
    main = devkit / "ImageSets" / "Main"
    (main / "train.txt").write_text("my cat 2 \na\n")
    (main / "cat_train.txt").write_text("my cat 2  1\na 1\n")
    assert [s.image_id for s in voc("v", devkit).views[0].samples] == ["a", "b", "my cat 2"]
    (main / "cat_train.txt").unlink()
    (main / "train.txt").write_text("a 1\n")
    with pytest.raises(DataError, match="image a 1 has no annotation"):
        voc("v", devkit)
