"""Writes the folder that the site is built from: the documents, and files that lie above them.

    python docs/_site.py build/site    # then: zensical build --strict
    python docs/_site.py --tidy site

The README is the front page. Links are written for the repository; here they become those of the
site, and what makes output in the documents is left out.
"""

import re
import shutil
import sys
from pathlib import Path

__all__ = ["tidy", "write"]

ROOT = Path(__file__).parent.parent
PAGES = {"README.md": "index.md"} | {
    name: name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
}
"""Files of the repository's root that are pages of the site, by name there."""
KEPT = ("*.md", "*.svg", "*.jpg", "additions/*.py")

COG = re.compile(r"<!-- \[\[\[.*?\]\]\] -->\n?", re.DOTALL)
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")
CODE = re.compile(
    r"(?<!!)\[([^\]]+)\]\((?:\.\./)?(?:examples|study|benchmarks|src|tests|\.ci|LICENSE)[^)]*\)"
)
"""Links to what is no page: they become text."""


def write(folder: Path) -> None:
    """Write the pages and pictures into a folder, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    docs = ROOT / "docs"
    for pattern in KEPT:
        for path in docs.rglob(pattern):
            _write(path, folder / path.relative_to(docs), above=False)
    for name, page in PAGES.items():
        _write(ROOT / name, folder / page, above=True)


def _write(path: Path, out: Path, *, above: bool) -> None:
    """Write one file; ``above`` says that it lies in the root of the repository."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".md":
        shutil.copyfile(path, out)
        return
    text = CODE.sub(r"\1", COG.sub("", path.read_text(encoding="utf-8")))
    text = LINK.sub(lambda found: found[1] + _linked(found[2], above=above) + found[3], text)
    out.write_text(text.replace("```console", "```"), encoding="utf-8")


def _linked(target: str, *, above: bool) -> str:
    """Return where a link leads on the site."""
    if "://" in target or target.startswith("mailto:"):
        return target
    if above:
        return PAGES.get(target, target.removeprefix("docs/"))
    return PAGES.get(target.removeprefix("../"), target) if target.startswith("../") else target


ROLE = re.compile(r":(?:func|meth|class|mod|data|attr):\s*(?=<code)")


def tidy(site: Path) -> None:
    """Take the roles of docstrings out of the built pages: ``:meth:`` before a name."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(ROLE.sub("", text), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1] == "--tidy":
        tidy(Path(sys.argv[2]))
    else:
        write(Path(sys.argv[1]))
