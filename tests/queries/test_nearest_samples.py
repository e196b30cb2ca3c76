"""``analyze nearest`` lists the samples that comparing all of them gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from _pictures import Gallery, make
from fstore.cli import app
from fstore.errors import DataError, UnknownNameError
from fstore.queries.analyses import ANALYSES, ask

WHERE: dict[str, Any] = {"layer": "conv", "ckpt": "5", "dataset": "d"}


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Make a store with four images of one box each, the last one difficult."""
    return make(tmp_path)


@pytest.mark.parametrize("ablation", ["none", "sp_max", "binarize"])
@pytest.mark.parametrize("channels", [(), (1,), (2, 0)])
def test_equals_comparing_all(gallery: Gallery, ablation: str, channels: tuple[int, ...]) -> None:
    """By maps, largest responses or signs, of all filters or some: distances are NumPy's."""
    x = gallery.values["image", "conv"][:, list(channels) or slice(None)].astype(np.float64)
    x = {"none": x, "sp_max": x.max(axis=2), "binarize": (x > 0).astype(float)}[ablation]
    far = np.linalg.norm((x - x[1]).reshape(4, -1), axis=1)
    rows = ask(
        gallery.store, "nearest", **WHERE, sample=1, channel=channels, ablation=ablation, top=2
    )
    wanted = sorted((0, 2, 3), key=lambda i: (round(far[i], 9), i))[:2]
    assert [row["sample_id"] for row in rows] == wanted
    assert [row["distance"] for row in rows] == pytest.approx(far[wanted].tolist(), abs=1e-6)
    assert [(row["rank"], row["n"], row["uri"]) for row in rows] == [
        (1, 3, f"{wanted[0]}.png"),
        (2, 3, f"{wanted[1]}.png"),
    ]


def test_among_which(gallery: Gallery) -> None:
    """Among a part, or boxes that are not difficult; the sample itself need not be one of them."""

    def ids(**options: Any) -> set[int]:  # noqa: ANN401
        return {row["sample_id"] for row in ask(gallery.store, "nearest", **WHERE, **options)}

    assert ids(sample=1, part="test") == {2}
    assert ids(sample=0, part="test") == {1, 2}
    assert ids(sample=3, view="gt") == {0, 1, 2}
    with pytest.raises(UnknownNameError, match="sample 9"):
        ids(sample=9)
    with pytest.raises(UnknownNameError, match="sample 9"):
        ids(sample=9, ablation="binarize")
    with pytest.raises(DataError, match="top must be at least 1"):
        ids(sample=1, top=0)
    with pytest.raises(UnknownNameError, match="no ablation 'none2'"):
        ids(sample=1, ablation="none2")


def test_command(gallery: Gallery) -> None:
    """The command prints the declared columns; classes are those of the sample."""
    words = ["--store", str(gallery.store.path), "analyze", "nearest", "--layer", "conv"]
    words += ["--ckpt", "5", "--dataset", "d", "--sample", "0", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [list(row) for row in rows] == [list(ANALYSES["nearest"].meta["columns"])] * 3
    assert {row["sample_id"]: row["classes"] for row in rows}[3] == ["cat", "dog"]
