"""Where commands write what is beside a store: a folder of this machine, whatever the store is."""

from pathlib import Path
from typing import TYPE_CHECKING

from fstore.cli.output import note

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["page_beside", "tell_of_work"]


def page_beside(store: str) -> Path:
    """Return where the page of a store is built: in its folder, or here if it is in none.

    Parameters
    ----------
    store : str
        A path or a URI, as ``--store`` has it.
    """
    from fstore.store.local import local_folder
    from fstore.store.places import place_at

    if "://" not in store:
        return Path(store) / "page"
    folder = local_folder(place_at(store))
    return Path("fstore-page") if folder is None else folder / "page"


def tell_of_work(store: "Store", folder: str, what: str, *, quiet: bool) -> None:
    """Say where work in hand is, of a store that cannot hold it: on this machine alone.

    Parameters
    ----------
    store : Store
    folder : str
        Of the store, where its work in hand would be.
    what : str
        For people: what is kept there.
    """
    from fstore.store.local import local_folder

    if not quiet and local_folder(store.place) is None:
        where = store.place.workspace(folder)
        note(f"{what} in {where}, on this machine only, until it is in the store")
