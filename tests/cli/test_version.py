"""``fstore --version``: which versions, and on what a network would run."""

from importlib.metadata import version

import torch
from typer.testing import CliRunner

from fstore.cli import app


def test_versions_are_those_that_are_installed() -> None:
    """Each line names a library and its version, as Python's own record of packages has it."""
    shown = CliRunner().invoke(app, ["--version"])
    assert shown.exit_code == 0
    told = dict(line.split(maxsplit=1) for line in shown.output.splitlines())
    for name in ("fstore", "torch", "duckdb", "deltalake"):
        assert told[name] == version(name)
    n_gpus = torch.cuda.device_count()
    gpus = ", ".join(f"cuda:{n}" for n in range(n_gpus))
    assert told["device"] == (gpus or "cpu")
