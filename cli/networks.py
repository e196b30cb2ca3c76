"""``fstore networks`` and ``fstore layers``: what can be extracted."""

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

import typer

from fstore.cli.app import app
from fstore.cli.output import AsCsv, AsJson, emit, note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fstore.types import LayerSpec

__all__ = ["layers", "networks"]


@app.command("networks")
def networks(
    pattern: Annotated[str, typer.Argument(help="Which names, as in 'resnet*'.")] = "*",
    *,
    library: Annotated[
        str | None,
        typer.Option(help="List a library's networks: timm, hf, open_clip, torchvision."),
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the networks that are known by name: fstore's, torchvision's, or a library's.

    Of timm there are thousands: give a pattern. Of hf those in Hugging Face's cache are listed;
    a folder is named hf:FOLDER. Beside these, package.module:function and file.py:function name a
    function of your own that returns a Network.

    Example: fstore networks --library timm 'resnet*'
    """
    from fstore.extractor.networks import LIBRARIES, NETWORKS, library_names, network_names

    if library is None and pattern.partition(":")[0] in LIBRARIES:
        library = pattern.partition(":")[0]
    if library is None or library == "torchvision":
        names = _matching(network_names(), pattern, library)
    else:
        names = library_names(library, pattern)
    if library is None:
        others = ", ".join(f"{e.name} ({e.meta['example']})" for e in LIBRARIES)
        note(f"more are listed with --library: {others}")
    about = {entry.name: entry.summary for entry in NETWORKS}
    rows = ({"name": n, "about": about.get(n) or _origin(n)} for n in names)
    emit(rows, columns=["name", "about"], as_json=as_json, as_csv=as_csv)


def _matching(names: "Sequence[str]", pattern: str, library: str | None) -> list[str]:
    """Return the names that fit a pattern, with or without their library's prefix."""
    prefix = f"{library}:" if library else ""
    forms = {name: (name, name.partition(":")[2]) for name in names if name.startswith(prefix)}
    return [n for n, texts in forms.items() if any(fnmatchcase(t, pattern) for t in texts)]


def _origin(name: str) -> str:
    """Say whose a network is that is not fstore's own."""
    library = name.partition(":")[0]
    return "Of torchvision.models." if library == "torchvision" else f"Of {library}."


@app.command("layers")
def layers(
    network: Annotated[str, typer.Argument(help="Name of a network, as fstore networks lists.")],
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also module paths and graph nodes, usable as layers.")
    ] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List a network's layers: name, shape of one sample's response, values in it.

    Example: fstore layers caffenet
    """
    from fstore.extractor.networks import build_network
    from fstore.extractor.taps import every_layer, layer_specs

    built = build_network(network)
    rows = [
        {"name": s.name, "map": _map(s), "values": s.values}
        for s in (every_layer(built) if everything else layer_specs(built))
    ]
    emit(rows, columns=["name", "map", "values"], as_json=as_json, as_csv=as_csv)


def _map(spec: "LayerSpec") -> str:
    """Write a shape: 96x27x27, or 4096 where there is one number a channel."""
    if spec.kind == "fc":
        return str(spec.channels)
    return f"{spec.channels}x{spec.height}x{spec.width}"
