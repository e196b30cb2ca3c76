"""Mutated tables, label files and folders: read the same twice, or refused in our words."""

import os
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from fstore.errors import FstoreError
from fstore.extractor.datasets.csv_file import csv_file
from fstore.extractor.datasets.imagefolder import imagefolder
from fstore.types import DatasetManifest

TABLES = [
    b"path,label,split\n1.png,cat,train\n2.png,dog,val\n",
    b'path,labels\n1.png,"a;b"\n2.png,c\n',
    b"path,label,xmin,ymin,xmax,ymax,difficult\n1.png,a,1,1,4,4,0\n2.png,,,,,,\n",
]
LABELS = [b"1.png cat\n2.png dog\n", b"1.png\tbig cat\n2.png\tdog\n"]
PIECES = [
    *(b'"', b",", b"\t", b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b" ", b";"),
    *(b"1_0", b"nan", b"-1", b"1e999", b"../", b"/", b"path", b"label", b"\xc3\xa9", b"\xd9\xa3"),
    *(b"\x0b", b"\xe2\x80\xa8", b"x" * 300, b"1.png", b"valid", b"True", b"\x1b[2J"),
]
NAMES = [
    *("train", "Valid", "val", "testing", "cat", "dog", "@eaDir", ".git", "data", "caf\u00e9"),
    *("cafe\u0301", "cat ", "__MACOSX", "a\nb", "\udcff", "1.png", "x.jpg"),
]
FILES = ["1.png", "2.PNG", "3.jfif", "._1.png", "x.txt", "Thumbs.db", "\udcfe.png", "a b.png", "x"]

pytestmark = pytest.mark.slow


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Return bytes after one to three cuts, insertions, swaps or flips."""
    for _ in range(dice.randint(1, 3)):
        at = dice.randint(0, len(data))
        end = min(len(data), at + dice.randint(0, 6))
        kind = dice.randrange(4)
        if kind == 0:
            data = data[:at] + data[end:]
        elif kind == 1:
            data = data[:at] + dice.choice(PIECES) + data[at:]
        elif kind == 2:
            data = data[:at] + bytes(dice.randrange(256) for _ in range(end - at)) + data[end:]
        else:
            data = data[:at] + data[at:end] * 2 + data[end:]
    return data.decode().encode("utf-16") if not dice.randrange(40) and is_text(data) else data


def is_text(data: bytes) -> bool:
    """Tell whether bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def read_twice(read: Callable[[], DatasetManifest]) -> bool:
    """Return whether it was read; both times the same, and fit to be written down."""
    try:
        first = read()
    except FstoreError:
        return False
    assert read() == first
    for sample in first.views[0].samples:
        f"{sample.uri} {' '.join(sample.labels)}".encode()
    return True


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder of two small images."""
    for i in (1, 2):
        Image.new("RGB", (4, 4), (i, i, i)).save(tmp_path / f"{i}.png")
    return tmp_path


def test_mutated_texts(images: Path) -> None:
    """6,000 mutated tables and label files: read, or refused; never another error."""
    dice = random.Random(11)  # noqa: S311 - no secret
    read = 0
    for i in range(6000):
        table = bool(i % 3)
        path = images / ("t.csv" if table else "l.txt")
        path.write_bytes(mutated(dice.choice(TABLES if table else LABELS), dice))
        encoding = dice.choice(["", "", "", "latin-1", "utf-16-le"])
        if table:
            reader = partial(csv_file, annotations=str(path), encoding=encoding)
        else:
            reader = partial(imagefolder, label_file=str(path), encoding=encoding)
        read += read_twice(partial(reader, "c", images))
    assert 300 < read < 5000  # the mutations are neither harmless nor all fatal


def make_layout(root: Path, picture: bytes, dice: random.Random) -> None:
    """Write a few folders with files, links and pipes in them."""
    folders = [root]
    for _ in range(dice.randint(1, 5)):
        folder = dice.choice(folders) / dice.choice(NAMES)
        folder.mkdir(exist_ok=True)
        folders.append(folder)
    for folder in folders[dice.randrange(2) :]:
        for name in dice.sample(FILES, dice.randint(1, 2)):
            if not (folder / name).exists():
                (folder / name).write_bytes(picture)
    if not dice.randrange(3):
        link = dice.choice(folders) / "link"
        link.symlink_to(dice.choice([*folders, Path("link"), Path("/dev/zero")]))
    if not dice.randrange(8):
        os.mkfifo(dice.choice(folders) / "pipe.png")


def test_random_layouts(images: Path) -> None:
    """2,000 random layouts of folders: read, or refused; never another error, never a hang."""
    dice = random.Random(12)  # noqa: S311 - no secret
    picture = (images / "1.png").read_bytes()
    read = 0
    for _ in range(2000):
        root = images / "r"
        root.mkdir()
        make_layout(root, picture, dice)
        read += read_twice(partial(imagefolder, "c", root))
        shutil.rmtree(root)
    assert 200 < read < 1900
