"""``fstore networks`` and ``fstore layers``: what can be extracted."""

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fstore.cli.app import app, open_store
from fstore.cli.output import AsCsv, AsJson, emit, note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fstore.extractor.layer_tree import Leaf
    from fstore.extractor.networks import Network
    from fstore.types import LayerSpec

__all__ = ["layers", "networks"]

LISTED = ("name", "map", "values", "module", "kind", "bytes", "declared")
TREE = ("name", "module", "map", "values", "bytes", "layer")


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
    ctx: typer.Context,
    network: Annotated[str, typer.Argument(help="Name of a network, as fstore networks lists.")],
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also operations and parts of outputs, usable as layers.")
    ] = False,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Levels of the tree. Default: all of them.")
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show a network's modules as a tree, with what a layer there would take.

    Last come the declared layers, which --layer all means. A layer is named by the path of its
    module: blocks.0.mlp. --json and --csv list the declared layers, with --all all others, too.
    Of layers in the store it says what a place sees: 163/16 is 163 input pixels, every 16.

    Example: fstore layers caffenet
    """
    from fstore.extractor.networks import build_network

    if depth is not None and (as_json or as_csv):
        raise typer.BadParameter("--depth is for the tree; --json and --csv print a list")
    built = build_network(network)
    fields = _fields(ctx, built.name)
    more = ("field",) if fields else ()
    if as_json or as_csv:
        rows = _listed(built, everything=everything)
        rows = [{**row, "field": fields.get(row["name"])} for row in rows]
        emit(rows, columns=(*LISTED, *more), as_json=as_json, as_csv=as_csv)
    else:
        tree = _tree(built, fields, everything=everything, depth=depth)
        emit(tree, columns=(*TREE, *more))
        _tell_of_names(built)


def _fields(ctx: typer.Context, network: str) -> dict[str, str]:
    """Return the receptive fields that are stored, as texts; none where there is no store."""
    from fstore.errors import FstoreError
    from fstore.store.receptive import receptive_fields

    try:
        store = open_store(ctx)
    except FstoreError:
        return {}  # the network is listed all the same
    return {layer: str(field) for layer, field in receptive_fields(store, network).items()}


def _listed(network: "Network", *, everything: bool) -> "list[dict[str, Any]]":
    from fstore.extractor.layer_tree import listed_layers

    return [
        {"name": spec.name, **_sizes(spec), "module": module, "kind": spec.kind, "declared": own}
        for spec, module, own in listed_layers(network, everything=everything)
    ]


def _tree(
    network: "Network", fields: dict[str, str], *, everything: bool, depth: int | None
) -> "list[dict[str, Any]]":
    from fstore.extractor.layer_tree import layer_tree

    def field(leaf: "Leaf") -> str:
        names = [*leaf.layers]
        if leaf.spec is not None and leaf.spec.name not in network.layers:
            names.append(leaf.spec.name)  # else a declared layer of that name is another place
        return next((fields[name] for name in names if name in fields), "")

    return [
        {
            "name": 2 * leaf.depth * " " + leaf.label,
            "module": leaf.module,
            **(_sizes(leaf.spec) if leaf.spec else {}),
            "layer": ", ".join(leaf.layers),
            "field": field(leaf),
        }
        for leaf in layer_tree(network, everything=everything, depth=depth)
    ]


def _tell_of_names(network: "Network") -> None:
    """Say which modules' names mean another place when they are given as layers."""
    modules = {path for path, _ in network.model.named_modules()}
    others = [f"{n} ({tap})" for n, tap in network.layers.items() if n in modules - {tap}]
    if others:
        note(f"as layers, these names mean the outputs of other modules: {', '.join(others)}")


def _sizes(spec: "LayerSpec") -> dict[str, object]:
    return {"map": spec.map_size, "values": spec.values, "bytes": 4 * spec.values}
