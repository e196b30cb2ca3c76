"""Bits that flip, files that are cut off or gone: no answer may be wrong without a word."""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from _contents import contents, problems
from _figures import Figures, campaign, draw_seed, rounds

from _build import add_checkpoint, build
from fstore import workflows
from fstore.errors import FstoreError
from fstore.store import Store

__all__ = ["Place", "places"]


@dataclass(frozen=True)
class Place:
    """A file, and the bytes of it that may be damaged."""

    file: Path
    first: int
    end: int


def places(root: Path, what: str) -> Iterator[Place]:
    """Yield the places of a store that are ``data``, ``footers``, ``log``, ``weights``, or any."""
    for path in sorted(p for p in root.rglob("*") if p.is_file() and p.stat().st_size):
        size, log = path.stat().st_size, "_delta_log" in path.parts
        foot = _footer(path) if path.suffix == ".parquet" and not log else size
        if what == "data" and foot < size:
            yield Place(path, 0, foot)
        if what == "footers" and foot < size:
            yield Place(path, foot, size)
        if what == "log" and log:
            yield Place(path, 0, size)
        if what == "weights" and path.suffix == ".safetensors":
            yield Place(path, 0, size)
        if what == "any" and (log or path.suffix in {".parquet", ".safetensors"}):
            yield Place(path, 0, size)


def _footer(path: Path) -> int:
    """Return where the footer of a Parquet file begins: its length stands before the last mark."""
    held = path.read_bytes()
    return len(held) - 8 - int(struct.unpack("<I", held[-8:-4])[0])


def make_store(path: Path) -> None:
    """Make a store with rows in many tables, rewritten ones too, and weights."""
    store = build(path, ("5", "15")).store
    store.append("studies", [{"name": "s", "toml": "x = 1", "set_at": None}])
    add_checkpoint(store, "net", "gone")
    store.drop(network="net", ckpt="gone", checkpoint=True)


def make_network(path: Path) -> None:
    """Make a store with a network whose weights can be loaded."""
    workflows.init_checkpoint(Store.create(path), network="caffenet-mini", name="random", seed=3)


def loaded(root: Path) -> dict[str, bytes]:
    """Load the network as an extraction does; return its tensors' bytes."""
    from fstore.workflows.checkpoints import load_network

    store = Store.open(root)
    (record,) = store.checkpoints()
    state = load_network(store, record).model.state_dict()
    return {name: tensor.numpy().tobytes() for name, tensor in state.items()}


def flip(held: bytes, place: Place, draw: random.Random) -> bytes:
    """Flip a bit."""
    broken = bytearray(held)
    broken[draw.randrange(place.first, place.end)] ^= 1 << draw.randrange(8)
    return bytes(broken)


def cut(held: bytes, place: Place, draw: random.Random) -> bytes:  # noqa: ARG001 - as flip
    """Cut a file off somewhere."""
    return held[: draw.randrange(len(held))]


def remove(held: bytes, place: Place, draw: random.Random) -> None:
    """Leave nothing of a file."""


Damage = Callable[[bytes, Place, random.Random], bytes | None]


def shots(folder: Path, n: int, seed: int, *, what: str, kind: str, damage: Damage) -> Figures:
    """Damage a store at n places, one at a time, and ask it everything each time."""
    figures, root = Figures(kind), folder / "store"
    make, ask = (make_network, loaded) if what == "weights" else (make_store, contents)
    make(root)
    right, drawn = ask(root), list(places(root, what))
    assert problems(root) == []
    draw = random.Random(draw_seed(seed, kind))  # noqa: S311 - no secret
    files = sorted({place.file for place in drawn})
    for _ in rounds(n):
        file = draw.choice(files)
        place = next(p for p in drawn if p.file == file)
        held = file.read_bytes()
        broken = damage(held, place, draw)
        file.unlink()
        if broken is not None:
            file.write_bytes(broken)
        figures.injected += 1
        _count(figures, right, partial(ask, root), file)
        file.write_bytes(held)
    return figures


def _count(figures: Figures, right: object, ask: Callable[[], object], file: Path) -> None:
    """Ask a damaged store; what it says, or that it says nothing, is counted."""
    where = file.name
    try:
        answer = ask()
    except FstoreError:
        figures.told += 1
        return
    except Exception as error:  # noqa: BLE001 - a traceback is no answer, but a word
        figures.told += 1
        figures.notes.append(f"{where}: {type(error).__name__}: {error}")
        return
    same, named = answer == right, problems(root_of(file))
    figures.harmless += same and not named
    figures.told += same and bool(named)
    figures.by_verify += not same and bool(named)
    if not same and not named:
        figures.silent += 1
        figures.notes.append(f"{where}: answers differ, and nothing says so")


def root_of(file: Path) -> Path:
    """Return the store that a file is in."""
    return next(p for p in file.parents if (p / "fstore.json").exists())


def _register() -> None:
    kinds: list[tuple[str, str, str, Damage]] = [
        (f"flip-{what}", what, f"bit flips: {what}", flip)
        for what in ("data", "footers", "log", "weights")
    ]
    kinds += [("cut", "any", "files cut off", cut), ("missing", "any", "files missing", remove)]
    for name, what, kind, damage in kinds:
        campaign(name, n=200, small=12)(partial(shots, what=what, kind=kind, damage=damage))


_register()
