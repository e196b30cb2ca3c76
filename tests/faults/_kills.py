"""SIGKILL at random moments: the command run again must end as if nothing had happened."""

import json
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from _bases import BASES, Base
from _contents import contents, differences, leftovers, problems, save, strays
from _figures import Figures, campaign, draw_seed, rounds
from _harness import Moment, call, copy, kill_at, measure, moments

__all__ = ["count", "judge", "judged", "undisturbed"]

TRIES = 20


def shots(place: Path, n: int, seed: int, *, base: Base) -> Figures:
    """Kill a command n times, each time over a fresh copy of a store, and judge what it left."""
    figures = Figures(f"kill: {base.name}")
    ready, right, seconds, changes = undisturbed(place, base)
    drawn = moments(n, draw_seed(seed, base.name), seconds, changes)
    for i in rounds(n):
        moment = drawn[i]
        root = place / f"shot{i}"
        if not _kill_once(ready, root, base.words, moment):
            continue
        figures.injected += 1
        count(figures, judged(root, base.words, right), f"{moment}")
    return figures


def undisturbed(place: Path, base: Base) -> tuple[Path, Path, float, int]:
    """Make a store, run a command over a copy, and note what it then holds.

    Returns the store, the file that says what is right, and the seconds and changes of the run.
    """
    ready, right = place / "ready", place / "right.pickle"
    call(base.make, ready)
    whole = copy(ready, place / "whole")
    seconds, changes = measure(whole, base.words)
    assert _files(whole) != _files(ready), f"{base.words} did nothing"
    call(save, whole, right)
    return ready, right, seconds, changes


def _files(root: Path) -> set[str]:
    """Name the files of contents: what a command notes about itself is none."""
    paths = (p.relative_to(root) for p in root.rglob("*") if p.is_file())
    return {str(p) for p in paths if p.parts[0] not in {"runs", "sums", "locks", "refreshes"}}


def _kill_once(ready: Path, root: Path, words: Sequence[str], moment: Moment) -> bool:
    """Kill a run; if it ended before, sooner and sooner."""
    for attempt in range(TRIES):
        copy(ready, root)
        sooner = 0.9**attempt
        late = Moment(moment.seconds * sooner, max(int(moment.change * sooner), 1))
        if kill_at(root, words, late if moment.change else Moment(late.seconds)):
            return True
    return False


def judged(root: Path | str, words: Sequence[str], right: Path) -> dict[str, object]:
    """Call :func:`judge` in a process of its own, and return what it wrote."""
    out = right.parent / "verdict.json"
    out.unlink(missing_ok=True)
    call(judge, root, list(words), right, out)
    verdict: dict[str, object] = json.loads(out.read_text())
    return verdict


def judge(root: Path | str, words: list[str], right: Path, out: Path) -> None:
    """Run a command again and gc after it; write what the store lacks, and what verify says.

    What verify says of the undisturbed store, too, is no fault: some builders' weights are empty.
    """
    from typer.testing import CliRunner

    from fstore.cli import app

    said = []
    for line in (words, ["gc", "--older-than", "0"]):
        done = CliRunner().invoke(app, ["--store", str(root), *line])
        said += [done.output] if done.exit_code else []
    wanted, faulty = pickle.loads(right.read_bytes())  # noqa: S301 - ours
    held = contents(root)
    differs = differences(wanted, held)
    verdict = {"lost": differs.lost, "doubled": differs.doubled, "stale": differs.stale}
    found = [p for p in problems(root) if p not in faulty]
    more = {"left": leftovers(root) + strays(wanted, held), "problems": found, "said": said}
    out.write_text(json.dumps(verdict | more))


def count(
    figures: Figures,
    verdict: dict[str, object],
    when: str,
    *,
    refused: bool = False,
    weight: int = 1,
) -> None:
    """Add what became of a shot; ``refused``: the command that met the fault said so itself."""
    lost, doubled, stale = (int(str(verdict[k])) for k in ("lost", "doubled", "stale"))
    left, found, said = (list(verdict[k]) for k in ("left", "problems", "said"))  # type: ignore[call-overload]
    figures.lost += lost
    figures.doubled += doubled
    figures.stale += stale
    figures.left += len(left)
    wrong = bool(lost or doubled or stale or left)
    told = bool(found or said)
    figures.told += weight * (told or refused)
    figures.harmless += weight * (not wrong and not told and not refused)
    figures.silent += wrong and not told
    if wrong or told:
        figures.notes.append(f"{when}: {verdict}")


def _register(base: Base) -> Callable[[Path, int, int], Figures]:
    run: Callable[[Path, int, int], Figures] = partial(shots, base=base)
    return campaign(f"kill-{base.name.replace(' ', '-')}", n=50, small=2)(run)


for _base in BASES:
    _register(_base)
