"""Which split a command takes where none is named."""

from collections.abc import Sequence
from types import SimpleNamespace

import pyarrow as pa
import pytest

from fstore.cli.splits import split_meant
from fstore.errors import UnknownNameError


class Told:
    """A store whose one data set has some splits."""

    def __init__(self, splits: Sequence[tuple[str, int]]) -> None:
        self._splits = splits

    def dataset(self, _name: str) -> SimpleNamespace:
        """Return what is asked of a data set."""
        return SimpleNamespace(views={"image": ""})

    def splits(self, _name: str, _view: str) -> pa.Table:
        """Return rows of table ``splits``."""
        rows = [{"split": name, "seed": seed} for name, seed in self._splits for _ in range(2)]
        return pa.Table.from_pylist(rows, schema=pa.schema({"split": "string", "seed": "int64"}))


def meant(splits: Sequence[tuple[str, int]], *given: str, **asked: object) -> tuple[str, int]:
    """Return the split that a command takes."""
    ctx = SimpleNamespace(meta={"fstore.given": set(given)}, obj={"quiet": True})
    words = {"split": "official", "seed": 0, **asked}
    return split_meant(ctx, Told(splits), "d", **words)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("splits", "given", "asked", "expected"),
    [
        ([("official", 0), ("random", 3)], (), {}, ("official", 0)),
        ([("random", 3)], (), {}, ("random", 3)),
        ([("random", 3)], ("split",), {"split": "random"}, ("random", 0)),
        ([("random", 3)], ("split",), {}, ("official", 0)),
        ([("random", 3), ("random", 4)], ("seed",), {"seed": 4}, ("random", 4)),
        ([], (), {}, ("official", 0)),
    ],
)
def test_the_split_that_is_meant(
    splits: Sequence[tuple[str, int]],
    given: Sequence[str],
    asked: dict[str, object],
    expected: tuple[str, int],
) -> None:
    """What is named counts; else the official split, else the only one there is."""
    assert meant(splits, *given, **asked) == expected


def test_several_splits() -> None:
    """Where several would do, an error has the options that choose one."""
    with pytest.raises(UnknownNameError, match="add: --split random --seed 0; or --split random"):
        meant([("random", 0), ("random", 1)])
