"""Whatever can be asked for by name stands in the documents."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fstore.errors import UnknownNameError
from fstore.extractor.datasets import FORMATS
from fstore.extractor.networks import NETWORKS
from fstore.extractor.proposals import METHODS
from fstore.queries.analyses import ANALYSES
from fstore.queries.findings import CLAIMS
from fstore.queries.reports import REPORTS
from fstore.queries.samples.ablations import parse_ablation
from fstore.registry import Registry

DOCS = Path(__file__).parent.parent / "docs"
PAGES: dict[str, Registry[Any]] = {
    "extraction.md": NETWORKS,
    "datasets.md": FORMATS,
    "detection.md": METHODS,
    "analyses.md": ANALYSES,
    "reports.md": REPORTS,
    "findings.md": CLAIMS,
}


def ablations() -> Iterator[str]:
    """Yield the ablations that the program offers to who asks for one that there is not."""
    with pytest.raises(UnknownNameError) as caught:
        parse_ablation("no-such-ablation")
    yield from str(caught.value).partition("there are: ")[2].split(", ")


NAMES = [(page, entry.name) for page, registry in PAGES.items() for entry in registry]
NAMES += [("analyses.md", name) for name in ablations()]


@pytest.mark.parametrize(("page", "name"), NAMES)
def test_every_name_is_documented(page: str, name: str) -> None:
    """Its page has it in a table, a heading or a sentence, marked as a name."""
    assert f"`{name}`" in (DOCS / page).read_text(encoding="utf-8")


def test_all_kinds_of_names_are_looked_at() -> None:
    """Of each kind there is a name that the paper's study needs."""
    asked = {name for _, name in NAMES}
    assert asked >= {"caffenet", "voc", "selective-search", "classification", "sp_shuffle"}
    assert asked >= {"table7", "magnitude-is-unimportant", "top_k=K"}
