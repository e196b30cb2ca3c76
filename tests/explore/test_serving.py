"""How the explorer starts and ends."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from _build import build
from fstore.errors import DataError
from fstore.explore.serving import serve
from fstore.store import Store


def refuse(address: str) -> None:
    """Fail: nothing was to be served."""
    raise AssertionError(address)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 300, "fe80::1%nope"])
def test_a_host_that_has_no_address_is_named(empty: Store, host: str) -> None:
    """A name that nobody knows is not taken for a port that is taken."""
    with pytest.raises(DataError, match="no name or address that this machine knows"):
        serve(empty, host=host, port=None, on_ready=refuse)


def test_an_address_of_another_machine_is_named(empty: Store) -> None:
    """So is an address of another machine: no other port would help."""
    with pytest.raises(
        DataError, match=r"'203\.0\.113\.5', which is not an address of this machine"
    ):
        serve(empty, host="203.0.113.5", port=None, on_ready=refuse)


def test_a_port_that_is_taken_is_named(empty: Store) -> None:
    """A port that another program has is told, with the option that helps."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(DataError, match=f"port {port}: .*; choose another with --port"):
            serve(empty, host=None, port=port, on_ready=refuse)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_it_at_once(tmp_path: Path, name: str) -> None:
    """A signal ends the server within a second, also while a file is made; none is left."""
    store, files = build(tmp_path / "s").store, tmp_path / "tmp"
    files.mkdir()
    command = [sys.executable, "-m", "fstore", "--store", str(store.path), "explore", "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(files)},
    )  # fmt: skip
    assert process.stdout is not None
    address = process.stdout.readline().strip()

    def ask() -> None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(address + "sql.csv?q=FROM+range(1000000)+a,range(1000)+b", timeout=60)

    asking = threading.Thread(target=ask)
    asking.start()
    deadline = time.monotonic() + 30
    while not list(files.glob("fstore-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(files.glob("fstore-*"))
    number = signal.Signals[name]
    process.send_signal(number)
    start = time.monotonic()
    _, told = process.communicate(timeout=30)
    assert time.monotonic() - start < 3  # of a machine that does other things, too
    assert process.returncode == 128 + number
    assert "Traceback" not in told
    assert list(files.iterdir()) == []
    asking.join()


def test_a_port_that_is_taken_is_said(empty: Store) -> None:
    """A port that another program has is named, with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        with pytest.raises(DataError, match=f"port {number}: .*; choose another with --port"):
            serve(empty, host=None, port=number, on_ready=refuse)


@pytest.mark.parametrize(("host", "has_token"), [(None, False), ("127.0.0.2", True)])
def test_the_address_is_told_when_it_can_be_asked(
    empty: Store, monkeypatch: pytest.MonkeyPatch, host: str | None, *, has_token: bool
) -> None:
    """The address that is told has the port, and a token unless only this machine can ask."""
    import pyarrow as pa
    import uvicorn

    pool = pa.default_memory_pool()
    told: list[str] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda _self, sockets: sockets[0].close())
    try:
        serve(empty, host=host, port=0, on_ready=told.append)
    finally:
        pa.set_memory_pool(pool)
    (address,) = told
    assert address.startswith(f"http://{host or '127.0.0.1'}:")
    assert ("?token=" in address) == has_token


def test_the_command_prints_the_address(empty: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """``fstore explore --open`` prints the address and opens it, and hands its options on."""
    import webbrowser

    from typer.testing import CliRunner

    from fstore.cli import app
    from fstore.explore import serving

    asked: dict[str, object] = {}
    opened: list[str] = []

    def served(_store: Store, *, on_ready: Callable[[str], object], **given: object) -> None:
        asked.update(given)
        on_ready("http://127.0.0.1:8765/")

    monkeypatch.setattr(serving, "serve", served)
    monkeypatch.setattr(webbrowser, "open", opened.append)
    command = ["--store", str(empty.path), "explore", "--open", "--port", "7"]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, done.stdout) == (0, "http://127.0.0.1:8765/\n")
    assert asked == {"host": None, "port": 7}
    assert opened == ["http://127.0.0.1:8765/"]
