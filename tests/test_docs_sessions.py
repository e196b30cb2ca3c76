"""Pages that teach by doing do what they say, word for word."""

from pathlib import Path

import _sessions
import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.slow
@pytest.mark.parametrize("page", ["tutorial", "own-network", "own-images"])
def test_a_page_prints_what_it_shows(page: str) -> None:
    """In a new folder, in order. Numbers that training makes may differ by what the runner says."""
    steps = _sessions.played(DOCS / f"{page}.md")
    assert len(steps) > 5
    assert [told for step in steps for told in _sessions.differences(step)] == []


def test_what_differs_is_told() -> None:
    """Other words, other lines and far numbers are; near numbers are not."""
    shown = "layer  value\nconv1  0.50\nconv2  70"
    assert _told(shown, "layer  value\nconv1  0.55\nconv2  72") == 0
    assert _told(shown, "layer  value\nconv1  0.70\nconv2  70") == 1
    assert _told(shown, "layer  value\nconv1  0.50\nconv2  90") == 1
    assert _told(shown, "layer  value\nconv1  0.50\nfc6  70") == 1
    assert _told(shown, "layer  value\nconv1  0.50") == 1


def _told(shown: str, output: str) -> int:
    return len(_sessions.differences(_sessions.Step("fstore x", shown, output)))
