"""Recipes: their files, their defaults, and how long a run is."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from fstore.errors import DataError
from fstore.extractor.networks import build_network
from fstore.extractor.training import Multiplier, Recipe, read_recipe, run_length, snapshot_name

FILE = """
lr = 1
batch_size = 32
momentum = 0.5
weight_decay = 0.001
step = 200_000
gamma = 0.5
mirror = true
amp = "bfloat16"
iterations = 400_000
snapshots = [5_000, 400_000]
multipliers = [
    { pattern = "conv1.*", lr = 0, decay = 0 },
    { pattern = "*.bias", lr = 2, decay = 0 },
]
"""


def test_a_file_says_everything(tmp_path: Path) -> None:
    """Every entry of a recipe, iterations and snapshots are read, as the types they are."""
    path = tmp_path / "recipe.toml"
    path.write_text(FILE)
    entries = read_recipe(path)
    assert (entries.pop("iterations"), entries.pop("snapshots")) == (400_000, [5_000, 400_000])
    first = Multiplier("conv1.*", lr=0.0, decay=0.0)
    assert Recipe(**entries) == Recipe(
        lr=1.0, batch_size=32, momentum=0.5, weight_decay=0.001, step=200_000, gamma=0.5,
        mirror=True, amp="bfloat16", multipliers=(first, Multiplier("*.bias", 2.0, 0.0)),
    )  # fmt: skip
    assert Recipe(**entries).multiplier("conv1.bias") == first
    assert type(entries["lr"]) is float


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lrr = 0.1", "unknown key 'lrr'; there are: lr, batch_size"),
        ("lr = '0.1'", "lr must be a number, got '0.1'"),
        ("lr = true", "lr must be a number, got True"),
        ("batch_size = 1.5", "batch_size must be a whole number, got 1.5"),
        ("mirror = 1", "mirror must be true or false, got 1"),
        ("snapshots = 5", r"snapshots must be a list like \[0, 1, 2\], got 5"),
        ("snapshots = ['5']", r"snapshots\[0\] must be a whole number, got '5'"),
        ("multipliers = [{ pattern = '*', lr = 1 }]", r"multipliers\[0\]: key 'decay' is missing"),
        ("multipliers = 1", "multipliers must be a list of tables with pattern, lr, decay, got 1"),
        ("multipliers = [1]", r"multipliers\[0\] must be a table with pattern, lr, decay, got 1"),
        (
            "multipliers = [{ pattern = 1, lr = 1, decay = 1 }]",
            r"multipliers\[0\].pattern must be text in quotes, got 1",
        ),
        (
            "multipliers = [{ pattern = '*', lr = 1, decay = 1, momentum = 0 }]",
            r"multipliers\[0\]: unknown key 'momentum'; there are: pattern, lr, decay",
        ),
        ("lr = 1979-05-27", "lr must be a number, got datetime.date"),
        (f"lr = 1{'0' * 400}", "lr must be a number, got 1000"),
        ("lr = ", "is not TOML: "),
        (f"step = {'9' * 5000}", "is not TOML: "),
        (f"step = {'[' * 5000}", "is not TOML: "),
    ],
)
def test_bad_files_are_named_errors(tmp_path: Path, text: str, message: str) -> None:
    """An unknown entry, a wrong type or broken TOML names the file and what was expected."""
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_a_named_error(tmp_path: Path) -> None:
    """A recipe file that is not there says so."""
    with pytest.raises(DataError, match="no file "):
        read_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.0}, "lr of a recipe must be above 0"),
        ({"lr": float("nan")}, "lr of a recipe must be above 0"),
        ({"gamma": 0.0}, "gamma of a recipe must be above 0"),
        ({"momentum": 1.0}, "momentum lies from 0 to below 1, not at 1.0"),
        ({"weight_decay": -1.0}, "weight decay of a recipe is 0 or above"),
        ({"amp": "half"}, "unknown amp 'half'; use off, bfloat16, float16"),
        ({"batch_size": None}, "give --batch-size"),
        ({"rate": 1.0}, "a recipe has no 'rate'; it has: amp, batch_size, gamma, lr"),
    ],
)
def test_bad_recipes_are_named_errors(changes: Mapping[str, object], message: str) -> None:
    """A recipe without sense, or without its numbers, says what is wrong."""
    defaults = {"lr": 0.1, **({} if "batch_size" in changes else {"batch_size": 2})}
    with pytest.raises(DataError, match=message):
        Recipe.from_defaults(defaults, **changes)


def test_runs_are_as_long_as_the_network_says() -> None:
    """Iterations and snapshots are the network's own; given ones win; the last is a snapshot."""
    own = build_network("caffenet", classes=2).recipe
    thousands = [5, 15, 25, 35, 50, 95, 105, 195, 205, 305]
    assert run_length(own, None, ()) == (305_000, [1000 * k for k in thousands])
    assert run_length(own, 20_000, ()) == (20_000, [5_000, 15_000, 20_000])
    assert run_length(own, 15_000, ()) == (15_000, [5_000, 15_000])
    assert run_length(own, 100, ()) == (100, [100])
    assert run_length(own, None, (7, 3, 7)) == (305_000, [3, 7])
    assert run_length({}, 10, ()) == (10, [10])
    with pytest.raises(DataError, match="states no number of iterations; give --iterations"):
        run_length({}, None, ())


@pytest.mark.parametrize(
    ("iteration", "name"), [(5, "5"), (300, "300"), (5000, "5k"), (305_000, "305k"), (1500, "1500")]
)
def test_snapshots_are_named_by_iteration(iteration: int, name: str) -> None:
    """Exact thousands are written with k."""
    assert snapshot_name(iteration) == name
