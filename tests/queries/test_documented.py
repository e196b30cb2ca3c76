"""The Python that the pages show about analyses runs."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import fstore
from _pictures import make as make_pictures
from _problems import make as make_problem
from fstore.queries.figures.pictures import pixels

DOCS = Path(__file__).parents[2] / "docs"


def python_of(page: str, names: dict[str, str]) -> str:
    """Return the Python of a page, with the names of a small store in place of the page's."""
    text = (DOCS / page).read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    for name, own in names.items():
        assert name in code
        code = code.replace(name, own)
    return code


def test_asking_by_name_and_by_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``ask`` and the functions of docs/analyses.md give are rows of the same analysis."""
    made = make_problem(tmp_path / "fstore-demo")
    monkeypatch.chdir(tmp_path)
    names = {'"conv5"': '"conv"', '"1200"': '"5"', '"digits"': '"d"'}
    run: dict[str, object] = {}
    exec(python_of("analyses.md", names), run)  # noqa: S102 - our own page
    assert made.store.path.name == "fstore-demo"
    rows, best, curves = run["rows"], run["best"], run["curves"]
    assert isinstance(rows, list)
    assert isinstance(best, list)
    assert isinstance(curves, list)
    assert set(rows[0]) == set(best[0])
    assert {row["rank"] for row in best} == {row["rank"] for row in curves} == {1}


def test_top_images_in_a_notebook(tmp_path: Path) -> None:
    """Top images are found and drawn as docs/figures.md says, and each picture by itself."""
    store = make_pictures(tmp_path).store
    weights = {"fc": np.ones((2, 2), np.float32)}  # no filters that look at an image
    save_file(weights, store.checkpoint_path(store.find_checkpoint("5")))
    names = {'"conv5"': '"conv"', '"305k"': '"5"', '"voc07"': '"d"', "(12,)": "(1,)"}
    names |= {'"caffenet"': '"net"'}
    run: dict[str, object] = {"store": fstore.open(store.path)}
    exec(python_of("figures.md", names), run)  # noqa: S102 - our own page
    assert isinstance(rows := run["rows"], list)
    assert {row["channel"] for row in rows} == {1}
    assert isinstance(image := run["image"], Image.Image)
    assert (np.asarray(image) == pixels(rows[0]["picture"])).all()
