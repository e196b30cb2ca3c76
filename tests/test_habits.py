"""What stands in two places of the repository says the same in both."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def text(name: str) -> str:
    """Return a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_changelog_dates_the_version() -> None:
    """What is unreleased stands on top; below it is the version of the package, with a date."""
    headings = re.findall(r"^## (.+)$", text("CHANGELOG.md"), re.MULTILINE)
    version = tomllib.loads(text("pyproject.toml"))["project"]["version"]
    assert headings[0] == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d", headings[1])


def test_the_same_checks_run_everywhere() -> None:
    """Before a commit, by ``make check`` and by ``.ci/run``: the same targets of the Makefile."""
    hooks = re.findall(r"entry: make --silent (\w+)", text(".pre-commit-config.yaml"))
    (check,) = re.findall(r"^check: (.+)$", text("Makefile"), re.MULTILINE)
    (loop,) = re.findall(r"^for check in (.+); do$", text(".ci/run"), re.MULTILINE)
    assert hooks == check.split() == loop.split()


def test_every_document_can_be_reached() -> None:
    """The README links to each page of the documents."""
    linked = set(re.findall(r"\]\((?:docs/)?([\w-]+\.md)\)", text("README.md")))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= linked
