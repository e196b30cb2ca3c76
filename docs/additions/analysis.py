"""Filters that never fire."""

from typing import TYPE_CHECKING, Any

from fstore.queries.analyses import analysis

if TYPE_CHECKING:
    from fstore.store import Store


@analysis(
    "silent-filters",
    title="Filters that never fire",
    source="section 3.2",
    columns=("dataset", "view", "channel"),
)
def silent_filters(store: "Store", *, layer: str, ckpt: str) -> list[dict[str, Any]]:
    """List the filters that fire for no sample of a data set.

    Parameters
    ----------
    layer, ckpt : str
        Of which network does not matter: all that have them are looked at.
    """
    statement = """
        SELECT dataset, "view", channel FROM activations WHERE layer = ? AND ckpt = ?
        GROUP BY dataset, "view", channel HAVING max(act_max) <= 0 ORDER BY ALL
    """
    return list(store.sql(statement, [layer, ckpt]).rows())
