"""Consent to run code of a user's own that a store names as a network.

Who names a network (to import or draw weights, to train, in a study file, with ``--network``)
agrees to run it. A store that comes from elsewhere names networks, too, and nobody has agreed to
those. Consent is given to code, not to a store: it is kept in the user's own folder, by the
network's name and the hash of the file that states it.
"""

import hashlib
import json
import os
import sys
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from fstore import commands
from fstore.errors import TrustError
from fstore.names import network_name, own_file

__all__ = ["ANY", "LIBRARIES", "check_consent", "code_file", "consent", "is_own"]

ANY = "*"
"""In place of a name: every network that a store names may be run."""

LIBRARIES = frozenset({"hf", "open_clip", "timm", "torchvision"})
"""Before the colon: no code of a user's own. A test compares them with the table of networks."""


def is_own(network: str) -> bool:
    """Tell ``package.module:function`` and ``file.py:function`` from networks of libraries.

    Examples
    --------
    >>> [is_own(name) for name in ("caffenet", "timm:vit", "nets:small", "/a/nets.py:small")]
    [False, False, True, True]
    """
    before, colon, _ = network.partition(":")
    return bool(colon) and before not in LIBRARIES


def consent(trusted: set[str], network: str) -> bool:
    """Note that the user named a network: for an open store, and in the user's folder.

    Parameters
    ----------
    trusted : set of str
        Of the open store; the name is added.
    network : str

    Returns
    -------
    bool
        Whether it is kept beyond this process; False of code whose file cannot be told.
    """
    name = network_name(network)
    if not is_own(name):
        return True
    trusted.add(name)
    return _remember(name)


def check_consent(trusted: set[str], network: str) -> None:
    """Refuse a network out of a store's tables whose code nobody agreed to run.

    Parameters
    ----------
    trusted : set of str
        Names that the user gave, as the store has them; :data:`ANY` for all.
    network : str
        As the store has it.

    Raises
    ------
    TrustError
        It is code of somebody's own, and is not trusted; the command that allows it is named.
    """
    if not is_own(network) or ANY in trusted:
        return
    if network in trusted:
        _remember(network)
        return
    file = own_file(network)
    if file is not None and not os.path.lexists(file):
        return  # nothing to run; who looks for it says so
    if _entry(network) in _entries():
        return
    raise TrustError(_refusal(network))


def code_file(network: str) -> Path | None:
    """Return the file that states a network of one's own, without importing anything.

    Parameters
    ----------
    network : str
        As the store has it.

    Returns
    -------
    Path or None
        None where there is no such file, or it cannot be told without running code.
    """
    file = own_file(network)
    if file is None:
        file = _module_file(network.partition(":")[0])
    return file if file is not None and file.is_file() else None


def _module_file(module: str) -> Path | None:
    """Look for a module as an import would, the current folder first; packages are not run."""
    spec, where = None, None
    parts = module.split(".")
    for i in range(len(parts)):
        spec = _spec(".".join(parts[: i + 1]), where)
        if spec is None:
            return None
        where = list(spec.submodule_search_locations or [])
    return None if spec is None or spec.origin is None else Path(spec.origin)


def _spec(name: str, where: list[str] | None) -> ModuleSpec | None:
    if not name.rpartition(".")[2].isidentifier():
        return None
    if where is None and (spec := PathFinder.find_spec(name, [str(Path.cwd())])) is not None:
        return spec
    specs = (finder.find_spec(name, where) for finder in sys.meta_path)
    return next((spec for spec in specs if spec is not None), None)


def _refusal(network: str) -> str:
    file, name = code_file(network), json.dumps(network)
    told = any(json.loads(entry)["network"] == network for entry in _entries())
    why = "it has changed since it was trusted" if told else "nobody here has said that it may run"
    if file is None:
        look = "its file cannot be told; name it with --network, or set FSTORE_TRUST=1"
    else:
        again = commands.ckpt_trust(None, network)
        look = f"read {file}, and if you trust it: {again}"
    return f"{name} is code that the store names, no library's, and {why}; {look}"


# What is kept in the user's folder


def _kept_in() -> Path:
    """Return the file of consents; where it lies is the user's matter, not an option of fstore."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if Path(base).is_absolute() else Path.home() / ".config"
    return folder / "fstore" / "trusted"


def _entry(network: str) -> str | None:
    """Return the line that stands for a network with its code as it is now."""
    file = code_file(network)
    if file is None:
        return None
    try:
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None
    return json.dumps({"network": network, "sha256": sha256})


def _entries() -> list[str]:
    """Return the lines that were kept; what is no such line counts for nothing."""
    try:
        lines = _kept_in().read_text(encoding="utf-8").splitlines()
    except (OSError, RuntimeError, UnicodeDecodeError):  # no folder, no home
        return []
    return [line for line in lines if _is_entry(line)]


def _is_entry(line: str) -> bool:
    try:
        return set(json.loads(line)) == {"network", "sha256"}
    except (ValueError, TypeError):
        return False


def _remember(network: str) -> bool:
    """Keep a consent; where that cannot be, it holds for this process only."""
    entry = _entry(network)
    if entry is None:
        return False
    with suppress(OSError, RuntimeError):
        if entry not in _entries():
            file = _kept_in()
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with file.open("a", encoding="utf-8") as out:
                out.write(entry + "\n")
        return True
    return False
