"""Who may ask the explorer, and what a page may load."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from _build import build
from fstore.explore import application
from fstore.explore.guard import COOKIE, Door
from fstore.store import Store

TOKEN = "a-token-for-tests"  # noqa: S105 - of no door but the tests'


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a small store that no test changes."""
    return build(tmp_path_factory.mktemp("guard") / "s").store


def client(store: Store, door: Door | None = None, host: str = "localhost:8765") -> TestClient:
    """Return a browser of one host name, which does not follow redirects."""
    app = application(store, door=door)
    return TestClient(app, base_url=f"http://{host}", follow_redirects=False)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8765", "[::1]:8765", "LOCALHOST:1"])
def test_this_machine_is_let_in(store: Store, host: str) -> None:
    """The names of the loopback are answered, whatever the port."""
    assert client(store, host=host).get("/").status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.7", "a:b:c"],
)
def test_a_foreign_host_is_refused(store: Store, host: str) -> None:
    """A page whose name was pointed at this machine gets nothing of the store."""
    answer = client(store).get("/", headers={"host": host})
    assert answer.status_code == 421
    assert "conv1" not in answer.text


def test_no_host_is_refused(store: Store) -> None:
    """Nor does a request without a Host header."""
    assert client(store).get("/", headers={"host": ""}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://localhost:9999"},
        {"origin": "null"},
        {"origin": "http://["},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
    ],
)
def test_other_sites_cannot_ask(store: Store, headers: dict[str, str]) -> None:
    """A request that another page's script, picture or form makes is refused."""
    assert client(store).get("/", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://localhost:8765"},
        {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
    ],
)
def test_own_pages_and_links_are_answered(store: Store, headers: dict[str, str]) -> None:
    """The explorer's own pages may ask, and a link to it from elsewhere may be followed."""
    assert client(store).get("/", headers=headers).status_code == 200


def test_only_reading_is_answered(store: Store) -> None:
    """There is nothing to post to."""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client(store).request(method, "/").status_code == 405


def test_another_address_wants_the_token(store: Store) -> None:
    """With a token, nothing is shown without it or with another; not even an asset."""
    door = Door("0.0.0.0", TOKEN)  # noqa: S104 - nothing listens
    asking = client(store, door, host="192.168.1.5:8765")
    for path in ("/", "/?token=", "/?token=other", "/assets/explore.css", "/sql?q=FROM samples"):
        assert asking.get(path).status_code == 401, path
    forged = {"cookie": f"{COOKIE}=other"}
    assert asking.get("/", headers=forged).status_code == 401


def test_the_token_becomes_a_cookie(store: Store) -> None:
    """The address with the token leads to the same one without it, which the cookie opens."""
    door = Door("0.0.0.0", TOKEN)  # noqa: S104 - nothing listens
    asking = client(store, door, host="192.168.1.5:8765")
    first = asking.get(f"/sql?q=FROM+samples&token={TOKEN}")
    assert (first.status_code, first.headers["location"]) == (303, "/sql?q=FROM+samples")
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert asking.get(first.headers["location"]).status_code == 200


def test_the_token_leads_nowhere_else(store: Store) -> None:
    """A path that a browser would take for another site's address stays on this one."""
    door = Door("0.0.0.0", TOKEN)  # noqa: S104 - nothing listens
    answer = client(store, door, host="127.0.0.1").get(
        f"http://127.0.0.1//evil.example/?token={TOKEN}"
    )
    assert answer.headers["location"] == "/evil.example/"


@pytest.mark.parametrize("path", ["/%0D%0AX-Evil:%201", "/%5Cevil.example", "/%E2%82%AC", "/a%3Fb"])
def test_the_token_leads_to_the_path_as_it_was_written(store: Store, path: str) -> None:
    """What a path holds in percents stays so: no header, no other site, no question mark of it."""
    door = Door("0.0.0.0", TOKEN)  # noqa: S104 - nothing listens
    answer = client(store, door, host="127.0.0.1").get(f"{path}?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, path.replace(":", "%3A"))


def test_with_a_token_a_name_that_is_not_ours_is_refused(store: Store) -> None:
    """The token does not open the door under a foreign name."""
    door = Door("192.168.1.5", TOKEN)
    asking = client(store, door, host="evil.example")
    assert asking.get(f"/?token={TOKEN}").status_code == 421


@pytest.mark.parametrize("path", ["/", "/nowhere", "/assets/explore.js", "/assets/nothing"])
def test_every_answer_says_what_may_be_loaded(store: Store, path: str) -> None:
    """Scripts come from the explorer alone, and no other site may frame a page."""
    headers = client(store).get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_pages_hold_no_script_of_their_own(store: Store) -> None:
    """What the policy forbids is not there: no inline script, no handler in an attribute."""
    import re

    text = client(store).get("/").text
    inline = re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>", text)
    assert inline == []
    assert not re.search(r"<[^>]+\son\w+=", text)


@pytest.mark.parametrize(
    "path", ["/assets/../page.py", "/assets/..%2fpage.py", "/assets/%2e%2e/app.py", "/../app.py"]
)
def test_paths_do_not_climb(store: Store, path: str) -> None:
    """Only what lies among the assets is sent."""
    answer = client(store).get(path)
    assert answer.status_code == 404
    assert "import" not in answer.text


def test_the_store_is_served_where_it_is_asked(tmp_path: Path) -> None:
    """The overview names the store's folder; a folder's name is text, whatever is in it."""
    odd = build(tmp_path / "<b>s&amp;").store
    text = client(odd).get("/").text
    assert "<b>s" not in text
    assert "&lt;b&gt;s&amp;amp;" in text
