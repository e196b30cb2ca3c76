"""The site that tests of the page look at, built once."""

import pytest

from _page import Site, make_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return a store with nearly all reports, and its site, which no test changes."""
    return make_site(tmp_path_factory.mktemp("page"))
