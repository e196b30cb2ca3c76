"""Networks in files of the user's own: found without PYTHONPATH, kept apart, hashed."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fstore import workflows
from fstore.errors import DataError, IdentityError, UnknownNameError
from fstore.extractor.networks import Network, build_network
from fstore.extractor.taps import layer_specs
from fstore.store import Store

NETS = """
import dataclasses
from torch import nn
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess
import parts

@dataclasses.dataclass
class Settings:
    width: int = parts.WIDTH

def small(classes=3):
    from later import ACT
    model = nn.Sequential(nn.Conv2d(3, Settings().width, 3), getattr(nn, ACT)(),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(parts.WIDTH, classes))
    return Network("x", model, Preprocess(size=8, resize=8), {"conv": "1"})
"""


def write(folder: Path, *, width: int = 4, act: str = "ReLU") -> Path:
    """Write a network in a file and two that it imports; return the first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "parts.py").write_text(f"WIDTH = {width}\n")
    (folder / "later.py").write_text(f"ACT = {act!r}\n")
    (folder / "nets.py").write_text(NETS)
    return folder / "nets.py"


def width(network: Network) -> int:
    """Return the channels of the first convolution."""
    return int(network.model.state_dict()["0.weight"].shape[0])


def definition(path: Path) -> str:
    """Return the definition of the layer."""
    return layer_specs(build_network(f"{path}:small"))[0].definition


def test_a_file_is_found_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative, absolute and ~ paths are one network, named by its whole path."""
    path = write(tmp_path / "my nets")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "my nets")
    texts = ["nets.py", "./nets.py", "../my nets/nets.py", "~/my nets/nets.py", str(path)]
    assert {build_network(f"{text}:small").name for text in texts} == {f"{path}:small"}
    network = build_network(f"{path}:small", classes=7)
    assert network.model(torch.zeros(1, 3, 8, 8)).shape == (1, 7)
    assert not (path.parent / "__pycache__").exists()


def test_modules_of_two_folders_are_kept_apart(tmp_path: Path) -> None:
    """Files of one name, and files of one name that they import, are those of each folder."""
    a, b = write(tmp_path / "a"), write(tmp_path / "b", width=6, act="Tanh")
    for _ in range(2):  # the second time from what is loaded
        assert width(build_network(f"{a}:small")) == 4
        assert width(build_network(f"{b}:small")) == 6
        assert type(build_network(f"{b}:small").model[1]) is torch.nn.Tanh  # type: ignore[index]
    assert not {"nets", "parts", "later"} & set(sys.modules)
    assert str(tmp_path / "a") not in sys.path


def test_another_module_of_the_name_stays_what_it_is(tmp_path: Path) -> None:
    """A module of the program's own that is called like a sibling is there again afterwards."""
    path = write(tmp_path / "nets")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "parts.py").write_text("WIDTH = 99\n")
    code = (
        "import parts\nfrom fstore.extractor.networks import build_network\n"
        f"network = build_network({f'{path}:small'!r})\n"
        "import sys; assert sys.modules['parts'] is parts and parts.WIDTH == 99\n"
        "print(network.model[0].out_channels)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "elsewhere")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "4\n"


@pytest.mark.parametrize("changed", ["nets.py", "parts.py", "later.py"])
def test_an_edited_file_is_another_definition(changed: str, tmp_path: Path) -> None:
    """A comment in the file, or in one that it imports even inside a function, changes it."""
    path = write(tmp_path)
    before = definition(path)
    assert definition(path) == before
    file = tmp_path / changed
    file.write_text(file.read_text() + "# edited\n")
    assert definition(path) != before
    file.write_text(file.read_text().removesuffix("# edited\n"))
    assert definition(path) == before


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    """A file that imports none beside it has its own sha256; what else lies there has no part."""
    path = tmp_path / "nets.py"
    path.write_text(NETS.replace("import parts", "").replace("parts.WIDTH", "4"))
    path.write_text(path.read_text().replace("from later import ACT", "ACT = 'ReLU'"))
    (tmp_path / "unrelated.py").write_text("1/0\n")
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert build_network(f"{path}:small").code == expected


def test_a_changed_width_is_read_anew(tmp_path: Path) -> None:
    """An edit of a file that was loaded already is seen, were it made in the same second."""
    path = write(tmp_path)
    assert width(build_network(f"{path}:small")) == 4
    write(tmp_path, width=5)
    assert width(build_network(f"{path}:small")) == 5


def test_packages_and_relative_imports_beside_a_file_count(tmp_path: Path) -> None:
    """A package beside the file is imported, and its modules are part of the definition."""
    path = write(tmp_path)
    (tmp_path / "parts.py").unlink()
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("from .sizes import WIDTH\n")
    (tmp_path / "parts" / "sizes.py").write_text("WIDTH = 8\n")
    before = definition(path)
    assert width(build_network(f"{path}:small")) == 8
    (tmp_path / "parts" / "sizes.py").write_text("WIDTH = 8  # the same\n")
    assert definition(path) != before


@pytest.mark.parametrize(
    ("text", "function", "error", "message"),
    [
        (None, "f", UnknownNameError, "no file .*nets.py for network .*put it back"),
        ("def g(): pass", "f", UnknownNameError, "no function 'f' in .*nets.py; it has: g"),
        ("x = (", "f", DataError, "nets.py, line 1: SyntaxError"),
        ("\n1/0", "f", DataError, "nets.py, line 2, in <module>: ZeroDivisionError"),
        (
            "import no_such_thing",
            "f",
            DataError,
            "nets.py, line 1.*No module named 'no_such_thing'",
        ),
        ("def f(): raise SystemExit(3)", "f", DataError, "nets.py, line 1, in f: SystemExit: 3"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    text: str | None, function: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    """A file that is not there, fails, or lacks the function is told with its line."""
    path = tmp_path / "nets.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=message):
        build_network(f"{path}:{function}")


def test_a_module_of_the_current_folder_needs_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``module:function`` is looked for in the current folder, as ``python -m`` does."""
    text = NETS.replace("import parts", "").replace("parts.WIDTH", "4")
    (tmp_path / "nets_here.py").write_text(text.replace("from later import ACT", "ACT = 'ReLU'"))
    monkeypatch.chdir(tmp_path)
    network = build_network("nets_here:small")
    assert (network.name, network.code) == ("nets_here:small", "")
    monkeypatch.delitem(sys.modules, "nets_here")
    assert str(tmp_path) not in sys.path


def test_a_store_finds_the_file_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint loads elsewhere; after an edit its layers are refused, with two ways out."""
    path = write(tmp_path / "nets")
    store = Store.create(tmp_path / "store")
    monkeypatch.chdir(tmp_path / "nets")
    workflows.init_checkpoint(store, network="nets.py:small", name="random")
    monkeypatch.chdir(tmp_path)
    record = store.find_checkpoint("nets/nets.py:small/random")
    assert record == store.find_checkpoint("random", "./nets/nets.py:small")
    assert record.network == f"{path}:small"
    store.add_layers(record.network, layer_specs(workflows.load_network(store, record)))
    path.write_text(NETS + "\n")
    with pytest.raises(IdentityError, match=r"nets_2\.py.*fstore drop --network .*nets\.py:small"):
        store.add_layers(record.network, layer_specs(workflows.load_network(store, record)))
    path.rename(tmp_path / "moved.py")
    with pytest.raises(UnknownNameError, match="if it was moved, put it back"):
        workflows.load_network(store, record)
