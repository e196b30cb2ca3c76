"""CSV tables and COCO instances."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fstore.errors import DataError
from fstore.extractor.datasets.coco import coco
from fstore.extractor.datasets.csv_file import csv_file

Images = Callable[..., Path]


def test_csv_with_one_label(make_images: Images) -> None:
    """`path,label,split`: whole images by path, one class each, the official split."""
    root = make_images("x/2.png", "1.png")
    (root / "t.csv").write_text("path,label,split\nx/2.png,dog,train\n1.png,cat,\n")
    manifest = csv_file("c", root)
    (view,) = manifest.views
    assert (manifest.task, manifest.classes) == ("single", ("cat", "dog"))
    assert [(s.uri, dict(s.labels)) for s in view.samples] == [
        ("1.png", {"cat": 1}),
        ("x/2.png", {"dog": 1}),
    ]
    assert view.splits[0].parts == (None, "train")


def test_csv_with_several_labels_or_none(make_images: Images) -> None:
    """`labels` holds `a;b`; a table of paths alone has no task."""
    root = make_images("1.png", "2.png")
    (root / "t.csv").write_text('path,labels\n1.png,"b; a"\n2.png,\n')
    (root / "u.csv").write_text("\ufeffpath\n1.png\n")  # as spreadsheets write it
    manifest = csv_file("c", root, annotations="t.csv")
    assert manifest.task == "multi"
    assert [dict(s.labels) for s in manifest.views[0].samples] == [{"a": 1, "b": 1}, {}]
    assert csv_file("c", root, annotations=str(root / "u.csv")).task == "none"


def test_csv_with_boxes(make_images: Images) -> None:
    """Rows with boxes are objects; images take their labels; an empty row is an empty image."""
    root = make_images("1.png", "2.png")
    (root / "t.csv").write_text(
        "path,label,xmin,ymin,xmax,ymax,difficult,split\n"
        "2.png,,,,,,,test\n1.png,dog,1,1,20,10,0,train\n1.png,cat,2,3,4.5,5,1,train\n"
    )
    image, gt = csv_file("c", root).views
    assert [dict(s.labels) for s in image.samples] == [{"dog": 1, "cat": 0}, {}]
    assert [(dict(s.labels), s.box, s.difficult) for s in gt.samples] == [
        ({"dog": 1}, (1, 1, 20, 10), False),
        ({"cat": 0}, (2, 3, 4.5, 5), True),
    ]
    assert gt.splits[0].parts == ("train", "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n1.png,a", "no column 'path'; columns may be path, label"),
        ("path,label,Split\n1.png,a,b", "line 1: unknown column 'Split'; name it 'split'"),
        ("path,label,xmin\n1.png,a,1", r"only \['xmin'\]; a box needs"),
        ("path,label,labels\n1.png,a,b", "expected 'label'"),
        ("path,label\n1.png", "line 2: expected 2 cells"),
        ("path,label\n1.png,a\n1.png,b", "line 3: this image has a row already"),
        ("path,label\n1.png,", "line 2: no label"),
        ("path,label\n../1.png,a", "is not a path below --root"),
        ("path,label\nx/../../1.png,a", "is not a path below --root"),
        ("path,label\n/1.png,a", "'/1.png' is not a path below --root"),
        ("path,label\n1.png,a\n./1.png,a", "line 3: this image has a row already"),
        ("path,label,split\n1.png,a,rest", "split 'rest'; expected train, val, test"),
        ("path,label\n2.png,a", r"no image file .*2\.png"),
        ("path,label,xmin,ymin,xmax,ymax\n1.png,a,1,1,x,2", "line 2: 'x' is no number"),
        ("path,label,xmin,ymin,xmax,ymax\n1.png,a,1,1,21,2", r"not inside 1 \.\.\. 20 x 1"),
        ("path,label,xmin,ymin,xmax,ymax\n1.png,,1,1,2,2", "a box without a label"),
        ("path,label,xmin,ymin,xmax,ymax\n1.png,a,,,,", "a label without a box"),
        (
            "path,label,xmin,ymin,xmax,ymax,split\n1.png,a,1,1,2,2,val\n1.png,a,1,1,2,2,test",
            "line 3: split test differs",
        ),
        ("path,label,xmin,ymin,xmax,ymax,difficult\n1.png,a,1,1,2,2,yes", "difficult 'yes'"),
    ],
)
def test_csv_tables_that_do_not_fit(make_images: Images, text: str, message: str) -> None:
    """Unknown columns and values, and rows that contradict, name file and line."""
    root = make_images("1.png")
    (root / "t.csv").write_text(text + "\n")
    with pytest.raises(DataError, match=message):
        csv_file("c", root)


def test_csv_that_is_not_there(tmp_path: Path) -> None:
    """No CSV file, or two to choose from, is an error that names --annotations."""
    with pytest.raises(DataError, match=r"0 CSV files in .*--annotations"):
        csv_file("c", tmp_path)
    with pytest.raises(DataError, match=r"no file .*t\.csv"):
        csv_file("c", tmp_path, annotations="t.csv")
    with pytest.raises(DataError, match="no folder"):
        csv_file("c", tmp_path / "nowhere")


def instances(**changes: object) -> dict[str, Any]:
    """Return a COCO file of two images and three objects, with changes to one annotation."""
    objects = [
        {"id": 1, "image_id": 12, "category_id": 3, "bbox": [0, 0, 20, 10], "iscrowd": 0},
        {"id": 2, "image_id": 12, "category_id": 5, "bbox": [4, 2, 3, 4], "iscrowd": 1},
        {"id": 3, "image_id": 7, "category_id": 3, "bbox": [19.5, 0, 0.5, 1], "iscrowd": 0},
    ]
    objects[2] |= changes
    return {
        "images": [
            {"id": 12, "file_name": "1.png", "width": 20, "height": 10},
            {"id": 7, "file_name": "2.png", "width": 20, "height": 10},
        ],
        "annotations": objects,
        "categories": [{"id": i, "name": n} for i, n in ((3, "dog"), (5, "cat"), (8, "unseen"))],
    }


def test_coco_boxes_count_from_one(make_images: Images) -> None:
    """[0, 0, w, h] is (1, 1, w, h); crowds are difficult; images are ordered by their id."""
    root = make_images("1.png", "2.png")
    (root / "i.json").write_text(json.dumps(instances()))
    manifest = coco("c", root, annotations="i.json")
    image, gt = manifest.views
    assert (manifest.task, manifest.classes) == ("multi", ("cat", "dog"))
    assert [(s.image_id, s.uri, dict(s.labels)) for s in image.samples] == [
        ("7", "2.png", {"dog": 1}),
        ("12", "1.png", {"dog": 1, "cat": 0}),
    ]
    assert [(s.box, s.difficult) for s in gt.samples] == [
        ((20, 1, 20, 1), False),  # half a pixel becomes the pixel that it is in
        ((1, 1, 20, 10), False),
        ((5, 3, 7, 6), True),
    ]


def test_coco_files_by_part(make_images: Images) -> None:
    """`train=FILE,val=FILE` is the official split; images lie in the folder the file names."""
    root = make_images("train2017/1.png", "train2017/2.png", "val2017/3.png")
    val = instances()
    val["images"] = [{"id": 20, "file_name": "3.png", "width": 20, "height": 10}]
    val["annotations"] = []
    (root / "instances_train2017.json").write_text(json.dumps(instances()))
    (root / "instances_val2017.json").write_text(json.dumps(val))
    files = "train=instances_train2017.json,val=instances_val2017.json"
    image = coco("c", root, annotations=files).views[0]
    assert [s.uri for s in image.samples] == ["train2017/2.png", "train2017/1.png", "val2017/3.png"]
    assert image.splits[0].parts == ("train", "train", "val")


def test_coco_box_without_area_is_difficult(make_images: Images) -> None:
    """COCO's few boxes of no width become one difficult pixel."""
    root = make_images("1.png", "2.png")
    (root / "i.json").write_text(json.dumps(instances(bbox=[20, 3, 0, 0])))
    with pytest.raises(DataError, match="outside an image"):
        coco("c", root, annotations="i.json")
    (root / "i.json").write_text(json.dumps(instances(bbox=[4, 3, 0, 0])))
    sample = coco("c", root, annotations="i.json").views[1].samples[0]
    assert (sample.box, sample.difficult) == ((5, 4, 5, 4), True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "is not a COCO instances file: 'categories' is no list"),
        ([], "is not a COCO instances file: expected an object"),
        (instances(image_id=99), r"annotations\[2\]: image_id 99 is not in the file"),
        (instances(bbox=[1, 2, 3]), r"annotations\[2\]: bbox is \[1, 2, 3\]"),
        (instances(bbox=[18, 0, 5, 5]), r"annotation 3 has the box \[18, 0, 5, 5\], outside an"),
        (instances() | {"images": instances()["images"] * 2}, "lists an image id twice"),
    ],
)
def test_coco_files_that_do_not_fit(make_images: Images, data: object, message: str) -> None:
    """A file of another kind, dangling references and misplaced boxes are named."""
    root = make_images("1.png", "2.png")
    (root / "i.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match=message):
        coco("c", root, annotations="i.json")


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ("", "needs its JSON file"),
        ("all=i.json", "expected train=, val= or test="),
        ("j.json", r"no file .*j\.json"),
        ("train=i.json,val=i.json", "is in two files; list it in one part only"),
    ],
)
def test_coco_annotations_option(make_images: Images, annotations: str, message: str) -> None:
    """The option must name files that exist, each once."""
    root = make_images("1.png", "2.png")
    (root / "i.json").write_text(json.dumps(instances()))
    with pytest.raises(DataError, match=message):
        coco("c", root, annotations=annotations)
