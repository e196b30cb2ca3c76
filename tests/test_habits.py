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
    """The site has each page of the documents, and the README and the site's pages are there."""
    listed = set(re.findall(r": ([\w-]+\.md)$", text("mkdocs.yml"), re.MULTILINE))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    above = {"index.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"}
    assert listed == pages | above
    linked = re.findall(r"\]\(((?:docs/)?[\w/-]+\.md)\)", text("README.md"))
    assert linked
    assert all((ROOT / page).is_file() for page in linked)


def test_the_first_steps_are_those_of_the_tutorial() -> None:
    """The README shows commands and output of the tutorial, which a slow test runs."""
    import _sessions

    tutorial = {step.words: step.shown for step in _sessions.read(ROOT / "docs" / "tutorial.md")}
    steps = _sessions.read(ROOT / "README.md")
    assert len(steps) > 5
    assert {step.words: step.shown for step in steps}.items() <= tutorial.items()


def test_the_citation_names_the_version() -> None:
    """It is that of the package."""
    version = tomllib.loads(text("pyproject.toml"))["project"]["version"]
    assert f"\nversion: {version}\n" in text("CITATION.cff")
