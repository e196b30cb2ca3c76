"""Ctrl-C ends a command with status 130, one line, and no traceback."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.slow
def test_ctrl_c_ends_an_extraction_with_130(tmp_path: Path) -> None:
    """An interrupted extraction exits with 130, says so in one line, and can be run again."""
    store = tmp_path / "store"
    fstore = [sys.executable, "-m", "fstore", "--store", str(store)]
    for command in (
        ["init"],
        ["dataset", "add", "digits", "--format", "digits"],
        ["ckpt", "init", "--network", "caffenet-mini", "--name", "random"],
    ):
        subprocess.run([*fstore, *command], check=True, capture_output=True)
    extract = [*fstore, "extract", "--layer", "conv5", "--ckpt", "random", "--shard-mib", "8"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(extract, stderr=subprocess.PIPE, text=True, env=environment)
    log = store / "activations" / "_delta_log"
    deadline = time.monotonic() + 240
    while len(list(log.glob("*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)  # until the first shard is committed
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert errors == "interrupted; what was finished is kept\n"
    again = subprocess.run([*extract], check=True, capture_output=True, text=True)
    assert "0 quarantined" in again.stderr
    assert " 0 already there" not in again.stderr
