"""What is wrong with object storage is said in words, with what to do, and without a key."""

from pathlib import Path

import pytest

from _object_server import BUCKET, ObjectServer
from fstore.errors import StorageError
from fstore.server_errors import said_by_server
from fstore.store import Store
from fstore.store.commits import storage
from fstore.store.places import place_at
from fstore.store.remote import RemotePlace
from fstore.store.tables import open_table

SECRETS = ("A-KEY-OF-MINE", "A-WORD-OF-MINE")

WRONG: list[tuple[dict[str, str | None], str]] = [
    ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "set AWS_ACCESS_KEY_ID and"),
    ({"AWS_SECRET_ACCESS_KEY": None}, "AWS_SECRET_ACCESS_KEY is not"),
    ({"AWS_ACCESS_KEY_ID": SECRETS[0]}, "check AWS_ACCESS_KEY_ID"),
    ({"AWS_SECRET_ACCESS_KEY": SECRETS[1]}, "check AWS_SECRET_ACCESS_KEY"),
    ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "nobody answers there; check AWS_ENDPOINT_URL"),
    ({"AWS_ENDPOINT_URL": "https://s3.nowhere.invalid"}, "no machine has that name"),
    ({"AWS_ENDPOINT_URL": "http://192.0.2.1"}, "set AWS_ALLOW_HTTP=true"),
    ({"AWS_ENDPOINT_URL": "127.0.0.1:9"}, "expected an address such as https"),
]


@pytest.mark.parametrize(("variables", "said"), WRONG)
def test_what_to_do_is_said(
    remote: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    variables: dict[str, str | None],
    said: str,
) -> None:
    """Missing or wrong keys, a wrong address: each is told in a line, without any key."""
    monkeypatch.setattr("fstore.store.buckets.TRIES", 1)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in variables.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(StorageError) as raised:
        Store.create(remote)
    told = str(raised.value)
    assert said in told
    assert "\n" not in told
    assert not any(secret in told for secret in SECRETS)


@pytest.mark.parametrize("wrong", ["s3://no-such-bucket/x", f"s3://{BUCKET}/none"])
def test_no_bucket_and_no_store(remote: str, wrong: str) -> None:
    """A bucket that is not there is told from a store that is not."""
    assert remote.startswith(f"s3://{BUCKET}/")
    said = "no such bucket" if "no-such" in wrong else "make one with: fstore init"
    with pytest.raises(StorageError, match=said):
        Store.open(wrong)


@pytest.mark.parametrize("wrong", ["s3://", "s3:///x", "s3://b/a b", "s3://b/a//b", "s3://b/../b"])
def test_what_is_no_address(wrong: str) -> None:
    """An address without a bucket, or with what some library takes for something else."""
    with pytest.raises(StorageError, match=r"BUCKET|prefix"):
        place_at(wrong)


def test_errors_of_delta_are_worded_too(remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library quotes the server's whole answer, keys and all; a line is told of it."""
    Store.create(remote)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS[1])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRETS[0])
    place = RemotePlace(remote)
    with pytest.raises(StorageError) as raised, storage("cannot open"):
        open_table(place, "labels", check=False)
    told = str(raised.value)
    assert "check AWS_ACCESS_KEY_ID" in told
    assert not any(secret in told for secret in SECRETS)


def test_keys_of_a_profile(
    seaweed: ObjectServer, remote: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without keys in the environment those of a profile are used, and its server, everywhere."""
    for name in seaweed.environment:
        monkeypatch.delenv(name)
    (tmp_path / "keys").write_text(
        f"[mine]\naws_access_key_id = {seaweed.access_key}\n"
        f"aws_secret_access_key = {seaweed.secret_key}\n"
    )
    (tmp_path / "config").write_text(
        f"[profile mine]\nregion = us-east-1\nendpoint_url = {seaweed.endpoint}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    store = Store.create(remote)
    rows = store.sql("SELECT count(*) AS n FROM labels").rows()
    assert list(rows) == [{"n": 0}]


def test_a_servers_answer_is_not_repeated() -> None:
    """Of an answer only its code is told: it may hold the keys that were sent."""
    answer = (
        "Generic S3 error: Error performing GET http://h:1/b/k in 2ms - Server returned non-2xx "
        "status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code>"
        "<AWSAccessKeyId>KEY</AWSAccessKeyId><StringToSign>WORD</StringToSign></Error>"
    )
    told = said_by_server(answer)
    assert told is not None
    assert told.startswith("http://h:1: the secret key is not that of the access key")
    assert "KEY<" not in told
    assert "WORD" not in told
    assert said_by_server("No such file or directory (os error 2)") is None
