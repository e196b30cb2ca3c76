"""Hooks: commands and web addresses that are told of a run."""

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fstore.errors import DataError
from fstore.queries.schedule import hooks as module
from fstore.queries.schedule.hooks import Hooks, call_hooks, parse_hooks

SUMMARY: dict[str, Any] = {
    "store": "/data/my store",
    "study": "small",
    "exit": "ok",
    "events": ["change"],
    "changed": {"table6": 2, "table7": 1},
    "failed": {},
}
FAILED = {**SUMMARY, "exit": "failed", "events": ["change", "failure"]}

SPY = """
import json, os, sys
keys = ("FSTORE_STORE", "FSTORE_STUDY", "FSTORE_REPORTS_CHANGED", "FSTORE_EXIT_STATUS")
seen = {"stdin": json.load(sys.stdin), **{k: os.environ[k] for k in keys}}
open(sys.argv[1], "w").write(json.dumps(seen))
"""


def spy(place: Path) -> tuple[str, ...]:
    """Return a command that writes what it is told to a file."""
    return (sys.executable, "-c", SPY, str(place))


def said(hooks: Hooks, summary: dict[str, Any]) -> list[str]:
    """Call hooks; return what was noted."""
    lines: list[str] = []
    call_hooks(hooks, summary, lines.append)
    return lines


def test_commands_are_told(tmp_path: Path) -> None:
    """The command for a change gets the summary on stdin, and what matters as variables."""
    changed, failed = tmp_path / "changed", tmp_path / "failed"
    hooks = Hooks(on_change=spy(changed), on_failure=spy(failed))
    assert said(hooks, SUMMARY) == []
    assert json.loads(changed.read_text()) == {
        "stdin": SUMMARY,
        "FSTORE_STORE": "/data/my store",
        "FSTORE_STUDY": "small",
        "FSTORE_REPORTS_CHANGED": "table6 table7",
        "FSTORE_EXIT_STATUS": "0",
    }
    assert not failed.exists()
    assert said(hooks, FAILED) == []
    assert json.loads(failed.read_text())["FSTORE_EXIT_STATUS"] == "1"


def test_nothing_happened(tmp_path: Path) -> None:
    """Without a change or failure no hook is called."""
    place = tmp_path / "x"
    hooks = Hooks(on_change=spy(place), on_failure=spy(place), webhook="http://localhost:1/")
    assert said(hooks, {**SUMMARY, "events": [], "changed": {}}) == []
    assert not place.exists()


def test_no_shell_runs_the_command(tmp_path: Path) -> None:
    """What a shell would read as a redirection is a word; nothing is written."""
    place = tmp_path / "x"
    hooks = parse_hooks(on_change=f"echo a > {place}")
    assert hooks.on_change == ("echo", "a", ">", str(place))
    said(hooks, SUMMARY)
    assert not place.exists()


def test_what_a_command_prints_is_no_data(capfd: pytest.CaptureFixture[str]) -> None:
    """The output of a hook goes to stderr; the program's stdout is for data."""
    said(Hooks(on_change=("echo", "hello")), SUMMARY)
    assert capfd.readouterr() == ("", "hello\n")


def test_failing_commands_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that fails, hangs or is gone is noted, and fails nothing."""
    monkeypatch.setattr(module, "COMMAND_SECONDS", 0.2)
    assert said(Hooks(on_change=("false",)), SUMMARY) == ["hook false: it ended with status 1"]
    told = said(Hooks(on_change=("sleep", "60")), SUMMARY)
    assert told == [
        "hook sleep: it timed out after 0.2 s and was killed"
    ]  # its words may hold a key
    assert "No such file" in said(Hooks(on_change=("/none",)), SUMMARY)[0]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"on_change": "echo 'open"}, "--on-change.*quotation"),
        ({"on_failure": "no-such-program x"}, "no program 'no-such-program'"),
        ({"webhook": "file:///etc/passwd"}, "expected http"),
        ({"webhook": "http://"}, "expected http"),
        ({"webhook": "http://user:secret@example.org/x"}, "without spaces, user and password"),
        ({"webhook": "http://example.org/my secret"}, "expected http"),
        ({"webhook": "http://example.org/\nsecret"}, "expected http"),
        ({"webhook": "http://example.org/s\u00e9cret"}, "in ASCII"),
        ({"webhook": "http://[secret/x"}, "expected http"),
        ({"webhook": "http://example.org:99999/secret"}, "expected http"),
    ],
)
def test_mistakes_are_found_at_the_start(given: dict[str, str], why: str) -> None:
    """A hook that could never work is refused before anything runs; no address is quoted."""
    with pytest.raises(DataError, match=why) as caught:
        parse_hooks(**given)
    assert "secret" not in str(caught.value)


def test_addresses_are_kept_as_they_are() -> None:
    """An address with port, path and query is taken."""
    address = "https://[::1]:8443/services/T0/B0?key=a%20b#x"
    assert parse_hooks(webhook=address).webhook == address


class Recorder(BaseHTTPRequestHandler):
    """A web address that keeps what is sent to it; ``status`` is its answer."""

    got: ClassVar[list[tuple[str, str | None, Any]]] = []
    status = 204

    def do_POST(self) -> None:
        """Keep the body and answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, self.headers["Content-Type"], json.loads(body)))
        self.send_response(self.status)
        if self.status == 301:
            self.send_header("Location", "/elsewhere?key=secret")
        self.end_headers()

    def do_GET(self) -> None:
        """Keep that somebody came without a summary."""
        self.got.append((self.path, None, None))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve :class:`Recorder` on a free port; return its address."""
    monkeypatch.setattr(Recorder, "got", [])
    with HTTPServer(("127.0.0.1", 0), Recorder) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}/hook?key=secret"
        served.shutdown()
        thread.join()


def test_webhook(server: str) -> None:
    """The address gets one POST with the summary, also if there was a change and a failure."""
    assert said(Hooks(webhook=server), FAILED) == []
    assert Recorder.got == [("/hook?key=secret", "application/json", FAILED)]


def test_failing_webhooks_are_noted(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that answers with an error, or not at all, is noted without its key."""
    monkeypatch.setattr(Recorder, "status", 500)
    (line,) = said(Hooks(webhook=server), SUMMARY)
    assert line == "webhook at 127.0.0.1: it answered with status 500"
    (line,) = said(Hooks(webhook="http://127.0.0.1:1/?key=secret"), SUMMARY)
    assert line == "webhook at 127.0.0.1: Connection refused"
    (line,) = said(Hooks(webhook="http://127.0.0.1:1/my secret"), SUMMARY)
    assert line == "webhook at 127.0.0.1: InvalidURL"


def test_redirections_are_not_followed(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that sends elsewhere is noted: a GET without the summary would tell nothing."""
    monkeypatch.setattr(Recorder, "status", 301)
    (line,) = said(Hooks(webhook=server), SUMMARY)
    assert line == (
        "webhook at 127.0.0.1: it answered with status 301, a redirection, which is not followed"
    )
    assert [path for path, _, body in Recorder.got if body is None] == []
    assert len(Recorder.got) == 1


def test_an_answer_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that answers a byte at a time is given up after its time in all."""
    monkeypatch.setattr(module, "WEBHOOK_SECONDS", 0.5)
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            with contextlib.suppress(OSError), server.accept()[0] as client:
                while not stop.wait(0.1):
                    client.sendall(b"H")

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        told = said(Hooks(webhook=f"http://127.0.0.1:{server.getsockname()[1]}/?key=1"), SUMMARY)
        took = time.monotonic() - began
        stop.set()
        thread.join()
    assert told == ["webhook at 127.0.0.1: it timed out after 0.5 s"]
    assert took < 3


def test_a_command_is_killed_with_what_it_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After its time a command is killed, and so is what it started."""
    monkeypatch.setattr(module, "COMMAND_SECONDS", 1)
    late = tmp_path / "late"
    said(Hooks(on_change=("sh", "-c", f"(sleep 2; touch {late}) & wait")), SUMMARY)
    time.sleep(2)
    assert not late.exists()
