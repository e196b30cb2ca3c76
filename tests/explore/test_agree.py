"""The explorer, SQL, the Python API and the reports give one answer to one question."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

import fstore
from _html import rows_of
from _studies import CLASSES, STUDY, make_study
from fstore.explore import application
from fstore.explore.rendering import url
from fstore.queries.cells.needs import BESIDE
from fstore.queries.studies.study import set_study
from fstore.types import View

REPORTS = ("table6", "table7", "table9", "table3")
DATASETS: dict[str, View] = {"d": "image", "s": "image", "g": "gt"}
LAYERS = {"conv5": 32, "fc7": 40}


@dataclass
class Asking:
    """One store, asked in four ways, and chance."""

    store: fstore.Store
    browser: TestClient
    chance: random.Random

    def page(self, path: str, **given: object) -> str:
        """Return a page's HTML."""
        answer = self.browser.get(url(path, **given))
        assert answer.status_code == 200, answer.text[-600:]
        return answer.text

    def of(self, *, dataset: str = "") -> dict[str, Any]:
        """Choose a partition."""
        dataset = dataset or self.chance.choice(list(DATASETS))
        ckpt, layer = self.chance.choice(["5k", "15k"]), self.chance.choice(list(LAYERS))
        view = DATASETS[dataset]
        return {"network": "net", "ckpt": ckpt, "dataset": dataset, "view": view, "layer": layer}

    def filter_of(self, of: dict[str, Any]) -> int:
        """Choose a filter that is not silent."""
        return self.chance.choice([c for c in range(LAYERS[of["layer"]]) if c != 7])

    def sql(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Return the rows of a statement."""
        return list(self.store.sql(statement, values).rows())


WHERE = 'network = ? AND ckpt = ? AND dataset = ? AND "view" = ? AND layer = ?'


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Asking:
    """Return a store whose reports are computed."""
    store = make_study(tmp_path_factory.mktemp("agree") / "s").store
    set_study(store, STUDY)
    opened = fstore.open(store.path)
    for name in REPORTS:
        opened.report(name, quiet=True)
    browser = TestClient(application(opened), base_url="http://localhost")
    return Asking(opened, browser, random.Random(0))  # noqa: S311 - no secret


def shown(text: str) -> float:
    """Return a number as a page writes it."""
    return float(text.replace(",", "").replace("%", "").strip())


def agree(*numbers: object) -> None:
    """Compare numbers of full precision: they are equal but for the order of sums."""
    first, *others = numbers
    for other in others:
        assert other == pytest.approx(first, rel=1e-5, abs=1e-7)


def on_page(text: str, value: float) -> None:
    """Compare with a page, which writes three digits, or percent to one behind the point."""
    scale = 100 if "%" in text else 1
    slack = 0.0501 if "%" in text else max(5.1e-3 * abs(value), 1e-9)
    assert shown(text) == pytest.approx(scale * value, abs=slack)


# the questions


def average_precision(a: Asking) -> None:
    """Ask how well a filter tells a class from the others, on the test part."""
    of = a.of(dataset="g")
    channel, name = a.filter_of(of), a.chance.choice(CLASSES)
    text = a.page("/filter-charts", **of, channel=channel, part="official:test", **{"class": name})
    row = next(r for r in rows_of(text, "AP of all classes") if r[0] == name)
    (by_sql,) = a.sql(
        f"""SELECT voc_ap(act_max, label) AS ap_11, ap(act_max, label) AS ap_all, count(*) AS n,
            count_if(label = 1) AS positives
        FROM activations JOIN all_labels USING (dataset, "view", sample_id)
            JOIN splits USING (dataset, "view", sample_id)
            JOIN samples USING (dataset, "view", sample_id)
        WHERE {WHERE} AND channel = ? AND class = ? AND split = 'official' AND part = 'test'
            AND NOT difficult AND label != 0""",
        *of.values(),
        channel,
        name,
    )
    ranked = a.store.analyze.single_filters(
        of["layer"], of["ckpt"], "g", split="official", top=0, quiet=True
    )
    by_api = next(r for r in ranked if (r["class"], r["channel"]) == (name, channel))
    for i, key in enumerate(("ap_11", "ap_all"), start=1):
        agree(by_sql[key], by_api[key])
        on_page(row[i], by_sql[key])
    assert [int(shown(row[4])), int(shown(row[5]))] == [by_sql["positives"], by_sql["n"]]
    assert by_sql["n"] == by_api["n"]


def top_images(a: Asking) -> None:
    """Ask which samples a filter responds to most."""
    of = a.of()
    channel = a.filter_of(of)
    text = a.page("/filter", **of, channel=channel)
    block = text.partition('id="strongest"')[2].partition('id="random"')[0]
    listed = re.findall(r"sample=(\d+)\".*?<b>(.*?)</b>", block, re.DOTALL)[:5]
    by_sql = a.sql(
        f"""SELECT sample_id, act_max
        FROM activations JOIN samples USING (dataset, "view", sample_id)
        WHERE {WHERE} AND channel = ? AND NOT difficult ORDER BY act_max DESC, sample_id LIMIT 5""",
        *of.values(),
        channel,
    )
    by_api = a.store.analyze.top_images(
        of["layer"],
        of["ckpt"],
        of["dataset"],
        view=of["view"],
        channel=[channel],
        top=5,
        quiet=True,
    )
    assert [r["sample_id"] for r in by_sql] == [r["sample_id"] for r in by_api]
    agree(*([r["act_max"] for r in rows] for rows in (by_sql, by_api)))
    assert [int(sample) for sample, _ in listed] == [r["sample_id"] for r in by_sql]
    for (_, value), row in zip(listed, by_sql, strict=True):
        on_page(value, row["act_max"])


def stored(a: Asking) -> None:
    """Ask how many samples of a layer are stored, and what share of the responses is 0."""
    of = a.of()
    given = {name: value for name, value in of.items() if name != "layer"}
    row = next(r for r in rows_of(a.page("/layers", **given), "Layers of") if r[0] == of["layer"])
    (by_sql,) = a.sql(f"SELECT samples, bytes FROM partitions WHERE {WHERE}", *of.values())
    (by_api,) = [p for p in a.store.partitions() if all(p[n] == v for n, v in of.items())]
    assert int(shown(row[1])) == by_sql["samples"] == by_api["samples"]
    assert by_sql["bytes"] == by_api["bytes"]
    (nonzero,) = a.sql(
        f"""SELECT sum(nnz) / sum(height * width) AS share
        FROM activations JOIN layers USING (network, layer) WHERE {WHERE}""",
        *of.values(),
    )
    asked = (of["layer"], of["ckpt"], of["dataset"])
    X = a.store.features(*asked, view=of["view"], difficult=True).X
    agree(nonzero["share"], (X != 0).mean())
    on_page(row[4], 1 - nonzero["share"])


def report_cell(a: Asking) -> None:
    """Ask what stands in a cell of a report."""
    name = a.chance.choice(REPORTS)
    by_api = a.chance.choice(
        [r for r in a.store.report(name, quiet=True) if BESIDE not in r["col"]]
    )
    (by_sql,) = a.sql(
        """SELECT value, n FROM reports WHERE report = ? AND "row" = ? AND col = ?
        ORDER BY computed_at DESC LIMIT 1""",
        name,
        by_api["row"],
        by_api["col"],
    )
    assert (by_sql["value"], by_sql["n"]) == (by_api["value"], by_api["n"])
    table = a.page("/report", name=name).partition("<table>")[2].partition("</table>")[0]
    cells = re.findall(r"<td[^>]*>(-?[\d.]+)", table)
    assert any(float(cell) == pytest.approx(by_api["value"], abs=0.051) for cell in cells)


def class_counts(a: Asking) -> None:
    """Ask how many samples of a view show a class."""
    dataset, name = a.chance.choice(list(DATASETS)), a.chance.choice(CLASSES)
    text = a.page("/class", dataset=dataset, **{"class": name})
    rows = rows_of(text, f"How often {name}")
    row = next(r for r in rows if r[:2] == [DATASETS[dataset], "all"])
    (by_sql,) = a.sql(
        """SELECT count_if(label = 1) AS positives, count_if(label != 0) AS n FROM all_labels
        JOIN samples USING (dataset, "view", sample_id)
        WHERE dataset = ? AND "view" = ? AND class = ? AND NOT difficult""",
        dataset,
        DATASETS[dataset],
        name,
    )
    features = a.store.features("fc7", "5k", dataset, view=DATASETS[dataset])
    column = features.Y[:, list(features.classes).index(name)]
    assert by_sql == {"positives": int((column > 0).sum()), "n": int((column != 0).sum())}
    assert [int(shown(cell)) for cell in row[2:4]] == list(by_sql.values())


def firing(a: Asking) -> None:
    """Ask which filters of a layer respond most to a sample."""
    of, sample = a.of(), a.chance.randrange(48)
    text = a.page("/image/filters", **of, sample=sample)
    block = text.partition("Largest responses")[2]
    listed = re.findall(r"<b>(\d+)</b>: ([\d.,e-]+)", block)[:5]
    by_sql = a.sql(
        f"SELECT channel, act_max FROM activations WHERE {WHERE} AND sample_id = ? "
        "ORDER BY act_max DESC, channel LIMIT 5",
        *of.values(),
        sample,
    )
    features = a.store.features(
        of["layer"], of["ckpt"], of["dataset"], view=of["view"], pool="max", difficult=True
    )
    own = features.X[list(features.ids).index(sample)]
    assert [int(channel) for channel, _ in listed] == [r["channel"] for r in by_sql]
    for (channel, value), row in zip(listed, by_sql, strict=True):
        agree(row["act_max"], own[int(channel)])
        on_page(value, row["act_max"])


def change(a: Asking) -> None:
    """Ask which filters changed most between two checkpoints."""
    of = a.of(dataset=a.chance.choice("ds"))
    pair = {"a": "net/5k", "b": "net/15k"}
    text = a.page(
        "/compare/filters", dataset=of["dataset"], view="image", layer=of["layer"], **pair
    )
    rows = rows_of(text, "Filters that changed most")[1:4]
    by_sql = a.sql(
        """SELECT channel, 1 - corr(p.act_max::DOUBLE, q.act_max::DOUBLE) AS change
        FROM activations AS p JOIN activations AS q
            USING (network, dataset, "view", layer, sample_id, channel)
        WHERE p.ckpt = '5k' AND q.ckpt = '15k' AND dataset = ? AND "view" = 'image' AND layer = ?
        GROUP BY channel HAVING stddev_pop(p.act_max) > 0 AND stddev_pop(q.act_max) > 0
        ORDER BY change DESC LIMIT 3""",
        of["dataset"],
        of["layer"],
    )
    assert [int(row[0]) for row in rows] == [r["channel"] for r in by_sql]
    for row, other in zip(rows, by_sql, strict=True):
        on_page(row[1], other["change"])


def statement(a: Asking) -> None:
    """Ask any statement."""
    of = a.of()
    layer = of["layer"]
    text = (
        "SELECT channel, round(avg(act_max), 6) AS mean FROM activations WHERE "
        f"ckpt = '{of['ckpt']}' AND dataset = '{of['dataset']}' AND layer = '{layer}' "
        "GROUP BY channel ORDER BY channel"
    )
    page = rows_of(a.page("/sql", q=text), "Rows")[1:]
    by_api = a.store.sql(text).polars()
    assert [int(row[0]) for row in page] == by_api["channel"].to_list()
    for row, mean in zip(page, by_api["mean"], strict=True):
        agree(mean, shown(row[1]))


QUESTIONS: tuple[Callable[[Asking], None], ...] = (
    average_precision, top_images, stored, report_cell, class_counts, firing, change, statement,
)  # fmt: skip


@pytest.mark.parametrize("number", range(50))
def test_one_answer(asking: Asking, number: int) -> None:
    """Fifty questions, drawn at random, have the same answer wherever they are asked."""
    asking.chance.seed(number)
    QUESTIONS[number % len(QUESTIONS)](asking)
