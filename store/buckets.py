"""How a bucket is reached: the address, the keys to it, and the client that speaks to it.

The keys come from where Amazon's own programs look for them: the environment, else a profile, else
the machine that the program runs on. None of them is ever part of a message or of a place's name.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fstore.errors import StorageError
from fstore.extras import need

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["SCHEMES", "Bucket", "split_address"]

SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az"}
"""What a user may write -> what the libraries call it."""
ODD = re.compile(r"[^\w.~=+@,/-]")
"""Characters of a prefix that some library takes for something else."""
KEY_NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
CONNECT_TIMEOUT, TIMEOUT = "5s", "60s"
TRIES, PATIENCE_S = 6, 120
"""Of one request: how often it is sent again, and for how long."""


def split_address(uri: str) -> tuple[str, str, str]:
    """Return scheme, bucket and prefix of a URI such as ``s3://bucket/prefix``.

    Raises
    ------
    StorageError
        It names no bucket, or has characters that libraries take for something else.
    """
    given, _, rest = uri.partition("://")
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.rstrip("/")
    scheme = SCHEMES[given.lower()]
    if not bucket or "@" in bucket or ODD.search(bucket):
        raise StorageError(f"{uri} names no bucket; expected {scheme}://BUCKET/PREFIX")
    odd = ODD.search(prefix)
    if odd is not None:
        raise StorageError(
            f"{uri}: a store cannot be below a prefix with {odd[0]!r}; use letters, digits "
            "and . ~ = + @ , _ - /"
        )
    if prefix and {"", ".", ".."} & set(prefix.split("/")):
        raise StorageError(f"{uri}: a prefix has no empty part, no '.' and no '..'")
    return scheme, bucket, prefix


@dataclass(frozen=True)
class Bucket:
    """A bucket, or a prefix in one, and how this process may use it."""

    scheme: str
    name: str
    prefix: str
    _made: dict[bool, "ObjectStore"] = field(default_factory=dict, repr=False, compare=False)

    def uri(self, key: str) -> str:
        """Return what an object is called."""
        return "/".join(filter(None, (f"{self.scheme}://{self.name}", self.prefix, key)))

    def client(self, *, once: bool = False) -> "ObjectStore":
        """Return what requests are made through; keys are relative to the prefix.

        Parameters
        ----------
        once : bool
            Send each request once. Else it is sent again after errors that may pass, so that
            nobody knows whether a change was made before.
        """
        if once not in self._made:
            self._made[once] = self._connect(once=once)
        return self._made[once]

    def _connect(self, *, once: bool) -> "ObjectStore":
        make = need("obstore.store", extra="s3").from_url
        retry: dict[str, Any] = {"max_retries": 0 if once else TRIES}
        if not once:
            retry["retry_timeout"] = _seconds(PATIENCE_S)
        client: ObjectStore = make(
            self.uri(""),
            config=self._config,
            client_options={
                "connect_timeout": CONNECT_TIMEOUT,
                "timeout": TIMEOUT,
                "allow_http": self._allows_http,
            },
            retry_config=retry,
            **({"credential_provider": self._keys} if self._keys is not None else {}),
        )
        return client

    @cached_property
    def _keys(self) -> "Keys | None":
        """What gives the keys of a profile or a machine; None where the environment has them."""
        if self.scheme != "s3" or is_true("AWS_SKIP_SIGNATURE"):
            return None
        given = [bool(os.environ.get(name)) for name in KEY_NAMES]
        if given == [True, False]:
            raise StorageError("AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not; set both")
        return None if all(given) else Keys.of_profile()

    @cached_property
    def _config(self) -> dict[str, str]:
        """What is told to the client beside the environment, which it reads itself."""
        if self.scheme != "s3":
            return {}
        config = {"region": region() or (self._keys.region if self._keys else "") or "us-east-1"}
        if self.endpoint:
            config["endpoint"] = self.endpoint
        return config

    @cached_property
    def endpoint(self) -> str:
        """Address of a server that is not Amazon's; empty for theirs."""
        named = (os.environ.get(name) for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
        own = next((value for value in named if value), "")
        if not own and self.scheme == "s3" and self._keys is not None:
            own = self._keys.endpoint
        if own and not own.startswith(("http://", "https://")):
            raise StorageError(
                f"AWS_ENDPOINT_URL is {own!r}; expected an address such as https://s3.example.org"
            )
        return own.rstrip("/")

    @property
    def _allows_http(self) -> bool:
        return is_true("AWS_ALLOW_HTTP") or _on_loopback(self.endpoint)

    def options(self) -> dict[str, str]:
        """Return what deltalake is told, so that it reaches what the client reaches."""
        if self.scheme != "s3":
            return {}
        options = {
            "aws_conditional_put": "etag",
            "aws_region": self._config["region"],
            "timeout": TIMEOUT,
            "connect_timeout": CONNECT_TIMEOUT,
        }
        if self.endpoint:
            options["aws_endpoint"] = self.endpoint
        if self._allows_http:
            options["aws_allow_http"] = "true"
        if self._keys is not None:
            options |= self._keys.options()
        return options


@dataclass(frozen=True)
class Keys:
    """Keys that boto3 has found, renewed by it when they expire."""

    session: Any = field(repr=False)
    region: str
    endpoint: str

    @classmethod
    def of_profile(cls) -> "Keys":
        """Look where Amazon's own programs look.

        Raises
        ------
        StorageError
            There are none.
        """
        boto3 = need("boto3", extra="s3")
        from botocore.exceptions import BotoCoreError

        try:
            session = boto3.Session()
            keys = session.get_credentials()
            endpoint = "" if keys is None else str(session.client("s3").meta.endpoint_url)
        except (BotoCoreError, ValueError) as error:
            raise StorageError(
                f"cannot find the keys of object storage: {error}; check AWS_PROFILE and the files "
                "in ~/.aws"
            ) from error
        if keys is None:
            raise StorageError(
                "no keys to object storage: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                "AWS_PROFILE for a profile in ~/.aws (AWS_SKIP_SIGNATURE=true reads a public "
                "bucket without keys)"
            )
        own = "" if urlsplit(endpoint).hostname.endswith(".amazonaws.com") else endpoint  # type: ignore[union-attr]
        return cls(session, session.region_name or "", own)

    def __call__(self) -> "dict[str, Any]":
        """Return the keys of now, for obstore."""
        from datetime import UTC, datetime, timedelta

        now = self.session.get_credentials().get_frozen_credentials()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(UTC) + timedelta(minutes=10),
        }

    def options(self) -> dict[str, str]:
        """Return the keys of now, for deltalake."""
        now = self.session.get_credentials().get_frozen_credentials()
        keys = {
            "aws_access_key_id": now.access_key,
            "aws_secret_access_key": now.secret_key,
            "aws_session_token": now.token,
        }
        return {name: value for name, value in keys.items() if value}


def region(environment: Mapping[str, str] = os.environ) -> str:
    """Return the region that the environment names; empty if it names none."""
    return environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or ""


def is_true(name: str) -> bool:
    """Whether a variable of the environment is set to yes."""
    return os.environ.get(name, "").lower() in {"1", "true", "yes", "on"}


def _on_loopback(address: str) -> bool:
    """Whether an address is this machine, which nobody else listens to."""
    host = urlsplit(address).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _seconds(count: float) -> Any:  # noqa: ANN401 - what the client's own types want
    from datetime import timedelta

    return timedelta(seconds=count)
