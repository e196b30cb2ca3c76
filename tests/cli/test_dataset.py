"""``fstore dataset``: adding, listing, counting, refusing."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import fstore.cli.dataset  # adds the commands
from fstore.cli.app import app
from fstore.errors import DataError
from fstore.extractor.datasets import FORMATS, format_options
from fstore.store import Store
from fstore.workflows import add_dataset

Run = Callable[..., Result]

assert fstore.cli.dataset.__doc__


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty store."""
    return Store.create(tmp_path / "store")


@pytest.fixture
def run(store: Store) -> Run:
    """Return a function that runs `fstore dataset ...` on the store."""

    def invoke(*words: str | Path) -> Result:
        where = ["--store", str(store.path), "dataset"]
        return CliRunner().invoke(app, where + [str(w) for w in words])

    return invoke


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two classes, two images each."""
    for i, uri in enumerate(("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")):
        path = tmp_path / "pets" / uri
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (i, i, i)).save(path)
    return tmp_path / "pets"


def test_add_list_and_show(run: Run, folder: Path) -> None:
    """A folder is added once; listings print a row a data set, a row a class, data on stdout."""
    first = run("add", "pets", "--format", "imagefolder", "--root", folder, "--seeds", "0,3")
    assert (first.exit_code, first.stdout) == (0, "")
    assert first.stderr == "pets: registered (4 image)\n"
    again = run("add", "pets", "--format", "imagefolder", "--root", folder, "--seeds", "0,3")
    assert again.stderr == "pets: registered already, unchanged (4 image)\n"
    assert json.loads(run("list", "--json").stdout) == [
        {
            "name": "pets",
            "format": "imagefolder",
            "task": "single",
            "classes": 2,
            "views": ["image"],
            "root": str(folder),
        }
    ]
    assert run("show", "pets", "--split", "random:3", "--csv").stdout == (
        "view,class,samples,difficult,split,seed,train,val,test\n"
        "image,,4,0,random,3,2,0,2\n"
        "image,cat,2,0,random,3,1,0,1\n"
        "image,dog,2,0,random,3,1,0,1\n"
    )


def test_what_was_left_out_is_said(run: Run, folder: Path) -> None:
    """Files of other endings are counted on stderr, once; unknown columns are named."""
    for name in ("cat/a.xcf", "dog/b.xcf", "dog/.hidden.png"):
        (folder / name).touch()
    result = run("add", "pets", "--format", "imagefolder", "--root", folder)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "pets: left out: 2 .xcf, 1 hidden\npets: registered (4 image)\n"
    (folder / "t.csv").write_text("path,photographer\ncat/1.png,Ann\n")
    result = run("add", "table", "--format", "csv", "--root", folder)
    assert "table: " in result.stderr
    assert "left out, for fstore does not know them: 'photographer'" in result.stderr


def test_files_are_named_from_here_or_from_the_root(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COCO's files of parts and a table lie where one stands, or in the root; commas are fine."""
    monkeypatch.chdir(folder.parent)

    def instances(name: str) -> str:
        image = {"id": int(name), "file_name": f"cat/{name}.png", "width": 9, "height": 9}
        box = {"id": 1, "image_id": int(name), "category_id": 1, "bbox": [1, 1, 4, 4], "iscrowd": 0}
        kinds = [{"id": 1, "name": "cat"}]
        return json.dumps({"images": [image], "annotations": [box], "categories": kinds})

    Path("here.json").write_text(instances("1"))
    (folder / "there.json").write_text(instances("2"))
    words = ("--root", "pets", "--annotations", "train=here.json,val=there.json")
    result = run("add", "coco", "--format", "coco", *words)
    assert result.exit_code == 0, result.stderr
    Path("there.json").write_text(instances("1"))
    result = run("add", "other", "--format", "coco", *words)
    assert result.exit_code == 1
    assert "give an absolute path" in result.stderr
    Path("latin.csv").write_bytes("path,label\ncat/1.png,caf\u00e9\n".encode("latin-1"))
    table = ("--format", "csv", "--root", "pets", "--annotations", "latin.csv")
    assert "line 2, byte 24 is no UTF-8" in run("add", "table", *table).stderr
    assert run("add", "table", *table, "--encoding", "latin-1").exit_code == 0
    (folder.parent / "a, b").mkdir()
    monkeypatch.chdir(folder.parent / "a, b")
    Path("here.json").write_text(instances("1"))
    comma = ("--format", "coco", "--root", folder, "--annotations", "here.json")
    assert run("add", "comma", *comma).exit_code == 0


def test_a_later_seed_adds_a_split(run: Run, folder: Path) -> None:
    """Adding the same folder with another seed keeps what is there and adds its split."""
    run("add", "pets", "--format", "imagefolder", "--root", folder)
    assert json.loads(run("show", "pets", "--json").stdout)[0]["train"] is None
    run("add", "pets", "--format", "imagefolder", "--root", folder, "--seeds", "1")
    assert json.loads(run("show", "pets", "--json").stdout)[0]["train"] == 2


def test_a_changed_folder_is_refused(run: Run, folder: Path) -> None:
    """The same name with another file content exits with 1 and names the sample."""
    run("add", "pets", "--format", "imagefolder", "--root", folder)
    Image.new("RGB", (9, 9), (200, 0, 0)).save(folder / "dog" / "1.png")
    result = run("add", "pets", "--format", "imagefolder", "--root", folder)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "dog/1.png" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--format", "imagefolder"), 1, "reads a folder; name it with --root"),
        (("--format", "nothing"), 1, "no data-set format 'nothing'; there are: coco, csv, digit"),
        (("--format", "digits", "--year", "2007"), 1, "'digits' has no option --year; it has: no"),
        (("--format", "voc", "--label-file", "x"), 1, "no option --label-file; it has: --year"),
        (("--format", "digits", "--seeds", "a"), 2, "seeds 'a' are not whole numbers"),
        (("--format", "digits", "--fractions", "1"), 2, "fractions '1' are not three"),
        ((), 2, "--format"),
    ],
)
def test_wrong_use(run: Run, words: tuple[str, ...], code: int, message: str) -> None:
    """What is wrong is said on stderr: 1 for named errors, 2 for wrong usage."""
    result = run("add", "x", *words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr


def test_options_are_those_of_the_formats(run: Run) -> None:
    """Help names every format, and before an option's text the formats that have the option."""
    shown = " ".join(run("add", "--help").stdout.partition("Options:")[2].split())
    readers: dict[str, list[str]] = {}
    for entry in FORMATS:
        assert entry.name in shown.partition("--root")[0]
        for option in format_options(entry.name):
            readers.setdefault("--" + option.replace("_", "-"), []).append(entry.name)
    for flag, formats in readers.items():
        text = shown.partition(f" {flag} ")[2].partition(" --")[0]
        assert all(f"{name}: " in text or f"{name}, " in text for name in formats), flag
    assert "digit-scenes: Scenes, at least 60; with large at least 200. Default: 300." in shown


def test_an_option_is_of_one_kind() -> None:
    """Formats that share the name of an option read the same kind of value from it."""
    kinds: dict[str, object] = {}
    for entry in FORMATS:
        for option, parameter in format_options(entry.name).items():
            assert parameter.default is not inspect.Parameter.empty
            assert kinds.setdefault(option, parameter.annotation) == parameter.annotation


def test_a_new_format_is_one_function(store: Store) -> None:
    """A registered reader, and nothing beside it, adds its options, their help and their check."""
    code = """
import sys
from dataclasses import replace
from fstore.cli.app import app
from fstore.extractor.datasets import FORMATS, dataset_format

@dataset_format("dots", generated=True)
def dots(
    name, root, *, seeds=(), fractions=None, on_progress=None,
    colour: str = "red", wide: bool = False,
):
    '''Draw dots.

    Parameters
    ----------
    name, root
    colour : str
        Of the dots.
    wide : bool
        Twice as wide.
    '''
    print(name, colour, wide)
    return replace(FORMATS["digits"].function(name, root), format="dots")

import fstore.cli.dataset
app(sys.argv[1:])
"""

    def program(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, "--store", str(store.path), "dataset", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    shown = " ".join(program("add", "--help").stdout.split())
    assert "--colour COLOUR dots: Of the dots. Default: red. --wide dots: Twice as wide." in shown
    added = program("add", "d", "--format", "dots", "--wide")
    assert (added.returncode, added.stdout) == (0, "d red True\n"), added.stderr
    refused = program("add", "e", "--format", "dots", "--year", "2007")
    assert "format 'dots' has no option --year; it has: --colour, --wide" in refused.stderr


def test_generated_data_sets_live_in_the_store(run: Run, store: Store) -> None:
    """Without --root, scenes are written below the store, and the format's options reach it."""
    result = run("add", "s", "--format", "digit-scenes", "--images", "60", "--seed", "2")
    assert result.exit_code == 0, result.stderr
    assert (store.path / "images" / "s" / "VOC2007" / "JPEGImages" / "000060.jpg").is_file()
    rows = json.loads(run("show", "s", "--json").stdout)
    total = {row["view"]: row for row in rows if row["class"] is None}
    assert (total["image"]["train"], total["image"]["test"]) == (30, 24)
    gt = [row for row in rows if row["view"] == "gt" and row["class"] is not None]
    assert sum(row["samples"] + row["difficult"] for row in gt) == total["gt"]["samples"]
    assert sum(row["difficult"] for row in gt) == total["gt"]["difficult"] > 0


def test_unknown_names_are_listed(run: Run, folder: Path) -> None:
    """An unknown data set or split exits with 1 and says what there is."""
    run("add", "pets", "--format", "imagefolder", "--root", folder, "--seeds", "0")
    assert "pets" in run("show", "other").stderr
    result = run("show", "pets", "--split", "official")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "data set 'pets' has no split 'official'; it has: random:0" in result.stderr


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "a b"])
def test_names_become_folders(store: Store, name: str) -> None:
    """A name that could not be a folder's is refused before anything is read."""
    with pytest.raises(DataError, match="cannot name a data set"):
        add_dataset(store, name, "digits")


def test_the_commands_import_nothing_heavy() -> None:
    """Importing the commands leaves out what is slow to import."""
    heavy = "torch pyarrow duckdb polars sklearn deltalake PIL numpy altair"
    code = (
        f"import fstore.cli.dataset, sys; print([m for m in '{heavy}'.split() if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
