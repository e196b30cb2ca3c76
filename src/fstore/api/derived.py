"""A layer that a function of the user's makes from a stored one: ``store.add_layer_from``."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fstore.api.applying import Applied
from fstore.errors import DataError
from fstore.names import check_storable
from fstore.store.derived import definition, refuse_other
from fstore.store.files import Identity, Partition, StoredFile
from fstore.types import LayerSpec, Precision

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["DerivedLayer", "add_layer_from"]

SHARD_BYTES = 3 << 27  # of what is derived, as float32: more is committed in parts
VERSION, WEIGHTS = "function version", "function weights"
"""Parts of the identity: what the user says of the function."""


@dataclass(frozen=True, slots=True)
class DerivedLayer:
    """What :meth:`~fstore.api.store.Store.add_layer_from` did.

    Attributes
    ----------
    partition : Partition
        Where the layer is.
    shape : tuple of int
        Of a sample: (K, H, W), or (K,).
    samples, present : int
        That were added; that were there before.
    bytes, raw_bytes : int
        That were added on disk, and what they would take as plain float32.
    non_finite : int
        Responses of a channel to a sample that hold a NaN or an infinity.
    """

    partition: Partition
    shape: tuple[int, ...]
    samples: int = 0
    present: int = 0
    bytes: int = 0
    raw_bytes: int = 0
    non_finite: int = 0


def add_layer_from(
    store: "Store",
    layer: str,
    ckpt: str,
    dataset: str,
    *,
    name: str,
    function: Callable[[Any], Any],
    weights: Mapping[str, Any] | None = None,
    version: str | None = None,
    view: Literal["image", "gt", "proposal"] = "image",
    network: str | None = None,
    precision: Precision | None = None,
    batch_size: int = 256,
    arrays: bool = False,
    quiet: bool = False,
) -> DerivedLayer:
    """Apply a function to a stored layer's responses, and store what it returns as a layer.

    The new layer belongs to the same network, checkpoint and data set. SQL, ``features``,
    ``analyze``, ``export`` and the rest read it as any other. Files are gone through one by one;
    each is committed when it is done, and what is there is not done again. So a run that was
    stopped goes on, and one for new samples adds those. In memory are one file of the stored
    layer and what is derived from it, at most 384 MiB of it.

    Parameters
    ----------
    layer, ckpt, dataset, view, network
        Which responses, as for ``store.features``.
    name : str
        Of the new layer, such as ``sae/conv5``.
    function : callable
        Takes responses of n samples, a torch tensor (n, C, H, W) or (n, C), float32, on the CPU.
        Returns (n, K) or (n, K, H', W'), a tensor on any device or an array. What it returns for
        a sample must depend on that sample alone; this is checked. No gradients are kept.
    weights : mapping of str to tensor or array, or None
        What the function computes with, such as ``model.state_dict()``; its hash is noted.
    version : str or None
        A name for what the function does. At least one of ``weights`` and ``version`` is needed:
        the store cannot look into a function. Change it whenever the code changes.
    precision : {"tf32", "float32", "bfloat16", "bit"} or None
        What values are rounded to; None: as those of the stored layer.
    batch_size : int
        Samples that the function is given at once.
    arrays : bool
        Give the function NumPy arrays in place of tensors.
    quiet : bool
        Show no progress.

    Returns
    -------
    DerivedLayer

    Raises
    ------
    DataError
        Neither ``weights`` nor ``version``; the function returns something else, or what it
        returns for a sample depends on others; the layer is stored as bits.
    IdentityError
        The name stands for another layer, or what is stored under it was made with other
        ``weights``, another ``version`` or other responses; the message has the command that
        makes room.
    UnknownNameError
        Something of that name is not there, or not stored.
    """
    from fstore.queries.samples.asked import Asked

    about = _about(weights, version)
    _check_name(name)
    asked = Asked(layer=layer, ckpt=ckpt, dataset=dataset, view=view, network=network)
    source = asked.partition(store)
    applied = Applied(function, batch_size=batch_size, arrays=arrays)
    work = _Work(store, source, name=name, applied=applied, about=about, precision=precision)
    return work.do(quiet=quiet)


class _Work:
    """One call of :func:`add_layer_from`: names looked up, the function tried."""

    def __init__(
        self,
        store: "Store",
        source: Partition,
        *,
        name: str,
        applied: Applied,
        about: Mapping[str, str],
        precision: Precision | None,
    ) -> None:
        from fstore.store.features import layer_shape, refuse_bits

        self.store, self.source, self.applied, self.about = store, source, applied, about
        self.files = sorted(store.files(**source.values), key=lambda file: file.first_sample)
        refuse_bits(self.files)
        self.shape = layer_shape(store, source)
        self.target = replace(source, layer=name)
        self._parts = self.files[0].identity.parts
        self.precision: Precision = precision or self._parts.get("stored precision", "float32")  # type: ignore[assignment]

    def do(self, *, quiet: bool) -> DerivedLayer:
        """Derive what is not stored yet."""
        from fstore.api.progress import shown
        from fstore.store.runs import recorded
        from fstore.store.sink import missing_samples

        spec = self._spec()
        identity = self._identity(spec)
        refuse_other(self.store.place, self.source.network, spec.name, definition=spec.definition)
        missing_samples(
            self.store.place, np.empty(0, dtype=np.int64), {self.target: identity}
        )  # refuses other content before anything is recorded
        self.store.add_layers(self.source.network, [spec])
        told = {**self.source.values, "name": spec.name, **self.about}
        done = DerivedLayer(self.target, _plain_shape(spec))
        with recorded(self.store, "derive", told, libraries=("torch", "numpy")) as run:
            run.fingerprints = {str(self.target): identity.fingerprint}
            with shown(quiet=quiet) as tell:
                for i, file in enumerate(self.files):
                    tell(f"{self.target}", i, len(self.files), "")
                    done = self._derive(file, spec, identity=identity, done=done)
                tell(f"{self.target}", len(self.files), len(self.files), "")
            run.samples, run.bytes = done.samples, done.bytes
            run.rows = done.samples * spec.channels
        return done

    def _spec(self) -> LayerSpec:
        """Try the function on a few samples, and return what its layer is."""
        from fstore.store.shards import read_shard

        # The largest file: in one of a single sample no dependence on others could be seen.
        largest = max(self.files, key=lambda file: file.n_samples)
        X = read_shard(largest, self.shape, rows=np.arange(min(3, largest.n_samples)))
        channels, height, width = self.applied.try_on(self._as_maps(X))
        rows_on_record = self.store.rows("layers", network=self.source.network).to_pylist()
        own = next(row for row in rows_on_record if row["layer"] == self.source.layer)
        old = [row["order"] for row in rows_on_record if row["layer"] == self.target.layer]
        return LayerSpec(
            name=self.target.layer,
            channels=channels,
            height=height,
            width=width,
            kind="fc" if height * width == 1 else "conv",
            order=old[0] if old else 1 + max(row["order"] for row in rows_on_record),
            definition=definition(self.source.layer, own["definition"], (channels, height, width)),
        )

    def _identity(self, spec: LayerSpec) -> Identity:
        kept = {
            k: v for k, v in self._parts.items() if k in ("weights", "preprocessing", "samples")
        }
        return Identity(
            {
                **kept,
                "definition": spec.definition,
                "stored precision": self.precision,
                "compute precision": "of a function",
                "derived from": f"{self.source.layer} {self.files[0].fingerprint}",
                **self.about,
            }
        )

    def _derive(
        self, file: StoredFile, spec: LayerSpec, *, identity: Identity, done: DerivedLayer
    ) -> DerivedLayer:
        """Derive what is missing of one file; commit it."""
        from fstore.store.shapes import check_shapes
        from fstore.store.shards import read_shard
        from fstore.store.sink import missing_samples, write_shard

        ids, place = file.sample_ids, self.store.place
        missing = missing_samples(place, ids, {self.target: identity})[self.target]
        done = replace(done, present=done.present + len(ids) - len(missing))
        step = max(1, SHARD_BYTES // (4 * spec.values))
        for start in range(0, len(missing), step):
            part = missing[start : start + step]
            X = self._as_maps(read_shard(file, self.shape, rows=np.searchsorted(ids, part)))
            batches = list(self.applied.batches(X, part, spec, precision=self.precision))
            for batch, _ in batches:
                check_shapes(batch, [spec])
            report = write_shard(place, [batch for batch, _ in batches], {self.target: identity})
            done = replace(
                done,
                samples=done.samples + len(part),
                bytes=done.bytes + report.bytes,
                raw_bytes=done.raw_bytes + report.raw_bytes,
                non_finite=done.non_finite + sum(n for _, n in batches),
            )
        return done

    def _as_maps(self, X: Any) -> Any:  # noqa: ANN401 - an array of any shape
        shape = self.shape
        if shape.positions == 1:
            return X.reshape(len(X), shape.channels)
        return X.reshape(len(X), shape.channels, shape.height, shape.width)


def _plain_shape(spec: LayerSpec) -> tuple[int, ...]:
    if spec.positions == 1:
        return (spec.channels,)
    return spec.channels, spec.height, spec.width


def _check_name(name: str) -> None:
    """Refuse a name that ``fstore extract --layer`` would take for something else."""
    check_storable(name, "layer")
    if name == "all" or any(c in name for c in ",*?["):
        raise DataError(
            f"a layer cannot be called '{name}': --layer takes 'all', commas and wildcards for "
            "several names; use a name such as 'sae/conv5'"
        )


def _about(weights: Mapping[str, Any] | None, version: str | None) -> dict[str, str]:
    """Return the parts of the identity that say what the function is."""
    if not weights and not version:
        raise DataError(
            "say what the function is, since the store cannot look into it and must not mix what "
            "two functions made: weights=model.state_dict() for what it computes with, or "
            "version='...' for a name of what it does, or both"
        )
    parts = {VERSION: version} if version else {}
    return {**parts, **({WEIGHTS: _digest(weights)} if weights else {})}


def _digest(weights: Mapping[str, Any]) -> str:
    """Hash tensors or arrays by name, type, shape and bytes; their order does not matter."""
    import torch

    told = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name]
        tensor = value if isinstance(value, torch.Tensor) else torch.as_tensor(np.asarray(value))
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        told.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        told.update(flat.view(torch.uint8).numpy().tobytes())
    return told.hexdigest()
