"""Which layers are meant: by name, by pattern, by the class of a module, or ``all``.

A word that a user gives for layers means, in this order:

1. ``all``: the declared layers.
2. A layer of exactly that name: declared, beside the network's own, a module path, a node.
3. With ``*``, ``?`` or ``[``: a pattern over the names of declared layers, of layers beside the
   network's own and of modules. ``*`` and ``?`` stop at dots, ``**`` does not: ``blocks.*.mlp`` is
   ``blocks.0.mlp`` and not ``blocks.0.branch.mlp``. Upper and lower case differ. Where no such name
   matches, the nodes of the traced graph are tried, and then the pattern's last word is taken for
   a part of an output: ``layers.*.attention.0``.
4. The class of a module, in upper or lower case: ``relu`` is every module of class ``ReLU``. Those
   that are a declared layer are stored under its declared name.

Layers that a pattern or a class finds and that cannot be stored are left out, with a note. Those
that are named exactly are errors when they are placed.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from fstore import commands
from fstore.errors import DataError, FstoreError, UnknownNameError
from fstore.extractor.dry_runs import PREFIX, find_tap
from fstore.extractor.networks import Network
from fstore.extractor.placing import place
from fstore.extractor.wiring import Wiring

__all__ = ["Choice", "choose_layers"]

WILD = re.compile(r"[*?\[]")
NEAR = 5
"""Names that a message suggests at most."""
SHOWN = 4
"""Names that a note lists at most."""


@dataclass
class Choice:
    """The layers that some words mean.

    Attributes
    ----------
    layers : dict of layer name to word
        What is meant, in the order in which it was asked for, and the word that meant it first.
    notes : list of str
        What was left out and why, and how a word of two meanings was read.
    """

    layers: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, layers: Iterable[str], word: str) -> None:
        """Add layers that are not among them yet."""
        for layer in layers:
            self.layers.setdefault(layer, word)


def choose_layers(network: Network, words: Sequence[str]) -> Choice:
    """Return the layers that words mean: names, patterns, classes of modules, ``all``.

    Parameters
    ----------
    network : Network
    words : sequence of str
        A word with commas is several, unless the network has a layer of that name.

    Raises
    ------
    UnknownNameError
        A word means nothing that the network has; names near it are listed.
    DataError
        All that a pattern or a class means cannot be stored, or the forward pass fails.
    """
    return _Chooser(network).choose(words)


class _Chooser:
    """The names of one network, and what words mean among them."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.wiring = Wiring(network.model)
        self.named = list(dict.fromkeys([*network.layers, *network.beside, *self.wiring.modules]))
        self.declared = {tap: name for name, tap in reversed([*network.layers.items()])}

    def choose(self, words: Sequence[str]) -> Choice:
        choice = Choice()
        for word in words:
            for each in self._listed(word):
                self._add(choice, each)
        return choice

    def _listed(self, word: str) -> list[str]:
        """Split a word at its commas, but for those in brackets and in a layer's own name."""
        if "," not in word or word in self.named or word in self.wiring.nodes:
            return [word]
        return [part.strip() for part in re.split(r",(?![^\[\]]*\])", word)]

    def _add(self, choice: Choice, word: str) -> None:
        modules = self._of_class(word)
        if word == "all":
            choice.add(self.network.layers, word)
        elif self._is_layer(word):
            choice.add([word], word)
            if others := [p for p in modules if word not in (p, self.declared.get(p))]:
                choice.notes.append(
                    f"{word!r} is a layer, and the class of {_some(others)}; the layer is meant. "
                    f"The class is meant by another spelling: {_other_spelling(word)}"
                )
        elif WILD.search(word):
            self._add_many(choice, word, self._matching(choice, word))
        else:
            named = {path: self.declared.get(path, path) for path in modules}
            if hidden := [path for path, name in named.items() if self._is_hidden(path, name)]:
                choice.notes.append(
                    f"{word!r} leaves out {_some(hidden)}: there are layers of these names that "
                    "are something else"
                )
            self._add_many(choice, word, [name for p, name in named.items() if p not in hidden])
            calls = [n for n in self.wiring.nodes if re.sub(r"_[0-9]+$", "", n) in modules]
            _note_nodes(choice, word, calls)

    def _is_layer(self, name: str) -> bool:
        """Tell whether the network has a layer of that name, so far as no run is needed."""
        if name in self.named or name.removesuffix(PREFIX) in self.network.layers:
            return True
        return not WILD.search(name) and find_tap(self.wiring, name) is not None

    def _is_hidden(self, path: str, name: str) -> bool:
        """Tell whether a module's path is the name of a layer that is taken elsewhere."""
        own = {*self.network.layers, *self.network.beside}
        return name == path and path in own and self.network.layers.get(path) != path

    def _of_class(self, word: str) -> list[str]:
        """Return the paths of the modules of a class."""
        modules = self.wiring.modules.items()
        return [path for path, m in modules if type(m).__name__.lower() == word.lower()]

    def _matching(self, choice: Choice, pattern: str) -> list[str]:
        """Return the names that match; of modules, else of nodes, else of parts of outputs."""
        matches = _expression(pattern).fullmatch
        names = [name for name in self.named if matches(name)]
        nodes = [name for name in self.wiring.nodes if matches(name)]
        if names:
            _note_nodes(choice, pattern, nodes)
            return [
                n for n in names if n == self.declared.get(n, n) or self.declared[n] not in names
            ]
        stem, sign, part = _cut(pattern)
        if nodes or not stem or WILD.search(part):
            return nodes
        matches = _expression(stem).fullmatch
        parts = [f"{name}{sign}{part}" for name in self.named if matches(name)]
        return [name for name in parts if self._is_layer(name)]

    def _add_many(self, choice: Choice, word: str, names: Sequence[str]) -> None:
        """Add those of the names that can be stored, and note the others."""
        if not names:
            raise self._nothing(word)
        refused: dict[str, FstoreError] = {}
        place(self.network, self.wiring, names, refused=refused)
        if refused:
            first = str(next(iter(refused.values()))).partition("; it has: ")[0]
            if len(refused) == len(names):
                raise DataError(f"{word!r} means {_some(names)}; none can be stored: {first}")
            choice.notes.append(
                f"{word!r} also means {_some(list(refused))}; left out, for it cannot be stored: "
                f"{first}"
            )
        choice.add([name for name in names if name not in refused], word)

    def _nothing(self, word: str) -> UnknownNameError:
        """Say that a word means nothing, and which names are near it."""
        name = self.network.name
        what = "no layer matches" if WILD.search(word) else "no layer"
        classes = {type(m).__name__ for m in self.wiring.modules.values()}
        spelled = {n.lower(): n for n in [*classes, *self.wiring.nodes, *self.named]}
        near = [spelled[n] for n in get_close_matches(word.lower(), spelled, NEAR, cutoff=0.6)]
        has = ", ".join([*self.network.layers, *self.network.beside])
        return UnknownNameError(
            f"{what} {word!r} in network {name!r}"
            + ("" if WILD.search(word) else ", and no module is of that class")
            + (f"; near it: {', '.join(near)}" if near else "")
            + (f"; it has: {has}" if has else "")
            + f"; every name: {commands.layers(None, name)}"
        )


def _note_nodes(choice: Choice, word: str, nodes: Sequence[str]) -> None:
    """Say which nodes of the traced graph a word does not mean, though they look like it."""
    if nodes:
        choice.notes.append(
            f"{word!r} means modules; operations and further calls are named one by one: "
            + _some(nodes)
        )


def _some(names: Sequence[str]) -> str:
    """List a few names, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _other_spelling(word: str) -> str:
    return word.upper() if word != word.upper() else word.lower()


def _cut(pattern: str) -> tuple[str, str, str]:
    """Cut a pattern's last word off, at a dot or a slash."""
    at = max(pattern.rfind("."), pattern.rfind("/"))
    return (pattern[:at], pattern[at], pattern[at + 1 :]) if at > 0 else ("", "", pattern)


def _expression(pattern: str) -> re.Pattern[str]:
    """Translate a pattern; ``*`` and ``?`` stop at dots, ``**`` does not."""
    signs = {"**.": r"(?:.*\.)?", "**": ".*", "*": r"[^.]*", "?": "[^.]"}
    words = re.findall(r"\*\*\.|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", pattern, re.DOTALL)
    return re.compile("".join(signs.get(word) or _one_sign(word) for word in words), re.DOTALL)


def _one_sign(word: str) -> str:
    """Translate ``[...]`` and ``[!...]``, or a plain sign."""
    if len(word) == 1:
        return re.escape(word)
    inner = word[1:-1].replace("\\", r"\\").replace("[", r"\[")
    negated = inner.startswith("!")
    inner = inner.removeprefix("!")
    inner = "\\" + inner if inner.startswith(("^", "]")) else inner
    return f"[^{inner}]" if negated else f"[{inner}]"
