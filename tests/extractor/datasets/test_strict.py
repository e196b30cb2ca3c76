"""Tables, label files and folders as people have them: one meaning, or refused with the place."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from fstore.errors import DataError
from fstore.extractor.datasets import find_file
from fstore.extractor.datasets.csv_file import csv_file
from fstore.extractor.datasets.imagefolder import imagefolder
from fstore.reading import read_text

Images = Callable[..., Path]

BOX = "path,label,xmin,ymin,xmax,ymax"

ENCODED = [
    ("utf-8", ""),
    ("utf-8-sig", ""),
    ("utf-16", ""),
    ("utf-32", ""),
    ("latin-1", "latin-1"),
    ("cp1252", "windows-1252"),
    ("utf-16-le", "utf-16-le"),
    ("mac-roman", "macroman"),
]


@pytest.mark.parametrize(("written", "encoding"), ENCODED)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_one_text_in_every_encoding(
    make_images: Images, written: str, encoding: str, end: str
) -> None:
    """A table and a label file say the same in each encoding, with each end of lines."""
    root = make_images("1.png", "2.png")
    (root / "t.csv").write_bytes(f"path,label{end}1.png,café{end}2.png,b{end}".encode(written))
    (root / "l.txt").write_bytes(f"1.png\tcafé{end}2.png b{end}".encode(written))
    for manifest in (
        csv_file("c", root, encoding=encoding),
        imagefolder("c", root, label_file=str(root / "l.txt"), encoding=encoding),
    ):
        assert [dict(s.labels) for s in manifest.views[0].samples] == [{"café": 1}, {"b": 1}]


@pytest.mark.parametrize(
    ("data", "encoding", "message"),
    [
        (b"a\nb\nc\xe9d", "", r"line 3, byte 5 is no UTF-8 \(0xe9\).*--encoding latin-1"),
        (b"\xe9", "", "line 1, byte 0"),
        (b"a\n\xff", "ascii", "line 2, byte 2 is no ascii"),
        (b"a\nb\0", "", "line 2: a zero byte"),
        (b"\xff\xfea\0b", "", "line 1, byte 4 is no utf-16"),
        (b"a", "klingon", "no encoding 'klingon'"),
        (b"a", "rot13", "no encoding 'rot13'"),
        (b"a", "punycode", "no encoding 'punycode'"),
        (b"a", "base64", "no encoding 'base64'"),
    ],
)
def test_text_that_is_none(tmp_path: Path, data: bytes, encoding: str, message: str) -> None:
    """What is in no known encoding is refused with line, byte and the option that helps."""
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_text(tmp_path / "t", encoding=encoding)


def test_the_option_is_advised_where_there_is_one(tmp_path: Path) -> None:
    """A caller without --encoding does not advise it."""
    (tmp_path / "t").write_bytes(b"\xe9")
    with pytest.raises(DataError, match=r"save the file as UTF-8$"):
        read_text(tmp_path / "t")


TABLES = [
    ('path,label\n1.png,"5 inch\n2.png,b', "line 2: a quote is not closed"),
    ('path,label\n1.png,a\n2.png,"b', "line 3: a quote is not closed"),
    ('path,label\n1.png,"a\n2.png,b"', "line 2: a quote is not closed"),
    ('path,label\n1.png,"a"b', "line 2: ',' expected after '\"'"),
    ('path,label\n1.png, "a"', "line 2: a space before the quote"),
    ("path,label\n1.png,a,b", "line 2: expected 2 cells, one a column; found 3"),
    ("path,label,split\n1.png,a", "line 2: expected 3 cells, one a column; found 2"),
    ("path,label,path\n1.png,a,2.png", "line 1: two columns 'path'"),
    ("path;label\n1.png;a", "line 1: no column 'path'.*separated by commas"),
    ("path,lable\n1.png,a", "line 1: unknown column 'lable'; name it 'label'"),
    ("path,LABEL\n1.png,a", "unknown column 'LABEL'; name it 'label'"),
    ("path,class\n1.png,a", "unknown column 'class'; name it 'label'"),
    ("path,label,splits\n1.png,a,val", "unknown column 'splits'; name it 'split'"),
    (f"{BOX},dificult\n1.png,a,1,1,2,2,0", "unknown column 'dificult'; name it 'difficult'"),
    ("path,label,subset\n1.png,a,val", "unknown column 'subset'; name it 'split'"),
    (f"{BOX}\n1.png,a,1_0,1,20,2", "line 2: '1_0' is no number"),
    (f"{BOX}\n1.png,a,1,१,20,2", "line 2: '१' is no number"),
    (f"{BOX}\n1.png,a,1,1,nan,2", "line 2: 'nan' is no number"),
    (f"{BOX}\n1.png,a,1,1,Infinity,2", "line 2: 'Infinity' is no number"),
    (f"{BOX}\n1.png,a,1,1,1e999,2", "line 2: '1e999' is no number"),
    (f"{BOX}\n1.png,a,0x1,1,2,2", "line 2: '0x1' is no number"),
    (f'{BOX}\n1.png,a,"1,5",1,2,2', "line 2: '1,5' is no number"),
    (f"{BOX}\n1.png,a,1,1,2,", "line 2: box .* expected four numbers"),
    (f"{BOX}\n1.png,a,0,1,2,2", r"box \(0, 1, 2, 2\) is not inside"),
    (f"{BOX}\n1.png,a,5,1,2,2", r"box \(5, 1, 2, 2\) is not inside"),
    (f"{BOX},difficult\n1.png,a,1,1,2,2,True", "difficult 'True'; expected 0 or 1"),
    (f"{BOX},difficult\n1.png,a,1,1,2,2,2", "difficult '2'; expected 0 or 1"),
    (f"{BOX},difficult\n1.png,,,,,,1", "difficult without a box"),
    ("path,label,split\n1.png,a,holdout", "line 2: split 'holdout'"),
    ("path,label\n1.png,a\x07", "line 2: class .* control character"),
    ("path,label\n1.png,café\n2.png,cafe\u0301", "differ only in spaces or in the Unicode form"),
    ("path,label\n1.png/x,a", "no image file"),
    (f"path,label\n{'x' * 300}.png,a", "name is too long"),
    (f"path,label\n1.png,{'x' * 200_000}", "line 2: a cell has more than 131072 characters"),
    ("path,label", "no row below its column names"),
    ("", "is empty; its first line names columns"),
    ("\n\n", "is empty; its first line names columns"),
]


@pytest.mark.parametrize(("text", "message"), TABLES, ids=[str(i) for i in range(len(TABLES))])
def test_tables_are_strict(make_images: Images, text: str, message: str) -> None:
    """A table with two meanings, or none, is refused with the line."""
    root = make_images("1.png", "2.png")
    (root / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        csv_file("c", root)


def test_cells_are_texts(make_images: Images) -> None:
    """Labels that look like numbers or nothing are texts; the quote of a quote is one."""
    labels = ["0012", "12", "1e5", "NA", "null", "True", 'a "b", c', "7' pipe"]
    root = make_images(*(f"{i}.png" for i in range(len(labels))))
    quoted = ['"' + text.replace('"', '""') + '"' for text in labels]
    lines = "".join(f"{i}.png,{text}\n" for i, text in enumerate(quoted))
    (root / "t.csv").write_text(f"path, label\n{lines}")
    samples = csv_file("c", root).views[0].samples
    assert [next(iter(s.labels)) for s in samples] == labels


def test_parts_by_other_words(make_images: Images) -> None:
    """The column `split` knows the words that people use, in letters of any size."""
    words = ["Train", "training", "valid", "Validation", "dev", "TEST", "testing", "eval", ""]
    root = make_images(*(f"{i}.png" for i in range(len(words))))
    rows = "".join(f"{i}.png,{word}\n" for i, word in enumerate(words))
    (root / "t.csv").write_text(f"path,split\n{rows}")
    (split,) = csv_file("c", root).views[0].splits
    assert split.parts == ("train",) * 2 + ("val",) * 3 + ("test",) * 3 + (None,)


def test_unknown_columns_are_told(make_images: Images) -> None:
    """A column that no known one resembles is left out with a word."""
    root = make_images("1.png")
    (root / "t.csv").write_text("path,label,photographer,\n1.png,a,Ann,\n")
    heard: list[str] = []
    assert csv_file("c", root, on_note=heard.append).classes == ("a",)
    assert len(heard) == 1
    assert "'photographer', ''" in heard[0]


LABEL_FILES = [
    ("1.png,a\n2.png,b", "line 1: '1.png,a'; expected '<image> <label>'"),
    ("1.png a\n2.png", "line 2: '2.png'; expected"),
    ("1.png\u00a0a\n2.png b", "line 1: .*; expected '<image> <label>', a space or a tab"),
    ("1.png a\n2.png b\n1.png a", "line 3: image '1.png' is labelled twice"),
    ("1.png a\n2.png b\n./1.png a", "line 3: no image './1.png'"),
    ("1.png a\n2.png b\n3.png a", "line 3: no image '3.png'"),
    ("1.png a\x0bb\n2.png b", "line 1: class .* control character"),
    ("1.png a\u2029b\n2.png b", "line 1: class .* control character"),
    ('"1.png" a\n2.png b', "line 1: no image '\"1.png\"'"),
    ("1.png café\n2.png cafe\u0301", "differ only in spaces or in the Unicode form"),
    ("", "holds no line"),
]


@pytest.mark.parametrize(
    ("text", "message"), LABEL_FILES, ids=[str(i) for i in range(len(LABEL_FILES))]
)
def test_label_files_are_strict(make_images: Images, text: str, message: str) -> None:
    """A line of a label file has one meaning, or is refused with its number."""
    root = make_images("1.png", "2.png")
    (root / "l").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        imagefolder("c", root, label_file=str(root / "l"))


def test_a_tab_ends_a_name_with_spaces(make_images: Images) -> None:
    """`my cat.png<tab>big cat`: the first tab parts them; without a tab the first space does."""
    root = make_images("my cat.png", "2.png")
    (root / "l").write_text("my cat.png\tbig cat\n\n2.png small cat  \n")
    samples = imagefolder("c", root, label_file=str(root / "l")).views[0].samples
    assert [(s.uri, next(iter(s.labels))) for s in samples] == [
        ("2.png", "small cat"),
        ("my cat.png", "big cat"),
    ]


PARTS = [
    (("Training/a/1.png", "TESTING/a/2.png"), ("test", "train")),
    (("train/a/1.png", "validation/a/2.png"), ("train", "val")),
    (("eval/a/1.png", "training/a/2.png", "dev/a/3.png"), ("val", "test", "train")),
    (("images/train/a/1.png", "images/valid/a/2.png"), ("train", "val")),
    (("set one/Train/a/b/1.png", "set one/Test/a/b/2.png"), ("test", "train")),
    (("testing/a/1.png",), ("test",)),
    (("train2017/a/1.png", "val2017/a/2.png"), ("train", "val")),
    (("Test-Set/a/1.png", "train_images/a/2.png"), ("test", "train")),
    (("d/images/test/a/1.png", "d/images/train/a/2.png"), ("test", "train")),
]


@pytest.mark.parametrize(("uris", "parts"), PARTS)
def test_folders_that_are_parts(
    make_images: Images, uris: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    """Parts by their usual names, one level down too, are the official split, not classes."""
    manifest = imagefolder("c", make_images(*uris))
    assert len(manifest.classes) == 1
    assert manifest.views[0].splits[0].parts == parts


@pytest.mark.parametrize(
    ("uris", "message"),
    [
        (("val/a/1.png", "valid/a/2.png"), "'val' and 'valid' .* part val"),
        (("train/a/1.png", "Train/a/2.png"), "'Train' and 'train' .* part train"),
        (("train/a/1.png", "test/a/2.png", "extra/a/3.png"), "'extra' like classes"),
        (("train/a/1.png", "cat/2.png"), "'train' look like parts .* 'cat' like classes"),
        (("test/1.png", "cat/2.png", "dog/3.png"), "'test' look like parts"),
        (("d/train/a/1.png", "d/other/a/2.png"), "'other' like classes"),
        (("cat/train/1.png", "cat/val/2.png", "dog/train/3.png"), "put the parts outermost"),
        (("x/cat/train/1.png", "x/cat/test/2.png", "y/dog/3.png"), "put the parts outermost"),
    ],
)
def test_folders_that_may_be_parts(
    make_images: Images, uris: tuple[str, ...], message: str
) -> None:
    """Where folders may be parts or classes, nothing is guessed."""
    with pytest.raises(DataError, match=message):
        imagefolder("c", make_images(*uris))


def test_classes_that_begin_like_parts(make_images: Images) -> None:
    """`trains`, `valley` and years are classes, at any depth."""
    manifest = imagefolder("c", make_images("a/trains/1.png", "a/valley/2.png", "b/2017/3.png"))
    assert manifest.classes == ("a/trains", "a/valley", "b/2017")


def test_a_train_may_be_a_vehicle(make_images: Images) -> None:
    """A folder `train` of images beside other classes is a class, as before."""
    manifest = imagefolder("c", make_images("bus/1.png", "train/2.png"))
    assert manifest.classes == ("bus", "train")


def test_what_is_left_out_is_told(make_images: Images) -> None:
    """Other endings, hidden files and machines' folders are counted; the rest is taken."""
    root = make_images("a/1.png", "a/2.PNG", "a/@eaDir/1.png", "b/3.png", "b/__MACOSX/4.png")
    (root / "a/._1.png").write_bytes((root / "a/1.png").read_bytes())
    (root / "a/1.png").rename(root / "a/1.JFIF")
    for name in ("a/x.xcf", "b/y.xcf", "b/notes", "b/Thumbs.db"):
        (root / name).touch()
    os.mkfifo(root / "b/pipe.png")
    heard: list[str] = []
    manifest = imagefolder("c", root, on_note=heard.append)
    assert [s.uri for s in manifest.views[0].samples] == ["a/1.JFIF", "a/2.PNG", "b/3.png"]
    (told,) = heard
    for part in (
        *("2 .xcf", "2 hidden", "1 in @eaDir", "1 in __MACOSX", "1 without an ending"),
        "1 .png that are pipes, sockets or devices",
    ):
        assert part in told


def test_nothing_that_waits_is_opened(make_images: Images) -> None:
    """Pipes, sockets and devices are never opened, whoever names them."""
    root = make_images("1.png")
    os.mkfifo(root / "pipe.png")
    (root / "zero.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "s.png"))
        for name in ("pipe.png", "zero.png", "s.png"):
            (root / "t.csv").write_text(f"path\n{name}\n")
            with pytest.raises(DataError, match="is no regular file"):
                csv_file("c", root)
            with pytest.raises(DataError, match="is no regular file"):
                csv_file("c", root, annotations=name)
            with pytest.raises(DataError, match="is no regular file"):
                imagefolder("c", root, label_file=name)
        assert len(imagefolder("c", root).views[0].samples) == 1


@pytest.mark.parametrize(
    "links", [{"a/x": "b", "b/y": "a"}, {"a/x": "b"}, {"a/x": "out", "b/y": "out"}]
)
def test_links_to_one_folder(make_images: Images, links: dict[str, str]) -> None:
    """A folder that links lead to twice would count twice: refused with both names."""
    root = make_images("r/a/1.png", "r/b/2.png", "out/3.png")
    for link, target in links.items():
        there = root / target if target == "out" else root / "r" / target
        (root / "r" / link).symlink_to(there)
    with pytest.raises(DataError, match="are one and the same, by a link"):
        imagefolder("c", root / "r")


def test_names_that_are_no_utf8(make_images: Images) -> None:
    """A file with such a name is left out with a word, a folder is refused."""
    root = make_images("a/1.png", "a/2.png")
    (root / "a/2.png").rename(root / "a" / os.fsdecode(b"\xff.png"))
    heard: list[str] = []
    assert len(imagefolder("c", root, on_note=heard.append).views[0].samples) == 1
    assert "1 whose name is no UTF-8" in heard[0]
    (root / "a").rename(root / os.fsdecode(b"\xe9"))
    with pytest.raises(DataError, match=r"\\xe9 is no UTF-8; rename it"):
        imagefolder("c", root)


def test_a_named_file_is_found_in_one_place(
    make_images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From where one stands, else from the root; two different files are refused."""
    root = make_images("in/1.png")
    monkeypatch.chdir(root)
    (root / "here.csv").write_text("path\n1.png\n")
    (root / "in/there.csv").write_text("path\n1.png\n")
    for name in ("here.csv", "there.csv", "in/there.csv"):
        assert csv_file("c", Path("in"), annotations=name).views[0].samples[0].uri == "1.png"
    (root / "in/here.csv").symlink_to(root / "here.csv")
    assert find_file("here.csv", Path("in"), "--annotations").samefile(root / "here.csv")
    (root / "there.csv").write_text("path\n2.png\n")
    with pytest.raises(DataError, match=r"may be .*there.csv or .*in.there.csv; give an absolute"):
        csv_file("c", Path("in"), annotations="there.csv")
    with pytest.raises(DataError, match="is a folder, not a file"):
        find_file("in", Path(), "--annotations")
    with pytest.raises(DataError, match=r"no file .*nowhere.csv or in.nowhere.csv"):
        find_file("nowhere.csv", Path("in"), "--annotations")
