"""How many objects the stored proposals find."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore import commands
from fstore.errors import UnknownNameError
from fstore.queries.analyses._api import analysis
from fstore.queries.figures.proposal_recall import ALL, draw_recall

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fstore.store import Store

__all__ = ["proposal_recall"]

BEST = """
WITH ranked AS (
    SELECT sample_id, sample_id - min(sample_id) OVER (PARTITION BY image_id) + 1 AS rank
    FROM samples WHERE dataset = ? AND view = 'proposal'
),
searched AS (
    SELECT DISTINCT image_id FROM samples WHERE dataset = ? AND view = 'proposal'
),
objects AS (
    SELECT s.sample_id, s.image_id, l.class
    FROM samples s JOIN labels l USING (dataset, view, sample_id)
    WHERE s.dataset = ? AND s.view = 'gt' AND NOT s.difficult
        AND s.image_id IN (SELECT image_id FROM searched)
),
met AS (
    SELECT o.gt_sample_id AS sample_id, o.iou,
        len([c FOR c IN $counts IF c < r.rank]) AS step
    FROM "overlaps" o JOIN ranked r USING (sample_id) WHERE o.dataset = ?
)
SELECT o.sample_id, o.image_id, o.class, coalesce(m.step, 0) AS step,
    coalesce(max(m.iou), 0)::FLOAT AS iou
FROM objects o LEFT JOIN met m USING (sample_id)
GROUP BY ALL ORDER BY sample_id, step
"""
"""Best overlap of each object with the proposals between two counts; ``step`` numbers those."""

LONGEST = """
SELECT count(*) AS n FROM samples WHERE dataset = ? AND view = 'proposal'
GROUP BY image_id ORDER BY n DESC LIMIT 1
"""


@analysis(
    "proposal-recall",
    title="Objects that region proposals find, by proposals an image and by overlap",
    source="section 2.1 (regions of PASCAL-DET); the measure is that of Uijlings et al. 2013",
    columns=("class", "proposals", "iou", "recall", "low", "high", "objects", "images"),
    plot=draw_recall,
)
def proposal_recall(
    store: "Store",
    *,
    dataset: str,
    part: str = "",
    split: str = "official",
    seed: int = 0,
    by_class: bool = False,
) -> list[dict[str, Any]]:
    """Count the objects whose overlap with one of the first proposals reaches a threshold.

    Difficult objects are left out, and images that were not searched.

    Parameters
    ----------
    store : Store
        Where the proposals are.
    dataset : str
        Data set.
    part : str
        Only images of this part: train, val or test; all if empty.
    split : str
        Split of the part: official or random.
    seed : int
        Which of the random splits.
    by_class : bool
        Add rows for each class.

    Returns
    -------
    list of dict
        A row a number of proposals and an overlap, from 0.5 to 1; the largest number is that of
        the longest list. ``recall`` from 0 to 1, ``low`` and ``high`` its 95 % bootstrap interval
        over images.

    Raises
    ------
    UnknownNameError
        The data set has no proposals or no ground truth; the message has the command.
    """
    from fstore.queries.detection.recall import recall_rows
    from fstore.store.parts import Samples, sample_ids

    counts = _counts(store, dataset)
    objects, best = _best(store, dataset, counts)
    if part:
        ids = sample_ids(store, Samples(dataset, "gt", split, seed, part), difficult=True)
        keep = np.isin(objects["sample_id"], ids)
        objects, best = {k: v[keep] for k, v in objects.items()}, best[keep]
    groups = {ALL: np.ones(len(best), dtype=bool)}
    if by_class:
        groups |= {c: objects["class"] == c for c in store.dataset(dataset).classes}
    return [
        {"class": name, **row}
        for name, mine in groups.items()
        for row in recall_rows(best[mine], objects["image_id"][mine], counts)
    ]


def _counts(store: "Store", dataset: str) -> list[int]:
    """Numbers of proposals to tell recall at; the last one is the longest list's."""
    from fstore.queries.detection.recall import COUNTS

    views = store.dataset(dataset).views
    if "proposal" not in views:
        raise UnknownNameError(
            f"data set '{dataset}' has no proposals; find them with: "
            + commands.proposals(store.place, dataset=dataset)
        )
    if "gt" not in views:
        raise UnknownNameError(f"data set '{dataset}' has no labelled boxes to compare with")
    longest = int(store.sql(LONGEST, [dataset]).arrow()["n"][0].as_py())
    return [c for c in COUNTS if c < longest] + [longest]


def _best(
    store: "Store", dataset: str, counts: Sequence[int]
) -> "tuple[dict[str, NDArray[Any]], NDArray[np.float32]]":
    """Return the objects, and each one's best overlap with the first ``counts`` proposals."""
    statement = BEST.replace("$counts", str(list(counts)))
    overlaps = store.sql(statement, [dataset] * 4).arrow()
    ids, first = np.unique(overlaps["sample_id"].to_numpy(), return_index=True)
    best = np.zeros((len(ids), len(counts)), dtype=np.float32)
    at = np.searchsorted(ids, overlaps["sample_id"].to_numpy())
    best[at, overlaps["step"].to_numpy()] = overlaps["iou"].to_numpy()
    objects = {
        name: np.asarray(overlaps[name].to_pylist(), dtype=kind)[first]
        for name, kind in (("sample_id", np.int64), ("image_id", str), ("class", str))
    }
    return objects, np.maximum.accumulate(best, axis=1)
