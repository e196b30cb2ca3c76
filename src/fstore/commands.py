"""The commands that messages suggest: built here, and nowhere else.

Each function is named for the command that it builds (``report_show`` for ``fstore report show``)
and returns one line for a shell, quoted. Its first argument is the store that the command is for,
or None where no store is at hand.

``--store PATH`` is part of the line, unless a command that is typed in this folder, with these
environment variables, would open that store anyway (:func:`default_place`).

A test gives every line to the real command line. Whether what a line names is in the store is for
the caller to see to: ``store/remedies.py`` does so for activations.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import TypeAlias

__all__ = [
    "ckpt_import",
    "ckpt_init",
    "ckpt_trust",
    "compact",
    "dataset_add",
    "default_place",
    "detect_eval",
    "detect_train",
    "drop",
    "explore",
    "extract",
    "gc",
    "index",
    "init",
    "layers",
    "portable",
    "proposals",
    "report_build",
    "report_findings",
    "report_list",
    "report_refresh",
    "report_show",
    "sql",
    "status",
    "study_set",
    "train_finetune",
    "train_pretrain",
    "verify",
]

Where: TypeAlias = object
"""Where a store lies, as ``str`` tells it; None where none is at hand."""

Value: TypeAlias = "str | os.PathLike[str] | float | bool | None"


def default_place() -> str:
    """Return where the store is that a command without ``--store`` opens.

    The program asks here, too: what a line may leave out and what is then taken is one rule.
    """
    return os.environ.get("FSTORE_STORE") or "fstore-store"


def portable(text: str, store: Where, *, to: Where = None) -> str:
    """Return a text whose commands name no store, for readers on other machines, or another one.

    Parameters
    ----------
    text : str
        Holds lines that were built for the store.
    store : path
    to : path or None
        The store to name.
    """
    old, new = (" ".join(["", *map(shlex.quote, _store_words(place))]) for place in (store, to))
    return text.replace(old, new) if old else text


# The store itself


def init(store: Where) -> str:
    """Return the command that makes a store."""
    return _line(store, "init")


def status(store: Where) -> str:
    """Return the command that lists what is stored."""
    return _line(store, "status")


def sql(store: Where, statement: str) -> str:
    """Return the command that runs a statement."""
    return _line(store, "sql", statement)


def verify(store: Where, *, add_checksums: bool = False) -> str:
    """Return the command that lists what is wrong in a store."""
    return _line(store, "verify", options=_flags(add_checksums=add_checksums))


def index(store: Where, where: Mapping[str, str]) -> str:
    """Return the command that writes the sidecars of activations that fit some names."""
    return _line(store, "index", options=_options(where))


def compact(store: Where, where: Mapping[str, str]) -> str:
    """Return the command that puts the small files of activations that fit some names together."""
    return _line(store, "compact", options=_options(where))


def gc(store: Where, *, older_than: float | None = None) -> str:
    """Return the command that deletes files that no table refers to; ``older_than`` in hours."""
    return _line(store, "gc", options=_options({"older_than": older_than}))


def drop(
    store: Where, where: Mapping[str, str], *, checkpoint: bool = False, yes: bool = False
) -> str:
    """Return the command that removes what fits some names.

    Parameters
    ----------
    store : path
    where : mapping
        ``network``, ``ckpt``, ``dataset``, ``view``, ``layer`` to a name; any of them.
    checkpoint, yes : bool
        The weights go, too; without asking.
    """
    words = _options(where) + _flags(checkpoint=checkpoint, yes=yes)
    return _line(store, "drop", options=words)


# What is stored


def dataset_add(
    store: Where,
    name: str,
    *,
    format: str,  # noqa: A002 - the option's name
    root: Value = None,
    seeds: Sequence[int] = (),
    fractions: Sequence[float] | None = None,
    options: Mapping[str, Value] | None = None,
) -> str:
    """Return the command that registers a data set; ``options`` are those of its format.

    An option that is False is left out, for that is what it is then.
    """
    words = _options({"format": format, "root": root, "seeds": _listed(seeds)})
    words += _options({"fractions": _listed(fractions or ())})
    given = {key: value for key, value in (options or {}).items() if value is not False}
    return _line(store, "dataset add", name, options=words + _options(given))


def ckpt_import(
    store: Where,
    file: str | os.PathLike[str] = "FILE",
    *,
    network: str,
    name: str,
    options: Mapping[str, Value] | None = None,
) -> str:
    """Return the command that imports weights; ``options`` such as ``iteration`` and ``mean``."""
    words = _options({"network": network, "name": name, **(options or {})})
    return _line(store, "ckpt import", os.fspath(file), options=words)


def ckpt_init(
    store: Where,
    *,
    network: str,
    name: str,
    seed: int = 0,
    options: Mapping[str, Value] | None = None,
) -> str:
    """Return the command that registers a network's random initial weights."""
    words = _options({"network": network, "name": name, "seed": seed, **(options or {})})
    return _line(store, "ckpt init", options=words)


def ckpt_trust(store: Where, network: str) -> str:
    """Return the command that agrees to run a network's code when a store names it."""
    return _line(store, "ckpt trust", network)


def proposals(
    store: Where,
    *,
    dataset: str,
    method: str | None = None,
    max_proposals: int | None = None,
    part: str | None = None,
) -> str:
    """Return the command that finds proposals in a data set's images, or in a part of them."""
    words = _options({"dataset": dataset, "method": method, "max_proposals": max_proposals})
    return _line(store, "proposals", options=words + _split_words(part=part))


def extract(
    store: Where,
    *,
    layers: Sequence[str],
    ckpts: Sequence[str],
    dataset: str,
    view: str,
    part: str | None = None,
    precision: str | None = None,
    rectify: bool = False,
) -> str:
    """Return the command that extracts layers of one view of a data set, or of a part of it.

    ``layers`` may be patterns; they are quoted, so that the shell leaves them alone.
    """
    words = _repeated("layer", layers) + _repeated("ckpt", ckpts)
    words += _options({"dataset": dataset, "view": view}) + _split_words(part=part)
    words += _options({"precision": precision}) + _flags(rectify=rectify)
    return _line(store, "extract", options=words)


def layers(store: Where, network: str) -> str:
    """Return the command that lists every layer of a network, those not declared as well."""
    return _line(store, "layers", network, options=["--all"])


# Training


def train_pretrain(
    store: Where,
    *,
    network: str,
    dataset: str,
    iterations: int,
    snapshots: Sequence[int],
    seed: int = 0,
    split: str | None = None,
    name_prefix: str = "",
    changes: Mapping[str, Value] | None = None,
) -> str:
    """Return the command that trains a network from initial weights.

    Zeros and an empty prefix, which are the defaults, are left out; ``changes`` are entries of
    the recipe.
    """
    words = _options({"network": network, "dataset": dataset, "iterations": iterations})
    words += _options({"snapshots": _listed(snapshots), "seed": seed or None})
    words += _options({"split": split})
    words += _options({"name_prefix": name_prefix or None, **(changes or {})})
    return _line(store, "train pretrain", options=words)


def train_finetune(
    store: Where,
    *,
    network: str,
    parent: str | None,
    mode: str,
    datasets: Sequence[str],
    view: str,
    split: str,
    seed: int,
    name: str,
    iterations: int | None = None,
    trainval: bool = False,
    changes: Mapping[str, Value] | None = None,
) -> str:
    """Return the command that fine-tunes a checkpoint, or trains one from scratch.

    ``seed`` is that of the training and of the split; ``changes`` are entries of the recipe.
    """
    words = _options({"network": network, "from": parent, "mode": mode})
    words += _repeated("dataset", datasets) + _options({"view": view})
    words += _split_words(split=split, seed=None if split == "official" else seed)
    words += _options({"seed": seed, "name": name, "iterations": iterations})
    words += _flags(trainval=trainval) + _options(changes or {})
    return _line(store, "train finetune", options=words)


def detect_train(
    store: Where,
    *,
    layer: str,
    ckpt: str,
    datasets: Sequence[str],
    ablation: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
) -> str:
    """Return the command that trains detectors."""
    words = _options({"layer": layer, "ckpt": ckpt}) + _repeated("dataset", datasets)
    words += _options({"ablation": ablation, "name": name}) + _flags(overwrite=overwrite)
    return _line(store, "detect train", options=words)


def detect_eval(store: Where, detector: str) -> str:
    """Return the command that tests a detector."""
    return _line(store, "detect eval", detector)


# Studies and reports


def study_set(store: Where, file: str | os.PathLike[str] = "FILE") -> str:
    """Return the command that makes a file's study the one that reports are of."""
    return _line(store, "study set", os.fspath(file))


def report_findings(store: Where) -> str:
    """Return the command that checks the paper's claims on the current study's numbers."""
    return _line(store, "report findings")


def report_list(store: Where, *, study: str | None = None) -> str:
    """Return the command that lists how reports stand; ``study`` None is the one set last."""
    return _line(store, "report list", options=_options({"study": study}))


def report_show(
    store: Where, name: str, *, study: str | None = None, plot: str | None = None
) -> str:
    """Return the command that computes and shows a report, or draws it to a file."""
    return _line(store, "report show", name, options=_options({"study": study, "plot": plot}))


def report_refresh(store: Where, *names: str, study: str | None = None) -> str:
    """Return the command that computes what is stale of some reports, or of all."""
    return _line(store, "report refresh", *names, options=_options({"study": study}))


def report_build(store: Where, out: str | os.PathLike[str], *, overwrite: bool = False) -> str:
    """Return the command that builds the page of a study."""
    return _line(store, "report build", os.fspath(out), options=_flags(overwrite=overwrite))


def explore(store: Where) -> str:
    """Return the command that shows the store in the browser."""
    return _line(store, "explore", options=_flags(open=True))


# Words


def _split_words(
    *, part: str | None = None, split: str | None = None, seed: int | None = None
) -> list[str]:
    """Return the options that choose a split, or a part of one: their spelling is only here.

    ``part`` is ``test`` or ``random:0:test``; of a split and a seed, the seed is left out where the
    split has none.
    """
    if part is not None:
        whose, _, name = part.rpartition(":")
        return _options({"split": whose or None, "part": name})
    if seed is None:
        return _options({"split": split})
    return _options({"split": f"{split or 'random'}:{seed}"})


def _line(store: Where, command: str, *arguments: str, options: Sequence[str] = ()) -> str:
    """Return a whole line; arguments that look like options stand at its end, after ``--``."""
    first = not any(word.startswith("-") for word in arguments)
    words = [*command.split(), *(arguments if first else ()), *options, *_store_words(store)]
    return shlex.join(["fstore", *words, *(() if first else ("--", *arguments))])


def _store_words(store: Where) -> list[str]:
    """Return the option that names a store, or nothing where that is not needed."""
    if store is None or os.path.realpath(str(store)) == os.path.realpath(default_place()):
        return []
    return _options({"store": str(store)})


def _options(values: Mapping[str, Value]) -> list[str]:
    """Return options, those that are None left out: ``--batch-size 64 --no-mirror``."""
    words: list[str] = []
    for name, value in values.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            text = str(value)
            words += [f"--{flag}={text}"] if text.startswith("-") else [f"--{flag}", text]
    return words


def _repeated(name: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in _options({name: value})]


def _flags(**values: bool) -> list[str]:
    """Return the options that are True; they have no other form."""
    return _options({name: True for name, value in values.items() if value})


def _listed(numbers: Sequence[float]) -> str | None:
    return ",".join(map(str, numbers)) or None
