"""The options that choose a split and a part of it: the same words and defaults everywhere.

``--split NAME[:SEED]`` is read by every command that reads a split, ``--part NAME`` by those that
read one part of it. Where no split is named it is the only one that the data set has, else the
official one; else an error has the options that choose one. Earlier spellings still count, with a
warning on stderr that has the new one.
"""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fstore.cli.output import note
from fstore.errors import UnknownNameError

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.store.parts import Split

__all__ = [
    "OldSeed",
    "OldSplitSeed",
    "PartName",
    "SplitName",
    "part_meant",
    "part_words",
    "split_meant",
]

SplitName = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="NAME[:SEED]",
        help="official, random:0, random:1, ... Default: the only one there is, else official.",
    ),
]
PartName = Annotated[
    str | None,
    typer.Option("--part", help="Only train, val, test, or trainval: both. Default: all."),
]
OldSeed = Annotated[int | None, typer.Option("--seed", hidden=True)]
OldSplitSeed = Annotated[int | None, typer.Option("--split-seed", hidden=True)]


def split_meant(
    ctx: Any,  # noqa: ANN401 - typer's own copy of click
    store: "Store",
    datasets: Sequence[str],
    *,
    split: str | None,
    seed: int | None = None,
    seed_option: str = "--seed",
    official_first: bool = False,
) -> "Split":
    """Return the split that is named, else the one that data sets are used with by default.

    Parameters
    ----------
    ctx : typer.Context
    store : Store
    datasets : sequence of str
        They count as one.
    split : str or None
        Of ``--split``.
    seed : int or None
        Of an option that gave the seed of a split, which ``--split`` does now.
    seed_option : str
        How that is spelled.
    official_first : bool
        Such a seed alone does not count where there is an official split.

    Raises
    ------
    DataError
        ``--split`` has another form.
    UnknownNameError
        None is named and it is not clear which is meant; no such data set.
    """
    from fstore.store.parts import Split, default_split, splits_of

    if seed is not None:
        own = splits_of(store, datasets[0])
        unused = official_first and split is None and Split() in own
        chosen = Split() if unused else _with_seed(datasets[0], own, split, seed=seed)
        given = ["--split", split] if split is not None else []
        _deprecated([*given, seed_option, str(seed)], chosen.options())
        return chosen
    if split is not None:
        return Split.parse(split)
    chosen = default_split(store, datasets)
    if chosen != Split() and not ctx.obj["quiet"]:
        whose = "of data set" if len(datasets) == 1 else "that is in all of"
        note(f"split {chosen}: the only one {whose} " + ", ".join(f"'{name}'" for name in datasets))
    return chosen


def _with_seed(dataset: str, own: "Sequence[Split]", split: str | None, *, seed: int) -> "Split":
    """Return which of a data set's splits a seed means, beside a name or alone."""
    from fstore.store.parts import Split, several_splits

    if split is not None:
        named = Split.parse(split)
        if ":" in split:
            raise typer.BadParameter(f"--split {split} says which one; leave the seed {seed} out")
        return Split(named.name, seed)
    fit = [s for s in own if s.seed == seed]
    if len(fit) == 1 or Split() in fit:
        return fit[0]  # the official one is the first
    if fit:
        raise several_splits(dataset, fit)
    options = "; or ".join(" ".join(s.options()) for s in own)
    instead = f"in its place add: {options}" if own else "it has none"
    raise UnknownNameError(f"data set '{dataset}' has no split with seed {seed}; {instead}")


def part_meant(
    ctx: Any,  # noqa: ANN401
    store: "Store",
    dataset: str,
    *,
    split: str | None,
    part: str | None,
    seed: int | None = None,
) -> "Split | None":
    """Return the split of a part that may be left out; None without a part.

    Raises
    ------
    BadParameter
        A split is named and no part of it.
    DataError, UnknownNameError
        As for :func:`split_meant`.
    """
    if not part:
        _check_part(split, part, seed)
        return None
    return split_meant(ctx, store, [dataset], split=split, seed=seed)


def part_words(split: str | None, part: str | None) -> str | None:
    """Return what ``--split`` and ``--part`` name, as text; None without a part.

    For commands that look at several data sets: each has its own default split.

    Raises
    ------
    BadParameter
        A split is named and no part of it.
    DataError, UnknownNameError
        One of the two has another form.
    """
    from fstore.store.parts import PART_NAMES, Part, Split

    if split is not None and split.rpartition(":")[2] in PART_NAMES:
        if part is not None:
            raise typer.BadParameter(f"--split {split} names a part, and so does --part {part}")
        named = Part.parse(split)
        _deprecated(["--split", split], named.options())
        return str(named)
    _check_part(split, part)
    if part is None:
        return None
    named = Part.parse(part)
    if named.split is not None:
        raise UnknownNameError(f"'{part}' is no part alone; write: {shlex.join(named.options())}")
    return str(Part(named.name, Split.parse(split) if split is not None else None))


def _check_part(split: str | None, part: str | None, seed: int | None = None) -> None:
    if not part and (split is not None or seed is not None):
        raise typer.BadParameter(
            "--split says of which split a part is meant; add --part train, --part val or "
            "--part test"
        )


def _deprecated(old: Sequence[str], new: Sequence[str]) -> None:
    """Tell on stderr, also with ``--quiet``, how something is spelled now."""
    note(f"warning: {shlex.join(old)} will not be read in the next release; use: {shlex.join(new)}")
