"""``fstore explore``: look at a store in the browser."""

from typing import Annotated

import typer

from fstore.cli.app import app, open_store
from fstore.cli.output import note

EVERY = ("0.0.0.0", "::")  # noqa: S104 - what somebody may give
"""Hosts that stand for all addresses of a machine, and open nowhere else."""


@app.command()
def explore(
    ctx: typer.Context,
    *,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port to listen on. Default: 8765, or the next free."),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on. Default: this machine only. With another one, the "
            "address that is printed holds a token, which everybody needs."
        ),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
) -> None:
    """Serve the store as pages to look at, until Ctrl-C; print their address.

    Example: fstore explore --open
    """
    from fstore.explore.serving import serve

    store = open_store(ctx)

    def ready(address: str) -> None:
        typer.echo(address)
        if host in EVERY:
            note(f"Others put this machine's address in the place of {host}.")
        note("Ctrl-C ends it.")
        if open_browser:
            import webbrowser

            webbrowser.open(address)

    serve(store, host=host, port=port, on_ready=ready)
