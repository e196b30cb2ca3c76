"""What a file in TOML says is checked for its types; what is wrong is said in plain English."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fstore.errors import DataError
from fstore.extractor.training import read_recipe
from fstore.queries.studies.making import Making
from fstore.queries.studies.study import Study, parse_study
from fstore.seeds import LARGEST_SEED
from fstore.toml_file import Seed, Table, Text, WholeNumber, WholeNumbers, parse_toml, typed

VALUES = (
    *("true", "7", "-1", "7.5", "7.0", "nan", "-inf", '"text"', '""', "2020-01-02", "12:00:00"),
    *("2020-01-02T12:00:00Z", "[]", "[[]]", "[true]", "[7, 7.0]", '["a", 1]', "[0.5, 0.5]"),
    *("{}", "{ a = 1 }", "[{}]", "[{ a = 1 }]", str(2**63), "9" * 400, f"[{2**64}]"),
)


class Inner(Table, frozen=True):
    """A table in a table."""

    seed: Seed = 0
    share: float = 0.5


class Outer(Table, frozen=True):
    """A table with all that files have."""

    name: Text
    on: bool = False
    number: WholeNumber = 0
    numbers: WholeNumbers = (0,)
    step: int | float = 1
    inner: tuple[Inner, ...] = ()


def fault(text: str, kind: type = Outer) -> str:
    """Return what is said of a text."""
    with pytest.raises(DataError) as caught:
        typed(parse_toml(text, "x.toml"), kind, "x.toml")
    return str(caught.value).removeprefix("x.toml: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "key 'name' is missing"),
        ("nam = 1", "unknown key 'nam'; there are: name, on, number, numbers, step, inner"),
        ("'a - at `$.name`' = 1", "unknown key 'a - at `$.name`'; there are: name, on"),
        ("name = 1", "name must be text in quotes, got 1"),
        ("name = ''", "name must be text in quotes, got ''"),
        ("on = 1", "on must be true or false, got 1"),
        ("number = true", "number must be a whole number of at most 63 bits, got True"),
        ("number = 1.0", "number must be a whole number of at most 63 bits, got 1.0"),
        ("number = '1'", "number must be a whole number of at most 63 bits, got '1'"),
        (f"number = {2**63}", "number must be a whole number of at most 63 bits, got 92233720"),
        ("numbers = 3", "numbers must be a list like [0, 1, 2], got 3"),
        ("numbers = []", "numbers must be a list like [0, 1, 2], got []"),
        ("numbers = [1, true]", "numbers[1] must be a whole number of at most 63 bits, got True"),
        ("step = '1'", "step must be a number, got '1'"),
        ("step = true", "step must be a number, got True"),
        ("step = 2020-01-02", "step must be a number, got datetime.date(2020, 1, 2)"),
        ("inner = 1", "inner must be a list of tables with seed, share, got 1"),
        ("inner = [1]", "inner[0] must be a table with seed, share, got 1"),
        ("inner = [{}, { sed = 1 }]", "inner[1]: unknown key 'sed'; there are: seed, share"),
        ("inner = [{}, { seed = -1 }]", "inner[1].seed must be a whole number from 0 to 2**63"),
        ("inner = [{ share = false }]", "inner[0].share must be a number, got False"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    """The key and, in a list, its index; what was expected; what is there."""
    assert fault(text).startswith(message)


def test_what_is_right_is_kept() -> None:
    """Numbers stay what they are where both kinds may be there; the largest seed is one."""
    text = f"name = 'a'\nstep = 2\ninner = [{{ seed = {LARGEST_SEED}, share = 1 }}]"
    outer = typed(parse_toml(text, "x.toml"), Outer, "x.toml")
    assert type(outer.step) is int
    assert outer.inner == (Inner(LARGEST_SEED, 1.0),)
    assert typed(parse_toml("name = 'a'\nstep = inf", "x.toml"), Outer, "x.toml").step > 1e308


@pytest.mark.parametrize("text", ["name", f"a = {'9' * 5000}", "a = " + "[" * 5000])
def test_no_toml(text: str) -> None:
    """Broken TOML, a number of thousands of digits and thousands of brackets are named errors."""
    with pytest.raises(DataError, match=r"x\.toml is not TOML: "):
        parse_toml(text, "x.toml")


def files() -> Iterator[str]:
    """Yield studies that have some value at each of their keys."""
    head = 'name = "a"\nnetwork = "n"\nlayers = ["l"]\n'
    bound = '[classification]\ndataset = "d"\n'
    for value in VALUES:
        yield from (f"{key} = {value}" for key in ("name", "layers"))
        yield from (f"{head}{key} = {value}" for key in Study.__struct_fields__[3:])
        yield from (f"{head}{bound}{key} = {value}" for key in ("split", "seeds", "parts", "p"))
        yield f'{head}tuned = [{{ task = {value}, mode = "ft", parent = "p" }}]\n{bound}'
        yield f'{head}tuned = {{ task = "classification", mode = "ft", parent = {value} }}\n{bound}'
        for key in Making.__struct_fields__:
            yield f"{head}[make]\n{key} = {value}"
            for own in ("name", "dataset", "seeds", "fractions", "modes", "snapshots", "lr", "o"):
                yield f"{head}[make.{key}]\n{own} = {value}"
                yield f"{head}[[make.{key}]]\n{own} = {value}"


def test_whatever_a_study_says() -> None:
    """A study is read, or refused in words that name the file and its key, none of msgspec's."""
    said = [message for text in files() if (message := refusal(text))]
    assert len(said) > 1000
    assert [m for m in said if not m.startswith("x.toml") or "`" in m or "Expected" in m] == []


def refusal(text: str) -> str:
    """Return what is said of a study, nothing if it is read."""
    try:
        parse_study(text, source="x.toml")
    except DataError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("value", VALUES)
def test_whatever_a_recipe_says(tmp_path: Path, value: str) -> None:
    """An entry of a recipe is of its type, or refused in words that name the file and its key."""
    path = tmp_path / "x.toml"
    kinds = {"lr": float, "batch_size": int, "mirror": bool, "amp": str, "snapshots": list}
    for key, kind in {**kinds, "multipliers": tuple}.items():
        path.write_text(f"{key} = {value}")
        try:
            entry = read_recipe(path)[key]
        except DataError as error:
            said = str(error).removeprefix(f"{path}: ")
            entry = kind() if said.startswith(key) and "`" not in said else said
        assert type(entry) is kind
