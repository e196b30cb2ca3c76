"""At the edges nothing from below comes through: every command, with bad files, names, numbers."""

import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import typer
from typer.testing import CliRunner

from fstore.cli import app
from fstore.cli.commands import WHOLE
from fstore.cli.errors import error_text
from fstore.errors import StorageError
from fstore.store import Store

Click: TypeAlias = Any
"""A command or parameter of typer's own copy of click, which is not public."""

LEFT_OUT = {"demo"}
"""Commands that do minutes of work whatever they are given."""

NAMES = ("nope", "n" * 300, "", " ", "../x", "a\nb", "a'b\"c", "=1+1", "\u00fc\U0001f600", "%", "-")
NUMBERS = ("10" * 30, "-1", "0", "nan", "inf", "-inf", "x", "", "1e400", "9223372036854775807")


def leaves(
    command: Click,
    path: tuple[str, ...] = (),
) -> Iterator[tuple[tuple[str, ...], Click]]:
    """Yield the words and the command object of every command there is."""
    if hasattr(command, "commands"):
        context = typer.Context(command)
        for name in command.list_commands(context):
            yield from leaves(command.get_command(context, name), (*path, name))
    else:
        yield path, command


COMMANDS = {
    " ".join(path): command
    for path, command in leaves(typer.main.get_command(app))
    if path[0] not in LEFT_OUT
}


def test_the_walk_sees_commands_of_all_kinds() -> None:
    """The walk below covers groups, generated commands and plain ones."""
    assert {"sql", "ckpt import", "analyze classification", "dataset add"} <= set(COMMANDS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with an empty store and bad files of each kind."""
    folder = tmp_path_factory.mktemp("edges")
    Store.create(folder / "store")
    (folder / "empty").touch()
    (folder / "junk").write_bytes(bytes(range(256)) * 40)
    (folder / "latin1.toml").write_bytes("name = 'Gr\u00f6\u00dfe'".encode("latin-1"))
    (folder / "wrong.json").write_text('{"a": [1, {"b": null}]}')
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "wrong.toml").write_text("name = 3\nmake = []\n")
    (folder / "wrong.csv").write_text('a,b\n1,"2\n3\n')
    (folder / "folder").mkdir()
    (folder / "bad.npy").write_bytes(b"\x93NUMPY\x01\x00")
    (folder / "bad.safetensors").write_bytes(b"\xff" * 64)
    (folder / "bad.pth").write_bytes(b"PK\x03\x04" + b"\0" * 60)
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 20)
    (folder / "circle").symlink_to("circle")
    os.mkfifo(folder / "fifo")
    return folder


FILES = (
    *("missing", "empty", "junk", "latin1.toml", "wrong.json", "deep.json", "wrong.toml"),
    *("wrong.csv", "folder", "bad.npy", "bad.safetensors", "bad.pth", "bad.png", "circle", "fifo"),
    *("empty/below", "f" * 300),
)


def kind_of(param: Click) -> str:
    """Tell whether a parameter takes a file, a number, a name, or nothing."""
    if getattr(param, "is_flag", False):
        return "flag"
    text = str(param.type_descriptor.annotation)
    if "Path" in text:
        return "file"
    return "number" if "int" in text or "float" in text else "name"


def filled(param: Click, value: str) -> list[str]:
    """Return the words that give a parameter a value."""
    return [value] if param.param_type_name == "argument" else [f"{param.opts[0]}={value}"]


def cases(
    command: Click,
    place: Path,
) -> Iterator[list[str]]:
    """Yield words for a command: each parameter with each bad value, the required ones filled."""
    good = {"file": str(place / "missing"), "number": "1", "name": "nope"}
    params = [p for p in command.params if kind_of(p) != "flag" and p.name != "help"]
    for param in params:
        others = [p for p in params if p.required and p is not param]
        rest = [word for p in others for word in filled(p, good[kind_of(p)])]
        bad = {"file": [str(place / f) for f in FILES], "number": NUMBERS, "name": NAMES}
        for value in bad[kind_of(param)]:
            words = filled(param, value)
            arguments = [*words, *rest] if param.param_type_name == "argument" else [*rest, *words]
            yield ["--", *arguments] if value == "-x" else arguments


def walk(name: str, place: Path, every: int) -> None:
    """Run a command with bad values, one in ``every`` of them."""
    for words in itertools.islice(cases(COMMANDS[name], place), len(name) % every, None, every):
        done = CliRunner().invoke(app, ["--store", str(place / "store"), *name.split(), *words])
        told = f"fstore {name} {words!r}: {done.stdout[-200:]} {done.stderr[-600:]}"
        assert done.exception is None or isinstance(done.exception, SystemExit), told
        assert done.exit_code in {0, 1, 2}, told
        assert "Traceback" not in done.output, told
        assert "this is a fault of fstore" not in done.output, told


def let_go(_server: object, sockets: list[socket.socket]) -> None:
    """Serve nobody: ``fstore explore`` would listen until somebody stops it."""
    for taken in sockets:
        taken.close()


@pytest.fixture(autouse=True)
def limited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Work in a folder of one's own, and end what hangs after a minute a test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("uvicorn.Server.run", let_go)

    def hang(_number: int, _frame: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_refuses_what_is_bad(name: str, place: Path) -> None:
    """A bad file, name or number ends a command with status 0, 1 or 2 and no traceback."""
    walk(name, place, every=7)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_refuses_all_that_is_bad(name: str, place: Path) -> None:
    """The same, with all values for all parameters."""
    walk(name, place, every=1)


# What all commands share


def fstore(place: Path, *words: str) -> Any:  # noqa: ANN401 - typer's Result
    """Run a command on the store of the folder."""
    return CliRunner().invoke(app, ["--store", str(place / "store"), *words])


@pytest.mark.parametrize(
    "words",
    [
        ["status", "--store", "{store}", "--json"],
        ["status", "--json", "--store={store}"],
        ["dataset", "list", "--json", "--store", "{store}", "--quiet"],
        ["dataset", "--store", "{store}", "list", "--json"],
    ],
)
def test_the_store_may_be_named_after_the_command(place: Path, words: list[str]) -> None:
    """``--store`` and ``--quiet`` are taken before a command, after it, and after its group."""
    done = CliRunner().invoke(app, [w.format(store=place / "store") for w in words])
    assert (done.exit_code, done.stdout) == (0, "[]\n"), done.stderr


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["analyze", "classification", "--layer", "a", "--layer", "b"], "--layer"),
        (["export", "x.npy", "--seed", "1", "--seed=2"], "--seed"),
        (["sql", "SELECT 1", "--limit", "1", "--limit", "1"], "--limit"),
        (["schedule", "--catch-up", "--no-catch-up"], "--catch-up"),
        (["--store", "a", "status"], "--store"),  # beside the one that the test gives
    ],
)
def test_an_option_of_one_value_is_given_once(place: Path, words: list[str], option: str) -> None:
    """A second value for an option that takes one is an error, not the one that counts."""
    done = fstore(place, *words)
    assert done.exit_code == 2
    assert f"{option} is given 2 times; it takes one value" in done.stderr


@pytest.mark.parametrize(
    ("name", "words", "param", "values"),
    [
        ("extract", "--layer=x --ckpt=a,b --ckpt=c", "ckpt", ["a", "b", "c"]),
        ("extract", "--layer=a,b --ckpt=c", "layer", ["a,b"]),  # the network reads it
        ("analyze cka", "--ckpt=a --dataset=d --layer b[0,1].c,e", "layer", ["b[0,1].c", "e"]),
        ("analyze top-images", "--ckpt=a --dataset=d --layer=l --channel=3,4", "channel", [3, 4]),
        ("schedule", "--report table1,table2", "report", ["table1", "table2"]),
        ("report refresh", "table1,table2 table3", "names", ["table1", "table2", "table3"]),
        ("detect train", "--layer=x --ckpt=a --dataset=d,e --class=f,g", "dataset", ["d", "e"]),
        ("detect train", "--layer=x --ckpt=a --dataset=d,e --class=f,g", "class_", ["f,g"]),
        ("ckpt init", "--name=n --network=n --preprocess=a=1,b=2", "preprocess", ["a=1,b=2"]),
        ("export", "x.npz --layer a,b", "layer", "a,b"),  # one value
    ],
)
def test_values_of_a_list_are_repeated_or_joined(
    name: str, words: str, param: str, values: object
) -> None:
    """``--ckpt a,b`` is ``--ckpt a --ckpt b``, wherever an option or argument is a list."""
    context = COMMANDS[name].make_context(f"fstore {name}", words.split())
    assert context.params[param] == values


def test_lists_that_are_not_split_are_there() -> None:
    """The lists that are not split at commas are options that there are."""
    for name, option in WHOLE:
        options = {opt: p for p in COMMANDS[name].params for opt in p.opts}
        assert options[option].multiple


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["analyze", "cka", "--layer", "a,"], "--layer 'a,' has a comma with no value beside it"),
        (["dataset", "remove", "x"], "use: fstore drop --dataset NAME"),
        (["dataset", "rm", "x"], "use: fstore drop --dataset NAME"),
        (["ckpt", "delete", "x"], "use: fstore drop --ckpt NAME --checkpoint"),
        (["export", "x", "--what", "mean"], "'mean' is not one of 'map', 'sp_max'"),
        (["sql", "SELECT '\udcff'"], "no UTF-8"),
        (["status", "--store", "\udcfe"], "no UTF-8"),
        (["study", "set", "/dev/zero"], "is a pipe or a device"),
        (["gc", "--older-than", "inf"], "not a finite number"),
        (["sql", "SELECT 1", "--limit", str(2**63)], "too large"),
    ],
)
def test_usage_that_is_explained(place: Path, words: list[str], told: str) -> None:
    """What is typed wrong is answered with what there is."""
    done = fstore(place, *words)
    assert done.exit_code == 2
    assert told in done.stderr
    assert "Value error" not in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["study", "set", "none.toml"], "no file none.toml (looked for in "),
        (["study", "set", "{place}/latin1.toml"], "byte 10 is no UTF-8"),
        (["sql", "--file", "{place}/folder"], "is a folder, not a file"),
        (
            ["sql", "SELECT ckpt FROM activations WHERE ckpt = imagenet"],
            "single quotes, 'imagenet'",
        ),
        (["sql", "SELECT '101'::BIT"], "cast it"),
    ],
)
def test_errors_that_are_explained(place: Path, words: list[str], told: str) -> None:
    """An error names the file, and where it was looked for, or what to write instead."""
    done = fstore(place, *(w.format(place=place) for w in words))
    assert done.exit_code == 1
    assert told in done.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT layer FROM activations WHERE layer = 'fire99'",
        "SELECT count(*) FROM activations WHERE ckpt = 'a' AND \"layer\" IN ('x', 'fire99')",
    ],
)
def test_a_name_that_is_not_stored(place: Path, statement: str) -> None:
    """A result without rows, or a count of none, has a note with the names there are."""
    done = fstore(place, "sql", statement)
    assert done.exit_code == 0
    assert "no activations of layer 'fire99'; there are: none" in done.stderr
    assert fstore(place, "--quiet", "sql", statement).stderr == ""


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("empty", "is a file, not the folder of a store"),
        ("folder", "no store at"),
        ("missing", "no store at"),
        ("broken", "fstore.json is damaged"),
        ("fifo", "is a file, not the folder of a store"),
    ],
)
def test_a_store_that_is_none(place: Path, store: str, told: str) -> None:
    """Whatever is given as a store and is none, each command says so."""
    (place / "broken").mkdir(exist_ok=True)
    (place / "broken" / "fstore.json").write_text("[" * 100_000)
    for words in (["status"], ["sql", "SELECT 1"], ["runs"], ["verify"]):
        done = CliRunner().invoke(app, ["--store", str(place / store), *words])
        assert (done.exit_code, done.stdout) == (1, "")
        assert told in done.stderr


class PanicException(BaseException):
    """As a Rust library raises it."""


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PanicException("index out of\nbounds"), "unexpected PanicException: index out of bounds"),
        (KeyError("x"), "unexpected KeyError: 'x'; this is a fault of fstore"),
        (OSError(28, "No space", "a.npy"), "a.npy: No space left on device: the disk is full"),
        (PermissionError(13, "x", "/etc/x"), "/etc/x: permission denied"),
        (MemoryError(), "out of memory; use a smaller batch"),
        (RecursionError(), "nested too deeply"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "bytes that are no utf-8, at byte 0"),
    ],
)
def test_what_is_not_foreseen(
    place: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, text: str
) -> None:
    """Whatever is raised below a command is one line and status 1; a traceback if asked for."""

    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("fstore.store.status.status", broken)
    done = fstore(place, "status")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {text}")
    assert done.stderr.count("\n") == 1
    assert error_text(error).startswith(text)


def test_a_traceback_if_asked_for(place: Path) -> None:
    """``FSTORE_TRACEBACK=1`` shows where an error that nobody foresaw came from."""
    code = (
        "import fstore.store.status as s, sys; s.status = lambda _: {}['x'];"
        "sys.argv = ['fstore', '--store', sys.argv[1], 'status'];"
        "from fstore.cli import main; main()"
    )
    command = [sys.executable, "-c", code, str(place / "store")]
    for value, shown in (("1", True), ("0", False)):
        environment = {**os.environ, "FSTORE_TRACEBACK": value}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) is shown
        assert "KeyError" in done.stderr


def test_a_store_that_cannot_be_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a read-only store what reads works, and what writes says why it does not."""
    study = place / "study.toml"
    study.write_text('name = "a"\n[roles]\n')
    can = os.access
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK and can(path, mode))
    assert fstore(place, "status").exit_code == 0
    assert fstore(place, "sql", "SELECT 1").exit_code == 0
    done = fstore(place, "drop", "--dataset", "nope", "--yes")
    assert done.exit_code == 1
    assert fstore(place, "runs").exit_code == 0
    with pytest.raises(StorageError, match=r"write table 'studies': .*permission denied"):
        Store.open(place / "store").append("studies", [{"name": "a", "toml": "", "set_at": None}])
