"""An analysis that is asked value by value in other processes gives the rows of one call."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from _build import put
from _studies import StudyWorld, make_study
from fstore.errors import DataError, StorageError
from fstore.queries.analyses import ANALYSES, ask, ask_elsewhere, options_of
from fstore.store.files import Partition
from fstore.store.maintenance import Selection, drop

WHAT: dict[str, Any] = {"dataset": "s", "ckpt": "15k", "layer": "conv5"}
ABLATIONS = ("sp_max", "none", "binarize")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> StudyWorld:
    """Make a store with images of one class each."""
    return make_study(tmp_path_factory.mktemp("world") / "s")


@pytest.fixture
def pool() -> Iterator[Executor]:
    """Give threads as workers."""
    with ThreadPoolExecutor(2) as executor:
        yield executor


def test_the_same_rows(world: StudyWorld, pool: Executor) -> None:
    """Rows come in the order of the values, bit for bit as from one call; progress by value."""
    told: list[tuple[int, int, str]] = []
    here = ask(world.store, "accuracy", ablation=ABLATIONS, **WHAT)
    rows = ask_elsewhere(
        world.store,
        "accuracy",
        pool.submit,
        on_progress=lambda _what, *rest: told.append(rest),
        ablation=ABLATIONS,
        **WHAT,
    )
    assert rows == here
    assert told == [(1, 3, "sp_max"), (2, 3, "none"), (3, 3, "binarize")]
    assert ask_elsewhere(world.store, "accuracy", pool.submit, **WHAT) == [here[1]]  # the default


def test_what_is_asked_wrongly(world: StudyWorld, pool: Executor) -> None:
    """An error of one value is the error of the call: images of several classes."""
    with pytest.raises(DataError, match="class"):
        ask_elsewhere(world.store, "accuracy", pool.submit, **{**WHAT, "dataset": "d"})


def test_a_worker_that_sees_another_store(tmp_path: Path, pool: Executor) -> None:
    """Responses that differ where the worker reads are refused, not asked about."""
    world = make_study(tmp_path / "s")

    def late(*given: Any) -> Any:  # noqa: ANN401
        drop(world.store.place, Selection(ckpt="15k", dataset="s", layer="conv5"))
        changed = world.values["s", "15k", "conv5"][::-1]
        place = Partition("net", "15k", "s", "image", "conv5")
        put(world.store, place, changed, identity={"weights": "new"})
        return pool.submit(*given)

    with pytest.raises(StorageError, match="a worker sees other responses in the store at"):
        ask_elsewhere(world.store, "accuracy", late, **WHAT)


def test_what_can_be_swept_over() -> None:
    """An option that is swept over takes several values, and has a default."""
    swept = {entry.name: entry.meta["sweep"] for entry in ANALYSES if entry.meta["sweep"]}
    assert swept == {"accuracy": "ablation"}
    for name, option in swept.items():
        assert isinstance(options_of(ANALYSES[name].function)[option].default, tuple)
