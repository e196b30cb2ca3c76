"""Who may ask the explorer: whoever reaches the loopback, or holds the token; no foreign page."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

__all__ = ["Door", "Guard"]

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "fstore-token"
LOCAL = {"localhost", "127.0.0.1", "::1"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
"""What a page may load: nothing from elsewhere, and no script that stands in the page."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


@dataclass(frozen=True)
class Door:
    """Whom the explorer serves.

    Attributes
    ----------
    host : str
        The address that it listens on.
    token : str or None
        Asked of everybody; None where only this machine can reach it.
    """

    host: str = "127.0.0.1"
    token: str | None = None

    def knows(self, host: str) -> bool:
        """Whether a Host header is one of ours: a page elsewhere cannot make a browser send it.

        Beside the loopback's names and the address given, an address in numbers is: only names can
        be pointed at another machine behind a browser's back.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return (
            name in LOCAL or name == self.host.lower() or (self.token is not None and _bare(name))
        )

    def is_token(self, given: str) -> bool:
        """Whether a text is the token; how long it takes tells nothing of it."""
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())


def _bare(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _origin_host(origin: str) -> str | None:
    """Return the host and port that an Origin header names; None where it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


class Guard:
    """An ASGI application that lets through what the door allows, and says the page's policy."""

    def __init__(self, app: App, door: Door) -> None:
        self.app = app
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
        if refusal := self._refusal(scope, headers):
            await _answer(send, *refusal)
            return
        if location := self._entering(scope):
            cookie = f"{COOKIE}={self.door.token}; HttpOnly; SameSite=Strict; Path=/"
            await _answer(send, 303, "", {"location": location, "set-cookie": cookie})
            return

        async def send_with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        await self.app(scope, receive, send_with_policy)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        if not self.door.knows(headers.get("host", "")):
            name = "localhost" if self.door.token is None else "this machine's address in numbers"
            return 421, f"This address is not one of the explorer's. Open it as {name}."
        if not self._is_own(headers):
            return 403, "Another site sent this request. Open the explorer's own page."
        if self.door.token is not None and not self._has_token(scope, headers):
            return (
                401,
                "The explorer wants its token. Open the address that was printed when it started.",
            )
        return None

    def _is_own(self, headers: dict[str, str]) -> bool:
        """Whether the request comes from the explorer's own pages, or from no page."""
        origin = headers.get("origin")
        if origin is not None:
            return _origin_host(origin) == headers.get("host")
        site = headers.get("sec-fetch-site", "none")
        return site in ("none", "same-origin") or headers.get("sec-fetch-mode") == "navigate"

    def _has_token(self, scope: Scope, headers: dict[str, str]) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token", "")
        return self.door.is_token(given) or (
            cookie is not None and self.door.is_token(cookie.value)
        )

    def _entering(self, scope: Scope) -> str | None:
        """Return where to go on without the token in the address, if it stands there."""
        if self.door.token is None:
            return None
        given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        rest = [(name, value) for name, value in given if name != "token"]
        if len(rest) == len(given):
            return None
        path = "/" + quote(str(scope["path"]).lstrip("/"))  # no line break, no backslash
        return path + (f"?{urlencode(rest)}" if rest else "")


async def _answer(
    send: Send, status: int, text: str, headers: "dict[str, str] | None" = None
) -> None:
    body = text.encode()
    told = {"content-type": "text/plain; charset=utf-8", **HEADERS, **(headers or {})}
    told["content-length"] = str(len(body))
    start = [(k.encode(), v.encode("latin-1")) for k, v in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
