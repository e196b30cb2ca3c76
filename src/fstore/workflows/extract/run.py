"""Extraction into a store: what is missing, shard by shard, each committed as it is done."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from fstore.store.crowded import crowded
from fstore.store.runs import recorded
from fstore.store.unreadable import noting_unreadable
from fstore.workflows.extract.computing import Extraction
from fstore.workflows.extract.plan import Chosen, ExtractionOptions, LayerWork
from fstore.workflows.extract.summary import Progress, Summary

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Extraction", "ExtractionOptions", "Progress", "Summary", "extract"]


LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "pyarrow", "deltalake")
"""On whose versions responses may depend, or how they are stored."""


def extract(
    store: "Store",
    *,
    layers: Sequence[str],
    ckpts: Sequence[str],
    datasets: Sequence[str] = (),
    views: Sequence[str] = (),
    network: str | None = None,
    part: str | None = None,
    from_stored: str | None = None,
    options: ExtractionOptions | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Fill a store with the responses of layers to data sets; what is there is not redone.

    Parameters
    ----------
    store : Store
    layers : names, patterns and classes of modules; ``all`` adds the network's declared layers
        As :func:`fstore.extractor.choosing.choose_layers` reads them; ``a,b`` is two.
    ckpts : names of checkpoints, or ``network/name``
    datasets, views : names; empty for all registered data sets, and for views image and gt
    network : str or None
        Whose checkpoints are meant, where names are ambiguous.
    part : str or None
        As :meth:`fstore.store.parts.Part.parse` reads it: ``test``, ``official:test``,
        ``random:0:trainval``. None for all samples.
    from_stored : str or None
        Stored layer below those asked for: its responses are read and the rest of the network is
        run on them, in place of a pass over the images.
    options : ExtractionOptions
    on_progress : called after each batch

    Returns
    -------
    Summary

    Raises
    ------
    UnknownNameError
        No such checkpoint, data set, view, layer or part; ``from_stored`` is not stored.
    IdentityError
        The name of a checkpoint, data set or layer stands for other content in the store.
    DataError
        A file changed since it was registered, or more than ``max_bad`` images are unreadable.
    StorageError
        The disk is full, or the store cannot be written.
    """
    chosen = Chosen(layers, ckpts, datasets, views, network, part, from_stored)
    options = options or ExtractionOptions()
    work = Extraction(store, chosen, options, on_progress=on_progress)
    asked = asdict(chosen) | ({"rectify": True} if options.rectify else {})
    with recorded(store, "extract", asked, libraries=LIBRARIES) as run:
        work.summary.run_id = run.run_id
        try:
            with noting_unreadable(store, work.summary.quarantined):
                _do(work, work.plan())
        finally:
            work.summary.seconds = work.seconds
            work.tell(run)
    work.summary.notes += crowded(store.place, work.fingerprints)
    return work.summary


def _do(work: "Extraction", jobs: "list[LayerWork]") -> None:
    """Run the jobs here, or on a cluster."""
    if work.options.ray is None:
        work.do(jobs)
        return
    from fstore.workflows.extract.spread import spread

    spread(work, jobs)
