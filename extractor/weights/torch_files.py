"""Read torch's files without running anything that they name, and tell what is wrong in words."""

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from fstore.errors import DataError

__all__ = ["States", "read_torch", "states_in"]

States = dict[str, dict[str, Tensor]]
"""State dicts of a file by their key, nested ones as ``a.b``; empty text: the file itself."""

ADVICE = "save it anew with torch.save(model.state_dict(), file)"
DAMAGED = "it is truncated or damaged; copy or download it again"
DEEPEST = 4
"""Mappings inside mappings that are looked into."""

HARMLESS = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|numpy\.(dtype|ndarray)|numpy\.dtypes\.\w+"
    r"|numpy\.(_core|core)\.(multiarray|numeric)\.\w+|pathlib\.\w+|pathlib\._local\.\w+"
    r"|datetime\.\w+|collections\.(defaultdict|deque)|uuid\.UUID|decimal\.Decimal"
    r"|omegaconf\.[\w.]+|yacs\.config\.CfgNode|easydict\.EasyDict|enum\.\w+|_codecs\.encode"
)
"""What training programs keep beside weights: options, numbers, paths, dates."""


class _Ignored:
    """Stands for an object that is not wanted: takes anything, runs nothing, holds nothing."""

    def __new__(cls, *_args: object, **_named: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *_args: object, **_named: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass

    def __setitem__(self, _key: object, _value: object) -> None:
        pass


def read_torch(path: Path) -> States:
    """Return the state dicts of a torch file.

    Parameters
    ----------
    path : Path
        Read with ``weights_only=True``: nothing that the file names is imported or called. The
        usual things beside weights (options, numpy numbers, paths) are passed over.

    Returns
    -------
    dict of key to state dict
        Every mapping of texts to tensors, down to four levels.

    Raises
    ------
    DataError
        Damaged, or it holds other objects; they are named.
    """
    _refuse_archive(path)
    try:
        loaded = _load(path)
    except Exception as exc:  # torch raises whatever the broken bytes lead to
        raise DataError(
            f"cannot read {path} as a torch state dict, which runs nothing of it: "
            f"{_reason(exc, path)}"
        ) from exc
    states = dict(states_in(loaded))
    if not states:
        raise DataError(
            f"{path} holds no state dict ({_kind(loaded)}); expected names with tensors, also "
            f"under a key such as state_dict or model; {ADVICE}"
        )
    return states


def states_in(
    value: object, path: tuple[str, ...] = (), seen: set[int] | None = None
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the mappings of texts to tensors in a value, with their keys joined by dots."""
    seen = set() if seen is None else seen
    if not isinstance(value, Mapping) or id(value) in seen:
        return
    seen.add(id(value))
    if any(isinstance(v, Tensor) for k, v in value.items() if isinstance(k, str)):
        yield ".".join(path), _state_dict(value)
    if len(path) < DEEPEST:
        for key, inner in value.items():
            if isinstance(key, str):
                yield from states_in(inner, (*path, key), seen)


def _state_dict(value: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Return the tensors alone, with torch's note of its modules' versions."""
    from collections import OrderedDict

    state = OrderedDict(
        (k, v.detach()) for k, v in value.items() if isinstance(k, str) and isinstance(v, Tensor)
    )
    metadata = getattr(value, "_metadata", None)
    if isinstance(metadata, Mapping):
        state._metadata = metadata  # type: ignore[attr-defined]
    return state


def _load(path: Path) -> object:
    """Load with an inert object in place of each harmless one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated kinds of storage
        names = {name for name in _globals(path) if HARMLESS.fullmatch(name)}
        while True:
            stands_in = [(_Ignored, name) for name in names]
            try:
                with torch.serialization.safe_globals(stands_in):  # type: ignore[arg-type]
                    return torch.load(path, map_location="cpu", weights_only=True)
            except Exception as exc:
                more = {n for n in _refused(exc) if HARMLESS.fullmatch(n)} - names
                if not more:  # of the old format, names come one by one
                    raise
                names |= more


def _refused(exc: Exception) -> list[str]:
    """Return the class or function that torch's message says it does not know as safe."""
    return re.findall(r"GLOBAL ([A-Za-z_][\w.]*)", str(exc))[:1]


def _globals(path: Path) -> list[str]:
    """Return the classes and functions that a file names and torch does not know as safe."""
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except Exception:  # noqa: BLE001 - an old format, or damaged: loading will tell
        return []


def _refuse_archive(path: Path) -> None:
    """Refuse zip archives that are not torch's state dicts, and damaged ones.

    torch does not compare checksums, and takes what lies in memory for what a record lacks.
    """
    with path.open("rb") as file:
        if file.read(2) != b"PK":  # of the old format, or damaged: loading will tell
            return
    try:
        with zipfile.ZipFile(path) as archive:
            names, damaged = archive.namelist(), archive.testzip()
    except Exception as exc:  # zipfile and zlib raise whatever the broken bytes lead to
        raise DataError(f"cannot read {path}: {DAMAGED}") from exc
    if damaged is not None:
        raise DataError(f"cannot read {path}: the checksum of {damaged} is wrong; {DAMAGED}")
    if any(name.endswith("constants.pkl") or "/code/" in name for name in names):
        raise DataError(
            f"{path} is a TorchScript archive; save its weights with "
            "torch.save(torch.jit.load(file).state_dict(), 'weights.pt')"
        )
    if not any(name.endswith("data.pkl") for name in names):
        what = "arrays of numpy (.npz)" if names and names[0].endswith(".npy") else "no torch file"
        raise DataError(f"{path} is a zip archive with {what}; {ADVICE}")


def _reason(exc: Exception, path: Path) -> str:
    """Say why a file cannot be read; torch's own text advises to switch its safety off."""
    named = [name for name in _globals(path) if not HARMLESS.fullmatch(name)]
    named = list(dict.fromkeys([*named, *_refused(exc)]))
    if any(name.startswith(("torch.nn.", "torchvision.", "__main__", "timm.")) for name in named):
        return (
            f"it is a pickle of a whole model ({', '.join(named[:4])}), which runs code when it is "
            f"loaded; {ADVICE}"
        )
    if named:
        return f"it holds objects of {', '.join(named[:4])}, which could run code; {ADVICE}"
    if isinstance(exc, MemoryError):
        return "there is not enough memory"
    with path.open("rb") as file:
        start = file.read(2)
    if start != b"PK" and start[:1] != b"\x80":
        return f"its content is no torch file; {ADVICE}"
    return DAMAGED


def _kind(loaded: object) -> str:
    if isinstance(loaded, Tensor):
        return "one tensor without a name"
    if isinstance(loaded, Mapping):
        return f"a mapping of {', '.join(map(repr, list(loaded)[:5]))}" if loaded else "empty"
    return f"a {type(loaded).__name__}".replace("_Ignored", "n object of another program")
