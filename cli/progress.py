"""Progress bars: on stderr, only where somebody watches."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Update", "bar"]

Update = Callable[[str, int, int, str], None]
"""Called with: what is being done, steps done, steps in all, a note such as ``31.4 images/s``."""


@contextmanager
def bar(*, quiet: bool, first: str = "") -> Iterator[Update]:
    """Draw a bar with the time left; nothing with ``--quiet`` or where stderr is no terminal.

    Parameters
    ----------
    quiet : bool
    first : str
        What is being done until the first step is told.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _what, _done, _total, _note: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task(first, total=None, note="", count="")

        def update(what: str, done: int, total: int, note: str) -> None:
            count = f"{done}/{total}"
            drawn.update(
                task, description=what, completed=done, total=total, note=note, count=count
            )

        yield update
