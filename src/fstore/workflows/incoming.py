"""Which weights are imported: those of a file, or those that a library publishes under a name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fstore.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from fstore.extractor.networks import Network
    from fstore.extractor.preprocess import Preprocess
    from fstore.workflows.preparation import OwnPreprocess

__all__ = ["Incoming", "incoming", "prepared"]


@dataclass(frozen=True)
class Incoming:
    """Tensors, and what is known of them.

    Attributes
    ----------
    tensors : mapping of name to Tensor
        As they stand in the file.
    source : str
        Where they are from, for errors.
    preprocess : Preprocess or None
        How they want their input, where their publisher states it.
    about : dict
        For the checkpoint's recipe.
    """

    tensors: "Mapping[str, Tensor]"
    source: str
    preprocess: "Preprocess | None" = None
    about: dict[str, object] = field(default_factory=dict)


def incoming(
    network: "Network",
    file: Path | None,
    *,
    weights: str | None = None,
    key: str | None = None,
    say: Callable[[str], None],
) -> Incoming:
    """Read the weights that are to be imported for a network.

    Parameters
    ----------
    network : Network
        As its name builds it.
    file : Path or None
        A file, or a folder with weights in it.
    weights : str or None
        In place of a file: which set of the library that the network is of. It is downloaded,
        unless it is in the library's cache.
    key : str or None
        Which of several state dicts.
    say : function
        Told what was chosen.

    Raises
    ------
    DataError
        Both or neither of ``file`` and ``weights``; what cannot be read, or downloaded.
    UnknownNameError
        The library has no such weights.
    """
    from fstore.extractor.networks import fetched, published, published_as

    if (file is None) == (weights is None):
        raise DataError("give a file of weights, or --weights NAME of published ones: one of both")
    if file is not None:
        namesake = published_as(network.name, file)
        taken = _of_file(network, file, key=key, say=say)
        if namesake is None:
            return taken
        if namesake.preprocess is not None:
            say(f"{file.name} is the name of {namesake.title}: its input is prepared as these say")
        about = {**taken.about, "published": namesake.name}
        return Incoming(taken.tensors, taken.source, namesake.preprocess, about)
    entry = published(network.name, str(weights))
    if "://" in entry.url:
        say(f"{entry.title}, from {entry.url} unless they were downloaded before")
    content = fetched(entry)
    about = {"kind": "import", "published": entry.name, "url": entry.url}
    if isinstance(content, Path):
        taken = _of_file(network, content, key=key, say=say, training=entry.name)
        return Incoming(taken.tensors, str(content), entry.preprocess, {**taken.about, **about})
    return Incoming(content, entry.title, entry.preprocess, about)


def _of_file(
    network: "Network",
    file: Path,
    *,
    key: str | None,
    say: Callable[[str], None],
    training: str = "",
) -> Incoming:
    from fstore.extractor.networks import library_tensors
    from fstore.extractor.weights import choose_state, notes_on, read_states

    read = read_states(file)
    states = {part: library_tensors(network, t, training=training) for part, t in read.items()}
    chosen, tensors = choose_state(states, network, file, key=key)
    if chosen:
        say(f"{file}: took the state dict under {chosen!r}")
    for note in notes_on(tensors, network, str(file), read=read.get(chosen)):
        say(f"{file}: {note}")
    about: dict[str, object] = {"kind": "import", "file": file.name}
    return Incoming(tensors, str(file), about=about | ({"key": chosen} if chosen else {}))


def prepared(
    network: "Network", stated: "Preprocess | None", asked: "OwnPreprocess | None"
) -> "OwnPreprocess | None":
    """Return what the checkpoint's own preprocessing is, for :func:`preparation.with_own`.

    Parameters
    ----------
    network : Network
        Whose statement holds where nothing else is said.
    stated : Preprocess or None
        By the publisher of the weights.
    asked : mapping, Preprocess or None
        By the user: fields, which change what is stated, or a whole one, which replaces it.
    """
    if stated is None or stated == network.preprocess or not isinstance(asked, Mapping | None):
        return asked
    if asked:
        return stated.with_options(asked)
    return stated
