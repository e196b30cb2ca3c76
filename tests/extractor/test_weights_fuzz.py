"""Broken files of weights, by the thousand: a refusal in our words, or the same tensors twice."""

import io
import json
import resource
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from fstore.errors import DataError
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.weights import load_weights, read_mean_image

TRIALS = 3000
LIMIT_S = 2.0
"""For one file of a kilobyte; most take a millisecond."""
MEMORY = 16 << 30
"""Bytes beyond those that the process has when a test begins: it may have run many others."""
"""Bytes of addresses: what asks for more is refused by the system."""

WORDS = (
    (b"F32", b"I8"), (b"F32", b"F64"), (b"F32", b"F8_E4M3"), (b"<f4", b"|O"), (b"<f4", b">f4"),
    (b"<f4", b"<c8"), (b"False", b"True"), (b"[4,3,3,3]", b"[4,3,3,9223372036854775807]"),
    (b"FloatStorage", b"HalfStorage"), (b"FloatStorage", b"QInt8Storage"), (b"torch._utils", b"os"),
    (b"_rebuild_tensor_v2", b"_rebuild_sparse_tensor"), (b"collections", b"builtins"),
    (b"OrderedDict", b"eval"), (b"0.weight", b"0/weight"), (b"0.weight", b"0.bias"),
    (b"weight_map", b"weight"), (b"cpu", b"meta"), (b"}", b"]"), (b"(", b"(("),
    (b"K\x04", b"K\xff"),
)  # fmt: skip
"""Words of the formats, and what could stand there instead."""


def state() -> dict[str, Tensor]:
    """Make weights of a small network."""
    torch.manual_seed(0)
    return dict(nn.Conv2d(3, 4, 3).state_dict(prefix="0."))


def varint(n: int) -> bytes:
    """Encode a number as protobuf does."""
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*out, n])


def field(number: int, content: bytes) -> bytes:
    """Encode bytes as a field of a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def caffe() -> bytes:
    """Write the weights as a Caffe model: one new layer of two blobs with shapes."""
    blobs = b""
    for tensor in state().values():
        dims = b"".join(map(varint, tensor.shape))
        blobs += field(7, field(7, field(1, dims)) + field(5, tensor.numpy().tobytes()))
    return field(100, field(1, b"0") + blobs)


def torch_file(path: Path, *, new: bool = True) -> bytes:
    """Write the weights as torch does, with other things beside them."""
    value = {"state_dict": state(), "epoch": 3, "best": np.float64(0.5), "name": "x"}
    torch.save(value, path, _use_new_zipfile_serialization=new)
    return path.read_bytes()


def npz(path: Path) -> bytes:
    """Write the weights as numpy does."""
    np.savez(path, **{n: t.numpy() for n, t in state().items()})  # type: ignore[arg-type]
    return path.read_bytes()


def index(path: Path) -> bytes:
    """Write the weights in two parts, and their index."""
    names = {n: f"p-{i}.safetensors" for i, n in enumerate(state())}
    for name, file in names.items():
        save_file({name: state()[name]}, path.parent / file)
    return json.dumps({"weight_map": names}).encode()


FORMATS: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "torch": ("a.pth", torch_file),
    "repacked": ("f.pth", torch_file),
    "legacy": ("b.pt", lambda path: torch_file(path, new=False)),
    "npz": ("c.npz", npz),
    "safetensors": ("d.safetensors", lambda _: save(state())),
    "caffe": ("e.caffemodel", lambda _: caffe()),
    "index": ("p.safetensors.index.json", index),
}


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Break a file in one to four ways."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(0, len(data) + 1))
        end = min(len(data), at + int(rng.integers(1, 64)))
        kind = rng.integers(0, 8)
        if kind == 0:
            del data[at:]
        elif kind == 1 and at < len(data):
            data[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 2:
            data[at:at] = rng.bytes(int(rng.integers(1, 32)))
        elif kind == 3:
            del data[at:end]
        elif kind == 4:
            data[at:at] = data[at:end]
        elif kind == 5:
            huge = int(rng.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1]).item())
            data[at : at + 8] = struct.pack("<Q", huge % 2**64)
        else:
            old, new = WORDS[int(rng.integers(0, len(WORDS)))]
            data = data.replace(old, new, int(rng.integers(1, 3)))
    return bytes(data)


def repacked(content: bytes, rng: np.random.Generator) -> bytes:
    """Break the pickle in a torch file, and pack it with right checksums."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            record = old.read(name)
            part = name.endswith("data.pkl") or rng.random() < 0.05
            new.writestr(name, mutated(record, rng) if part else record)
    return out.getvalue()


@contextmanager
def little_memory() -> Iterator[None]:
    """Let the system refuse what would fill the memory of the machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    own = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (own + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def outcome(path: Path, network: Network) -> dict[str, bytes] | str:
    """Return the bytes of every tensor, or the refusal."""
    try:
        return {n: t.numpy().tobytes() for n, t in load_weights(path, network).items()}
    except DataError as error:
        return str(error)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.filterwarnings("ignore")  # of libraries, on broken bytes
def test_broken_files_are_refused_or_read_alike(kind: str, tmp_path: Path) -> None:
    """Thousands of broken files of each format: no other error, no hang, one reading."""
    name, write = FORMATS[kind]
    path = tmp_path / name
    content = write(path)
    path.write_bytes(content)
    network = Network("own", nn.Sequential(nn.Conv2d(3, 4, 3)), Preprocess(8, 8), {})
    assert isinstance(outcome(path, network), dict)
    rng = np.random.default_rng(0)
    refused = 0
    with little_memory():
        for _ in range(TRIALS):
            path.write_bytes((repacked if kind == "repacked" else mutated)(content, rng))
            began = time.perf_counter()
            found = outcome(path, network)
            assert time.perf_counter() - began < LIMIT_S, path.read_bytes()
            assert found == outcome(path, network), path.read_bytes()
            refused += isinstance(found, str)
            assert not isinstance(found, str) or (name in found and "weights_only=F" not in found)
    assert refused > TRIALS / 3


@pytest.mark.slow
def test_broken_mean_images_are_refused_or_read_alike(tmp_path: Path) -> None:
    """The same of mean images."""
    path = tmp_path / "mean.npy"
    np.save(path, np.random.default_rng(1).random((3, 8, 8), np.float32))
    content, rng = path.read_bytes(), np.random.default_rng(0)
    with little_memory():
        for _ in range(TRIALS):
            path.write_bytes(mutated(content, rng))
            found = []
            for _ in range(2):
                try:
                    found.append(read_mean_image(path, Preprocess(8, 8)).tobytes())
                except DataError as error:
                    found.append(str(error).encode())
            assert found[0] == found[1]
