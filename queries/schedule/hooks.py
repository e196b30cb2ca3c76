"""What is told of a run: a command of the user's, or a POST to a web address."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from fstore.ending import child_group
from fstore.errors import DataError

__all__ = ["Hooks", "call_hooks", "parse_hooks"]

STDERR = 2  # stdout is for data
COMMAND_SECONDS = 300
WEBHOOK_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """Commands, as lists of words, and a web address; an empty one is left out."""

    on_change: tuple[str, ...] = ()
    on_failure: tuple[str, ...] = ()
    webhook: str = ""


def parse_hooks(*, on_change: str = "", on_failure: str = "", webhook: str = "") -> Hooks:
    """Read hooks as they are given on a command line.

    Parameters
    ----------
    on_change, on_failure : str
        A command line; it is split as a shell does, but no shell runs it.
    webhook : str
        An http or https address. It may hold a key, so it is never quoted.

    Raises
    ------
    DataError
        A quote is left open, there is no such program, or the address is of another kind.
    """
    if webhook and not _is_address(webhook):
        raise DataError(
            "the webhook is no address; expected http://HOST/... or https://HOST/..., in ASCII, "
            "without spaces, user and password"
        )
    words = _words("--on-change", on_change), _words("--on-failure", on_failure)
    return Hooks(on_change=words[0], on_failure=words[1], webhook=webhook)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port  # or an error
    except ValueError:
        return False
    plain = all("!" <= letter <= "~" for letter in text) and "@" not in parts.netloc
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname)


def _words(option: str, text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise DataError(f"cannot read the command of {option}, {text}: {error}") from error
    if words and shutil.which(words[0]) is None:
        raise DataError(
            f"{option}: there is no program '{words[0]}'; no shell runs the command: for pipes and "
            "variables write a script, or sh -c '...'"
        )
    return words


def call_hooks(hooks: Hooks, summary: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Tell of a run that changed something or failed; a hook that fails is only noted.

    Parameters
    ----------
    hooks : Hooks
    summary : mapping
        What JSON knows. ``events`` is a list of ``change`` and ``failure``; ``changed`` maps a
        report to its number of changed cells; ``exit`` is ``ok`` or ``failed``.
    say : callable
        Takes a line for people.
    """
    events: Sequence[str] = summary["events"]
    body = json.dumps(summary).encode()
    for event, words in (("change", hooks.on_change), ("failure", hooks.on_failure)):
        if event in events and words:
            _run(words, body, _environment(summary), say=say)
    if events and hooks.webhook:
        _post(hooks.webhook, body, say)


def _environment(summary: Mapping[str, Any]) -> dict[str, str]:
    return {
        **os.environ,
        "FSTORE_STORE": summary["store"],
        "FSTORE_STUDY": summary["study"],
        "FSTORE_REPORTS_CHANGED": " ".join(summary["changed"]),
        "FSTORE_EXIT_STATUS": "0" if summary["exit"] == "ok" else "1",
    }


def _run(
    words: Sequence[str], body: bytes, environment: Mapping[str, str], *, say: Callable[[str], None]
) -> None:
    """Run a command with JSON on its stdin; what it prints goes to stderr."""
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command, without a shell
            words, stdin=subprocess.PIPE, env=environment, stdout=STDERR, start_new_session=True
        )
    except OSError as error:
        say(f"hook {words[0]}: {error}")
        return
    with child_group(process.pid):
        try:
            process.communicate(body, timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"hook {words[0]}: it timed out after {COMMAND_SECONDS:g} s and was killed")
            return
        except OSError as error:
            say(f"hook {words[0]}: {error}")
            return
        finally:
            _end(process)
    if process.returncode:
        say(f"hook {words[0]}: it ended with status {process.returncode}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill a command that still runs, with all that it started."""
    if process.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _post(address: str, body: bytes, say: Callable[[str], None]) -> None:
    """Send JSON. Of an error only the kind is told: the address, which may hold a key, is not."""
    headers = {"Content-Type": "application/json", "User-Agent": "fstore"}
    request = Request(address, data=body, headers=headers, method="POST")  # noqa: S310 - checked
    said: list[str] = []

    def send() -> None:
        try:
            with build_opener(_Here).open(request, timeout=WEBHOOK_SECONDS):
                pass
        except (HTTPException, OSError, ValueError) as error:
            said.append(_kind(error))

    # in a thread: a name server, or an answer that comes a byte at a time, would take longer
    sender = threading.Thread(target=send, name="fstore-webhook", daemon=True)
    sender.start()
    sender.join(WEBHOOK_SECONDS)
    if sender.is_alive():
        said = [f"it timed out after {WEBHOOK_SECONDS:g} s"]
    for line in said:
        say(f"webhook at {urlsplit(address).hostname}: {line}")


class _Here(HTTPRedirectHandler):
    """Follows no redirection: it would turn the POST into a GET without the summary."""

    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401 - six arguments that are not read
        """Leave the answer as it is: an error with its status."""


def _kind(error: Exception) -> str:
    if isinstance(error, HTTPError):
        moved = ", a redirection, which is not followed" if 300 <= error.code < 400 else ""
        return f"it answered with status {error.code}{moved}"
    reason = error.reason if isinstance(error, URLError) else error
    return getattr(reason, "strerror", None) or type(reason).__name__
