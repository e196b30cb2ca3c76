"""A trained detector: one linear SVM a class on a layer's features, kept in the store's folder."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from fstore import commands
from fstore.errors import DataError, UnknownNameError
from fstore.names import check_storable
from fstore.store.commits import storage

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Detector", "detector_names", "how_to_train", "load_detector", "save_detector"]

FOLDER, SUFFIX = "detectors", ".safetensors"


@dataclass(frozen=True, slots=True)
class Detector:
    """Linear SVMs on the features of boxes.

    Attributes
    ----------
    name : str
    network, ckpt, layer, ablation : str
        What its features are.
    shuffle_seed : int
        Of the permutations, if the ablation is sp-shuffle.
    classes : tuple of str
        Those that there is an SVM for.
    W : array of shape (n_features, n_classes), float32
    b : array of shape (n_classes,), float32
        Scores are ``scale * X @ W + b``.
    scale : float
    record : mapping
        What it was trained on and how, as JSON knows it: ``fingerprint``, ``trained_on``,
        ``classes`` (counts and objectives), ``options``, ``trained_at`` and more.
    """

    name: str
    network: str
    ckpt: str
    layer: str
    ablation: str
    shuffle_seed: int
    classes: tuple[str, ...]
    W: NDArray[np.float32]
    b: NDArray[np.float32]
    scale: float
    record: Mapping[str, Any] = field(default_factory=dict)

    def scores(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a score a row and class; X of shape (n, n_features), ablated, not scaled.

        Raises
        ------
        DataError
            The features have another length.
        """
        if X.shape[1] != len(self.W):
            raise DataError(
                f"detector '{self.name}' works on features of {len(self.W)} values, not of "
                f"{X.shape[1]}; is {self.layer} another layer now?"
            )
        scores: NDArray[np.float32] = X @ (self.W * np.float32(self.scale)) + self.b
        return scores


def save_detector(store: "Store", detector: Detector) -> Path:
    """Write a detector to the store's folder ``detectors``; one of the same name is replaced.

    Returns
    -------
    Path
        A safetensors file: tensors ``W`` and ``b``, everything else in its metadata.
    """
    from safetensors.numpy import save_file

    place, key = store.place, _key(detector.name)
    about = {
        name: getattr(detector, name)
        for name in (
            *("network", "ckpt", "layer", "ablation", "shuffle_seed", "classes", "scale"),
            "record",
        )
    }
    with storage(f"cannot write detector '{detector.name}'"):
        unfinished = place.draft(FOLDER, ".tmp")
        tensors = {"W": np.ascontiguousarray(detector.W), "b": np.ascontiguousarray(detector.b)}
        about["sha256"] = _sha256(tensors["W"], tensors["b"])
        save_file(tensors, unfinished, metadata={"detector": json.dumps(about)})
        place.put(unfinished, key)
    return place.local(key)


def load_detector(store: "Store", name: str) -> Detector:
    """Read a detector.

    Raises
    ------
    UnknownNameError
        There is none of that name; the message lists those there are.
    DataError
        Its file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    key = _key(name)
    if store.place.entry(key) is None:
        names = ", ".join(detector_names(store)) or "none yet"
        raise UnknownNameError(
            f"no detector '{name}'; there are: {names}; train one with: {how_to_train(store)}"
        )
    path = store.place.local(key)
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads(file.metadata()["detector"])
            W, b = file.get_tensor("W"), file.get_tensor("b")
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no detector, or damaged: {error}") from error
    said = about.pop("sha256", None)  # an older fstore noted none
    if said is not None and said != _sha256(W, b):
        raise DataError(
            f"{path} is damaged: its SVMs are not those that were trained; bring the file back "
            f"from a copy, or train it again, with the options it had: {_again(store, name, about)}"
        )
    about["classes"] = tuple(about["classes"])
    return Detector(name=name, W=W, b=b, **about)


def how_to_train(store: "Store") -> str:
    """Return the command that trains a detector, on responses to proposals that are stored.

    Where there are none, words in capitals stand for what is to be chosen.
    """
    stored = sorted({file.partition for file in store.files(view="proposal")})
    if not stored:
        return commands.detect_train(store.place, layer="LAYER", ckpt="CKPT", datasets=["DATASET"])
    where = stored[0]
    return commands.detect_train(
        store.place,
        layer=where.layer,
        ckpt=f"{where.network}/{where.ckpt}",
        datasets=[where.dataset],
    )


def _again(store: "Store", name: str, about: Mapping[str, Any]) -> str:
    """Return the command that trains a detector again; ``about`` is what its file says of it."""
    learned = [part["dataset"] for part in about["record"].get("trained_on", ())]
    return commands.detect_train(
        store.place,
        layer=about["layer"],
        ckpt=f"{about['network']}/{about['ckpt']}",
        datasets=list(dict.fromkeys(learned)) or ["DATASET"],
        ablation=about["ablation"],
        name=name,
        overwrite=True,
    )


def _sha256(W: NDArray[np.float32], b: NDArray[np.float32]) -> str:
    return hashlib.sha256(W.tobytes() + b.tobytes()).hexdigest()


def detector_names(store: "Store") -> list[str]:
    """Return the names of the detectors in the store, sorted."""
    files = [name for name in store.place.names(FOLDER) if fnmatch(name, f"[!.]*{SUFFIX}")]
    return sorted(unquote(file.removesuffix(SUFFIX)) for file in files)


def _key(name: str) -> str:
    if not name or name != name.strip() or name.startswith("."):
        raise DataError(f"{name!r} cannot name a detector; use letters, digits and . _ + : -")
    check_storable(name, "detector")
    return f"{FOLDER}/{quote(name, safe='=+:')}{SUFFIX}"
