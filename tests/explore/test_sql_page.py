"""The page of SQL: recipes with the store's names, rows sorted and paged, charts, files."""

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from _build import add_checkpoint, add_layers, build, put, relu
from _cli import run
from _html import rows_of
from fstore.errors import UnknownNameError
from fstore.explore import application
from fstore.explore.recipe import filled, recipe, recipes
from fstore.explore.recipe_names import asked_of_store
from fstore.store import Store
from fstore.store.files import Partition


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a small store of two checkpoints; another network has one of the same name."""
    made = build(tmp_path_factory.mktemp("sql") / "s", ckpts=("5", "6")).store
    add_layers(made, "other", {"conv1": (3, 2, 2)}, mark="?")
    add_checkpoint(made, "other", "5")
    put(made, Partition("other", "5", "d", "image", "conv1"), relu(9, 6, 3, 4))
    return made


@pytest.fixture(scope="module")
def browser(store: Store) -> TestClient:
    """Return a browser of its explorer."""
    return TestClient(application(store), base_url="http://localhost")


def page(browser: TestClient, **given: str) -> str:
    """Return the page's HTML."""
    answer = browser.get("/sql", params=given)
    assert answer.status_code == 200
    return answer.text


@pytest.mark.parametrize("name", [each.name for each in recipes()])
def test_every_recipe_is_answered(browser: TestClient, name: str) -> None:
    """With the names that are chosen by itself, a recipe runs; it has rows or none, no error."""
    text = page(browser, recipe=name)
    assert "Not answered" not in text
    assert "random0" not in text  # the recipe's own store
    assert "digits" not in text


def test_fields_are_the_names_that_are_compared() -> None:
    """A recipe's fields are found in its text, two of one column told apart."""
    fields = recipe("change-between-checkpoints").fields
    assert [(f.name, f.value) for f in fields] == [
        ("ckpt", "random0"),
        ("ckpt2", "random1"),
        ("dataset", "digits"),
        ("layer", "conv5"),
    ]
    with pytest.raises(UnknownNameError, match="no recipe 'x'; there are: ablations"):
        recipe("x")


def test_names_are_quoted() -> None:
    """What is filled in stays a text of SQL, whatever signs it has; a filter is a number."""
    statement = filled(
        recipe("top-images"), {"ckpt": "it's", "channel": "7"}, beside={"network": "a'b"}
    )
    assert "\"network\" = 'a''b' AND ckpt = 'it''s'" in statement
    assert "channel = 7" in statement
    assert "dataset = 'digits'" in statement


def test_a_recipe_has_names_of_the_store(store: Store) -> None:
    """Its own names where the store has them, else others; given ones first; all must be there."""
    statement, values = asked_of_store(store, recipe("top-images"), {"layer": "fc"})
    assert values == {"ckpt": "5", "dataset": "d", "layer": "fc", "channel": "0"}
    assert store.sql(statement).arrow().num_rows == 5
    _, values = asked_of_store(store, recipe("top-images"), {"ckpt": "5", "channel": "2"})
    assert values == {
        "ckpt": "5", "dataset": "d", "layer": "conv1", "channel": "2", "network": "net",
    }  # fmt: skip
    _, values = asked_of_store(store, recipe("response-map"), {"network": "other"})
    assert (values["network"], values["image_id"]) == ("other", "i0")
    _, values = asked_of_store(store, recipe("change-between-checkpoints"), {"ckpt": "6"})
    assert (values["ckpt"], values["ckpt2"]) == ("6", "5")


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("top-images", {"lay": "fc"}, "no parameter 'lay'; it has: ckpt, dataset, layer, channel"),
        ("top-images", {"layer": "fc9"}, "no layer 'fc9' with responses; there are: conv1, fc"),
        ("top-images", {"layer": "fc", "network": "other"}, "of network 'other'; there are: conv1"),
        (
            "top-images",
            {"layer": "fc", "channel": "4"},
            "no filter '4' in layer 'fc'; .* 0, 1, 2, 3",
        ),
        ("similar-images", {"image_id": "x"}, "no image 'x' in data set 'd' .*there are: i0, i1"),
        ("change-between-checkpoints", {"ckpt2": "7"}, "no second checkpoint '7'"),
        ("overlapping-objects", {}, "the store has no data set with boxes"),
        ("sparsity-by-layer", {"view": "gt"}, "no parameter 'view'"),
    ],
)
def test_names_that_the_store_lacks_are_refused(
    store: Store, name: str, given: dict[str, str], says: str
) -> None:
    """A parameter or a name that is not there is refused with those that are."""
    with pytest.raises(UnknownNameError, match=says):
        asked_of_store(store, recipe(name), given)


def test_the_command_asks_a_recipe(store: Store) -> None:
    """It prints the rows, and says on standard error which names were chosen."""
    done = run(store, "sql", "--recipe", "storage", "--csv")
    assert done.stdout.splitlines()[1].startswith("5,3,6,")  # three layers, of two networks
    assert "recipe storage: dataset = d" in done.stderr
    for words in (["--param", "layer=fc"], ["--recipe", "storage", "--param", "layer"],
                  ["--recipe", "storage", "SELECT 1"]):  # fmt: skip
        assert run(store, "sql", *words).exit_code == 2


def test_a_view_is_named_where_there_are_two(tmp_path: Path) -> None:
    """Responses to images and to boxes are never taken together."""
    made = build(tmp_path / "s").store
    put(made, Partition("net", "5", "d", "gt", "fc"), relu(3, 6, 4, 1))
    statement, values = asked_of_store(made, recipe("top-images"), {"layer": "fc", "view": "image"})
    assert values["view"] == "image"
    assert "\"view\" = 'image' AND ckpt" in statement
    assert made.sql(statement).arrow().num_rows == 5


def test_a_checkpoint_of_two_networks(browser: TestClient) -> None:
    """Where two networks have a checkpoint of one name, the statement says which is meant."""
    text = page(browser, recipe="top-images", ckpt="5", layer="conv1", channel="1")
    assert "&#34;network&#34; = &#39;net&#39; AND ckpt = &#39;5&#39;" in text
    assert (
        "network"
        not in page(browser, recipe="top-images", ckpt="6").partition("<textarea")[2][:300]
    )


def test_sorting_and_pages(browser: TestClient) -> None:
    """Rows are sorted by a column either way, a hundred a page; a page too far is the last."""
    statement = "SELECT range AS n, -range AS m FROM range(250)"
    first = rows_of(page(browser, q=statement), "Rows")
    assert (first[1], len(first)) == (["0", "0"], 101)
    down = rows_of(page(browser, q=statement, sort="-n"), "Rows")
    assert down[1] == ["249", "-249"]
    last = page(browser, q=statement, page="99")
    assert rows_of(last, "Rows")[-1][0] == "249"
    assert "Rows 201 to 250" in last
    assert 'rel="next"' not in last
    assert rows_of(page(browser, q=statement, sort="nothing"), "Rows")[1] == ["0", "0"]


def test_more_rows_than_are_kept(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the page says that there are more; the files have all."""
    from fstore.explore import answers

    monkeypatch.setattr(answers, "MOST_ROWS", 50)
    statement = "SELECT range AS n FROM range(120) -- cut"
    text = page(browser, q=statement)
    assert "50 first rows" in text
    assert "There are more" in text
    file = browser.get("/sql.csv", params={"q": statement})
    assert len(file.text.splitlines()) == 121


@pytest.mark.parametrize("kind", ["bars", "line", "points", "histogram"])
def test_charts(browser: TestClient, kind: str) -> None:
    """A chart draws the rows that the statement gives, by the columns that are asked for."""
    statement = "SELECT range AS n, range * range AS square, 'c' || range % 2 AS odd FROM range(5)"
    text = page(browser, q=statement, show=kind, x="n", y="square", colour="odd")
    spec = json.loads(
        text.partition('<script type="application/json">')[2].partition("</script>")[0]
    )
    (rows,) = spec["datasets"].values()
    assert [row["n"] for row in rows] == [0, 1, 2, 3, 4]
    assert spec["encoding"]["x"]["field"] == "n"
    if kind != "histogram":
        assert [row["square"] for row in rows] == [0, 1, 4, 9, 16]
        assert spec["encoding"]["color"]["field"] == "odd"


def test_columns_of_a_chart_are_guessed(browser: TestClient) -> None:
    """Without a choice, the last numbers are drawn over the first column, odd names and all."""
    text = page(browser, q="SELECT 'a' AS \"x.y[0]\", 1.5 AS v, NULL AS w", show="bars")
    assert "v by x.y[0], 1 rows" in text


def test_files_hold_the_same_rows(browser: TestClient, store: Store, tmp_path: Path) -> None:
    """CSV and Parquet have the rows that the API gives; formulas in CSV are made text."""
    statement = "SELECT sample_id, image_id, width FROM samples ORDER BY sample_id"
    expected = store.sql(statement).arrow()
    text = browser.get("/sql.csv", params={"q": statement}).text
    assert [int(r["sample_id"]) for r in csv.DictReader(io.StringIO(text))] == list(range(6))
    answer = browser.get("/sql.parquet", params={"q": statement})
    assert "attachment" in answer.headers["content-disposition"]
    (tmp_path / "a.parquet").write_bytes(answer.content)
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == expected.to_pylist()
    assert browser.get("/sql.csv", params={"q": "SELECT '=1+1' AS f"}).text == "f\n'=1+1\n"


def test_what_has_no_form_as_a_file_is_said(browser: TestClient) -> None:
    """A file that would be too large, or whose columns Parquet cannot hold, is an error page."""
    large = "SELECT repeat('x', 100000) AS x FROM range(2000)"
    answer = browser.get("/sql.csv", params={"q": large})
    assert answer.status_code == 400
    assert "the rows are more than 64 MiB" in answer.text


def test_errors_stand_beside_the_statement(browser: TestClient) -> None:
    """A statement with a fault stays in the field, with what is wrong."""
    text = page(browser, q="SELECT nothing FROM samples")
    assert "SELECT nothing FROM samples</textarea>" in text
    assert "Not answered" in text
    assert page(browser, q="SELECT 1 WHERE false").count("gives no rows") == 1
