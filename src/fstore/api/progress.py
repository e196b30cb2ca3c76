"""How far long work is: one line on stderr that is written over, where somebody watches."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.workflows.extract.plan import Chosen, ExtractionOptions
    from fstore.workflows.extract.run import Progress, Summary

__all__ = ["extracted", "shown", "tell"]

EVERY_S = 0.2


@contextmanager
def shown(*, quiet: bool) -> Iterator[OnProgress]:
    """Give what is told of long work; it writes a line in a terminal or a notebook, else nothing.

    Parameters
    ----------
    quiet : bool
        Write nothing there either.
    """
    if quiet or not _is_watched():
        yield lambda _what, _done, _total, _note: None
        return
    width, last = 0, float("-inf")

    def update(what: str, done: int, total: int, note: str) -> None:
        nonlocal width, last
        now = monotonic()
        if now - last < EVERY_S and done < total:
            return
        last = now
        share = f"{100 * done // total} %" if total else ""
        text = "  ".join(filter(None, [what, f"{done}/{total}", share, note]))
        _write(f"\r{text.ljust(width)}")
        width = len(text)

    try:
        yield update
    finally:
        if width:
            _write(f"\r{' ' * width}\r")


def tell(lines: Iterable[str], *, quiet: bool) -> None:
    """Write sentences that a user must know to stderr."""
    if not quiet:
        for line in lines:
            _write(f"{line}\n")


def extracted(
    store: "Store", chosen: "Chosen", options: "ExtractionOptions", *, quiet: bool
) -> "Summary":
    """Extract what was chosen, and show how far it is; return what was added."""
    from fstore.workflows.extract.run import extract

    with shown(quiet=quiet) as update:

        def progress(state: "Progress") -> None:
            speed = f"{state.images_per_s:.1f} images/s"
            update(state.job, state.done, state.total, speed)

        summary = extract(
            store,
            layers=chosen.layers,
            ckpts=chosen.ckpts,
            datasets=chosen.datasets,
            views=chosen.views,
            network=chosen.network,
            part=chosen.part,
            from_stored=chosen.from_stored,
            options=options,
            on_progress=progress,
        )
    bad = [f"left out: {sample['reason']}" for sample in summary.quarantined]
    tell([*bad, *dict.fromkeys(summary.notes)], quiet=quiet)
    return summary


def _is_watched() -> bool:
    """Say whether stderr is a terminal, or the output of a notebook's cell."""
    return sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel.")


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
