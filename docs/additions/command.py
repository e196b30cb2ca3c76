"""``fstore where``: which store commands are about."""

import typer

from fstore.cli.app import app, open_store


@app.command()
def where(ctx: typer.Context) -> None:
    """Print the folder of the store.

    Example: fstore where
    """
    typer.echo(open_store(ctx).path)
