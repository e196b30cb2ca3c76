"""``fstore networks`` and ``fstore layers``: what can be extracted."""

from typing import TYPE_CHECKING, Annotated

import typer

from fstore.cli.app import app
from fstore.cli.output import AsCsv, AsJson, emit

if TYPE_CHECKING:
    from fstore.types import LayerSpec

__all__ = ["layers", "networks"]


@app.command("networks")
def networks(as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List the networks that are known by name.

    Beside these, package.module:function names a function of your own that returns a Network.

    Example: fstore networks
    """
    from fstore.extractor.networks import NETWORKS, network_names

    about = {entry.name: entry.summary for entry in NETWORKS}
    rows = ({"name": n, "about": about.get(n, "Of torchvision.models.")} for n in network_names())
    emit(rows, columns=["name", "about"], as_json=as_json, as_csv=as_csv)


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
