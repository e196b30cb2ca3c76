"""Stores that tests of several commands look at."""

from pathlib import Path

import pytest

from _build import STUDY, build
from _page import Site, make_site
from fstore.queries.studies.study import set_study
from fstore.store import Store


@pytest.fixture
def ready(tmp_path: Path) -> Store:
    """Return the small store, its study set."""
    store = build(tmp_path / "s").store
    set_study(store, STUDY)
    return store


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return a store with nearly all reports, and its site, built once, which no test changes."""
    return make_site(tmp_path_factory.mktemp("page"))
