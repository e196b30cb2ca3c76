"""The file of weights in a folder, as Hugging Face's programs write one."""

from pathlib import Path

from fstore.errors import DataError

__all__ = ["weights_in"]

PREFERRED = (
    "model.safetensors.index.json",
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
"""The same weights under several of these names are usual; the first that is there is read."""
ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz", ".caffemodel")


def weights_in(folder: Path) -> Path:
    """Return the file of weights in a folder.

    Raises
    ------
    DataError
        There is none, or there are several of names that do not say which is meant.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
    except OSError as exc:
        raise DataError(f"cannot read the folder {folder}: {exc.strerror}") from exc
    for name in PREFERRED:
        if name in names:
            return folder / name
    weights = [name for name in names if name.lower().endswith(ENDINGS)]
    if len(weights) == 1:
        return folder / weights[0]
    what = (
        f"several files of weights: {', '.join(weights[:8])}" if weights else "no file of weights"
    )
    raise DataError(
        f"the folder {folder} has {what}; name the file, or the .index.json of several parts"
    )
