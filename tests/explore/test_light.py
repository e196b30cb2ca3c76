"""The server stays small: no page loads torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from _studies import STUDY, make_study
from fstore.queries.studies.study import set_study

ASK = """
import html, re, sys
from starlette.testclient import TestClient
from fstore.explore import application
from fstore.explore.page import PAGES
from fstore.store import Store

browser = TestClient(application(Store.open(sys.argv[1])), base_url="http://localhost")
of = dict(network="net", ckpt="5k", dataset="g", view="gt", layer="conv5", channel=1, sample=2)
of |= {"class": "cat", "a": "net/5k", "b": "net/15k", "q": "FROM samples", "name": "table6"}
asked, failed = 0, []
for page in list(PAGES):
    answer = browser.get(page.name, params=of)
    failed += [page.name] * (answer.status_code >= 500)
    for part in re.findall(r'hx-get="([^"]+)"', answer.text):
        failed += [part] * (browser.get(html.unescape(part)).status_code >= 500)
        asked += 1
print(asked, *failed, *sorted({"torch", "torchvision", "matplotlib"} & set(sys.modules)))
"""


@pytest.mark.slow
def test_every_page_is_made_without_torch(tmp_path: Path) -> None:
    """Every page and every part that it loads is made, and the server has no torch in memory."""
    store = make_study(tmp_path / "s").store
    set_study(store, STUDY)
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(store.path)], capture_output=True, text=True, check=True
    )
    asked, *wrong = done.stdout.split()
    assert int(asked) > 15
    assert wrong == []
