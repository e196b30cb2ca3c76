"""Tell files that hold no weights that fstore reads, by ending and first bytes, in plain words."""

import re
from pathlib import Path

from fstore.errors import DataError

__all__ = ["refuse_foreign", "refuse_shard"]

OTHERS = {
    ".onnx": "an ONNX graph; save the PyTorch model's state_dict() instead",
    ".pb": "a TensorFlow or ONNX graph; save the weights as .npz or .safetensors",
    ".h5": "a Keras or HDF5 file; save the arrays with numpy.savez, in the network's names",
    ".hdf5": "a Keras or HDF5 file; save the arrays with numpy.savez, in the network's names",
    ".keras": "a Keras model; save the arrays with numpy.savez, in the network's names",
    ".tflite": "a TensorFlow Lite model; save the weights as .npz or .safetensors",
    ".msgpack": "a Flax file; save the arrays with numpy.savez, in the network's names",
    ".gguf": "a GGUF file, whose weights are quantized; save them as .safetensors",
    ".pt2": "an exported program; save the PyTorch model's state_dict() instead",
    ".npy": "one array without a name; save named ones with numpy.savez (a mean image: --mean)",
    ".prototxt": "the description of a Caffe network; its weights are in the .caffemodel",
    ".pkl": "a Python pickle; save the tensors with torch.save(model.state_dict(), 'file.pt')",
    ".pickle": "a Python pickle; save the tensors with torch.save(model.state_dict(), 'file.pt')",
    ".zip": "a zip archive; unpack it and import the file of weights inside",
    ".gz": "compressed; unpack it first",
    ".xz": "compressed; unpack it first",
    ".bz2": "compressed; unpack it first",
}
"""Endings of other programs: what such a file is, and what to do."""

LFS = b"version https://git-lfs"
MAGIC = (
    (LFS, "a pointer of git-lfs, not the weights; fetch them with: git lfs pull"),
    (b"\x89HDF", OTHERS[".h5"]),
    (b"GGUF", OTHERS[".gguf"]),
    (b"\x1f\x8b", OTHERS[".gz"]),
    (b"\xfd7zXZ", OTHERS[".xz"]),
    (b"BZh", OTHERS[".bz2"]),
    (b"\x93NUMPY", OTHERS[".npy"]),
    (b"%PDF", "a PDF document, not weights"),
    (b"\x89PNG", "an image, not weights"),
    (b"\xff\xd8\xff", "an image, not weights"),
)
"""First bytes of files that are something else, whatever their ending says."""

SHARD = re.compile(r"(.+)-(\d{3,6})-of-(\d{3,6})(\.[a-z]+)", re.IGNORECASE)


def refuse_foreign(path: Path) -> None:
    """Refuse a path that cannot hold weights.

    Raises
    ------
    DataError
        No file, an empty one, or one that is something else; what it is and what to do is said.
    """
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder; name the file of weights in it")
        if not path.exists():
            raise DataError(f"no file {path}; expected weights to import")
        if not path.is_file():
            raise DataError(f"{path} is no ordinary file; expected weights to import")
        with path.open("rb") as file:
            start = file.read(512)
    except (OSError, ValueError) as exc:  # ValueError: a name with a NUL
        reason = getattr(exc, "strerror", None) or exc
        raise DataError(f"cannot read {path}: {reason}") from exc
    if not start:
        raise DataError(f"{path} is empty; copy or download the weights again")
    what = next((words for magic, words in MAGIC if start.startswith(magic)), None)
    if what is None and start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        what = "a web page (HTML or XML), not weights; download the file itself"
    what = what or OTHERS.get(path.suffix.lower())
    if what is not None:
        raise DataError(f"{path} is {what}")


def refuse_shard(path: Path) -> None:
    """Refuse one of several files that hold a network's weights together.

    Raises
    ------
    DataError
        The name says that it is one of several; their index is named.
    """
    shard = SHARD.fullmatch(path.name)
    if shard and int(shard[3]) > 1:
        raise DataError(
            f"{path} is part {int(shard[2])} of {int(shard[3])} of the weights; import their index "
            f"instead: {shard[1]}{shard[4]}.index.json"
        )
