"""The Caffe reader, against files that protobuf itself wrote and a real one."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fstore.errors import DataError
from fstore.extractor.weights.caffemodel import read_caffemodel

SCHEMA = """
syntax = "proto2";
package caffe_check;
message BlobShape { repeated int64 dim = 1 [packed = true]; }
message BlobProto {
  optional BlobShape shape = 7;
  repeated float data = 5 [packed = true];
  repeated float diff = 6 [packed = true];
  repeated double double_data = 8 [packed = true];
  repeated double double_diff = 9 [packed = true];
  optional int32 num = 1 [default = 0];
  optional int32 channels = 2 [default = 0];
  optional int32 height = 3 [default = 0];
  optional int32 width = 4 [default = 0];
}
message LayerParameter {
  optional string name = 1;
  optional string type = 2;
  repeated string bottom = 3;
  repeated string top = 4;
  repeated float loss_weight = 5;
  repeated BlobProto blobs = 7;
}
message V1LayerParameter {
  repeated string bottom = 2;
  repeated string top = 3;
  optional string name = 4;
  optional int32 type = 5;
  repeated BlobProto blobs = 6;
  repeated float blobs_lr = 7;
}
message NetParameter {
  optional string name = 1;
  repeated V1LayerParameter layers = 2;
  repeated string input = 3;
  repeated int32 input_dim = 4;
  optional bool force_backward = 5;
  repeated LayerParameter layer = 100;
}
"""
"""The messages of BVLC Caffe's caffe.proto that lead to weights, with neighbours to skip."""

RNG = np.random.default_rng(0)
CONV = RNG.standard_normal((4, 3, 2, 2)).astype(np.float32)
BIAS = RNG.standard_normal(4).astype(np.float32)
FC = RNG.standard_normal((5, 16)).astype(np.float32)


def compile_schema(folder: Path, text: str, name: str) -> ModuleType:
    """Compile a schema with protoc and import what it made."""
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed: no protoc")
    (folder / f"{name}.proto").write_text(text)
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--python_out=.", f"{name}.proto"],
        cwd=folder,
        check=True,
    )
    spec = importlib.util.spec_from_file_location(f"{name}_pb2", folder / f"{name}_pb2.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def caffe(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 - generated code
    """Compile the schema as Caffe has it."""
    return compile_schema(tmp_path_factory.mktemp("proto"), SCHEMA, "caffe_check")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 - generated code
    """Compile it with numbers that are not packed, as other writers leave them."""
    text = SCHEMA.replace(" [packed = true]", "").replace("caffe_check", "caffe_loose")
    return compile_schema(tmp_path_factory.mktemp("loose"), text, "caffe_loose")


def fill(blob: Any, values: Any, *, legacy: bool = False, double: bool = False) -> None:  # noqa: ANN401
    """Put an array into a BlobProto."""
    (blob.double_data if double else blob.data).extend(values.ravel().tolist())
    if legacy:
        shape = (1,) * (4 - values.ndim) + values.shape
        blob.num, blob.channels, blob.height, blob.width = shape
    else:
        blob.shape.dim.extend(values.shape)


def write(net: Any, folder: Path) -> Path:  # noqa: ANN401 - generated code
    """Serialise with protobuf."""
    path = folder / "net.caffemodel"
    path.write_bytes(net.SerializeToString())
    return path


def new_net(schema: Any, *, double: bool = False) -> Any:  # noqa: ANN401 - generated code
    """Make a network in the newer ``layer`` form, with a layer that has no weights."""
    net = schema.NetParameter(name="net", input=["data"], input_dim=[1, 3, 8, 8])
    net.layer.add(name="data", type="Input")
    conv = net.layer.add(name="conv1", type="Convolution", loss_weight=[0.5, 2.0])
    fill(conv.blobs.add(), CONV, double=double)
    fill(conv.blobs.add(), BIAS, double=double)
    fill(net.layer.add(name="fc", type="InnerProduct").blobs.add(), FC, double=double)
    return net


def test_reads_layer_messages(caffe: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """Newer files give every layer's blobs with their shapes."""
    found = read_caffemodel(write(new_net(caffe), tmp_path))
    assert list(found) == ["conv1", "fc"]
    np.testing.assert_array_equal(found["conv1"][0], CONV)
    np.testing.assert_array_equal(found["conv1"][1], BIAS)
    np.testing.assert_array_equal(found["fc"][0], FC)


def test_reads_v1_layers_with_legacy_shapes(caffe: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """V1 files give blobs of four dimensions: (1, 1, out, in) and (1, 1, 1, n)."""
    net = caffe.NetParameter(name="net")
    conv = net.layers.add(name="conv1", type=4, bottom=["data"], blobs_lr=[1, 2])
    fill(conv.blobs.add(), CONV, legacy=True)
    fill(conv.blobs.add(), BIAS, legacy=True)
    fill(net.layers.add(name="fc", type=14).blobs.add(), FC, legacy=True)
    found = read_caffemodel(write(net, tmp_path))
    np.testing.assert_array_equal(found["conv1"][0], CONV)
    np.testing.assert_array_equal(found["conv1"][1], BIAS.reshape(1, 1, 1, 4))
    np.testing.assert_array_equal(found["fc"][0], FC.reshape(1, 1, 5, 16))


def test_reads_doubles(caffe: Any, tmp_path: Path) -> None:  # noqa: ANN401 - generated code
    """``double_data`` is read as float32."""
    found = read_caffemodel(write(new_net(caffe, double=True), tmp_path))
    assert found["conv1"][0].dtype == np.float32
    np.testing.assert_array_equal(found["conv1"][0], CONV)


@pytest.mark.parametrize("double", [False, True])
def test_reads_unpacked_numbers(unpacked: Any, tmp_path: Path, double: bool) -> None:  # noqa: ANN401
    """Numbers that each carry their own tag are read as well, doubles too."""
    found = read_caffemodel(write(new_net(unpacked, double=double), tmp_path))
    np.testing.assert_array_equal(found["conv1"][0], CONV)
    np.testing.assert_array_equal(found["conv1"][1], BIAS)
    np.testing.assert_array_equal(found["fc"][0], FC)


def test_every_truncation_is_refused_or_shorter(caffe: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """A file cut anywhere is an error, or, cut between layers, simply has fewer of them."""
    path = write(new_net(caffe), tmp_path)
    whole = path.read_bytes()
    names = {("conv1", "fc"), ("conv1",)}
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            found = tuple(read_caffemodel(path))
        except DataError as error:
            assert "net.caffemodel" in str(error)  # noqa: PT017 - either outcome is right
        else:
            assert found in names


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"GIF89a" * 20, bytes(range(256))])
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is no Caffe model is a named error."""
    path = tmp_path / "garbage.caffemodel"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"garbage\.caffemodel"):
        read_caffemodel(path)


def test_shape_must_hold_the_values(caffe: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """A blob whose shape does not fit its values is refused."""
    net = new_net(caffe)
    net.layer[1].blobs[0].shape.dim.append(2)
    with pytest.raises(DataError, match=r"shape \(4, 3, 2, 2, 2\) holds 48 values"):
        read_caffemodel(write(net, tmp_path))


def test_reads_a_real_file() -> None:
    """A real model file has the shapes that its network definition implies."""
    folder = os.environ.get("FSTORE_REAL_DATA")
    if not folder:
        pytest.skip("FSTORE_REAL_DATA is not set: no real Caffe file")
    found = read_caffemodel(Path(folder) / "weights/det2.caffemodel")
    channels, side = 3, 24
    for block in (Path(folder) / "weights/det2.prototxt").read_text().split("\nlayer {")[1:]:
        entries = re.findall(r"(name|type|num_output|kernel_size): \"?([\w-]+)", block)
        text = dict(reversed(entries))  # of several types the first is the layer's
        outputs = int(text.get("num_output", 0))
        if text["type"] == "Convolution":
            kernel = int(text["kernel_size"])
            assert found[text["name"]][0].shape == (outputs, channels, kernel, kernel)
            channels, side = outputs, side - kernel + 1
        elif text["type"] == "Pooling":
            side = -(-(side - 3) // 2) + 1  # Caffe rounds up
        elif text["type"] == "PReLU":
            assert found[text["name"]][0].shape == (channels,)
        elif text["type"] == "InnerProduct":
            size = channels if text["name"] != "conv4" else channels * side**2
            assert found[text["name"]][0].shape == (outputs, size)
            channels = outputs if text["name"] == "conv4" else channels
        if outputs:
            assert found[text["name"]][1].shape == (outputs,)
    weights = found["conv1"][0]
    assert 0.01 < float(weights.std()) < 1
