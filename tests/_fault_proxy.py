"""A proxy in front of a server of object storage: it counts what is read, and does harm by a plan.

Harm is drawn from a seed, request by request. No request of one kind for one file is harmed more
than twice in a row, so that whoever tries again gets through.
"""

import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import unquote, urlsplit

from _object_server import ObjectServer

__all__ = ["FAULTS", "Fault", "Plan", "Proxy", "Request", "proxied"]

Fault = Literal["500", "503", "silence", "drop", "cut", "done, then 500", "done, then drop"]
FAULTS: tuple[Fault, ...] = (
    "500",  # an internal error, nothing was done
    "503",  # SlowDown, nothing was done
    "silence",  # no answer before the client gives up
    "drop",  # the connection is closed, nothing was done
    "cut",  # half of the answer, then the connection is closed
    "done, then 500",  # it was done, and is answered with an error
    "done, then drop",  # it was done, and is not answered
)
IN_A_ROW = 2
NOT_FORWARDED = {"connection", "transfer-encoding", "content-length"}
ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>by the tests</Message></Error>"


@dataclass(frozen=True)
class Request:
    """What was asked, and how much was answered."""

    method: str
    path: str
    status: int
    n_bytes: int
    fault: Fault | None = None


@dataclass
class Plan:
    """Which requests are harmed: some of some methods for some files, by a seed."""

    faults: Sequence[Fault] = ()
    rate: float = 0.0
    seed: int = 0
    methods: frozenset[str] = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})
    part: str = ""
    """What must be in a file's name."""
    silence_s: float = 3.0
    latency_s: float = 0.0
    """Before each answer, as a server far away would have it."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311
        self._in_a_row: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def draw(self, method: str, path: str) -> Fault | None:
        """Return the harm that is done to a request."""
        with self._lock:
            meant = self.faults and method in self.methods and self.part in path
            harmed = meant and self._random.random() < self.rate
            times = self._in_a_row.get((method, path), 0)
            if not harmed or times >= IN_A_ROW:
                self._in_a_row[method, path] = 0
                return None
            self._in_a_row[method, path] = times + 1
            return self._random.choice(list(self.faults))


@dataclass
class Proxy:
    """A running proxy."""

    server: ObjectServer
    """As programs see it through the proxy."""
    plan: Plan = field(default_factory=Plan)
    strips_conditions: bool = False
    """Whether conditions of a request (``If-Match``) never reach the server."""
    requests: list[Request] = field(default_factory=list)

    def read_bytes(self, part: str = "") -> int:
        """Return how many bytes of files with a text in their name were answered."""
        return sum(r.n_bytes for r in self.requests if r.method == "GET" and part in r.path)

    def harmed(self) -> int:
        """Return how many requests were harmed."""
        return sum(r.fault is not None for r in self.requests)


@contextmanager
def proxied(behind: ObjectServer, plan: Plan | None = None) -> Iterator[Proxy]:
    """Run a proxy on loopback."""
    handler = type("Handler", (_Handler,), {"behind": urlsplit(behind.endpoint).netloc})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        endpoint = f"http://127.0.0.1:{running.server_port}"
        proxy = Proxy(ObjectServer(endpoint, behind.access_key, behind.secret_key), plan or Plan())
        setattr(handler, "proxy", proxy)  # noqa: B010 - of a class made here
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            running.shutdown()
            running.block_on_close = False
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behind: str
    proxy: Proxy

    def do_GET(self) -> None:
        """Hand a request on, or harm it."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(self.path)
        fault = self.proxy.plan.draw(self.command, path)
        status = n_bytes = 0
        time.sleep(self.proxy.plan.latency_s)
        try:
            if fault in {"500", "503"}:
                status = self._refuse(fault)
            elif fault == "silence":
                time.sleep(self.proxy.plan.silence_s)
                self._hang_up()
            elif fault == "drop":
                self._hang_up()
            else:
                status, n_bytes = self._hand_on(body, fault)
        except OSError:  # the client has gone
            self.close_connection = True
        finally:
            self.proxy.requests.append(Request(self.command, path, status, n_bytes, fault))

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def _hand_on(self, body: bytes, fault: Fault | None) -> tuple[int, int]:
        link = HTTPConnection(self.behind, timeout=60)
        try:
            link.request(self.command, self.path, body, self._headers())
            answer = link.getresponse()
            data = answer.read()
        except (OSError, HTTPException):
            self._hang_up()
            return 0, 0
        finally:
            link.close()
        if fault == "done, then drop":
            self._hang_up()
            return 0, 0
        if fault == "done, then 500":
            return self._refuse("500"), 0
        self._answer(answer, data, cut=fault == "cut")
        return answer.status, len(data)

    def _headers(self) -> dict[str, str]:
        """Return what is handed on; the server checks the signature of these."""
        strip = self.proxy.strips_conditions
        return {
            name: value
            for name, value in self.headers.items()
            if not (strip and name.lower().startswith("if-"))
        }

    def _answer(self, answer: HTTPResponse, data: bytes, *, cut: bool) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in NOT_FORWARDED:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        if length is not None and answer.status != 204:
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self._hang_up()

    def _refuse(self, fault: str) -> int:
        text = ERROR.format(code={"500": "InternalError", "503": "SlowDown"}[fault]).encode()
        self.send_response_only(int(fault))
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)
        return int(fault)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002
        """Say nothing."""
