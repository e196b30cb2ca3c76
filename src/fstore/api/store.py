"""The store that ``fstore.open`` returns."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fstore.api.derived import add_layer_from
from fstore.api.features import Features
from fstore.api.listing import Listing
from fstore.api.loader import loader
from fstore.api.reading import Pool, Taken, check_taken, refuse_useless
from fstore.api.samples import chosen_samples, part_text
from fstore.html_text import heading_html
from fstore.store.catalog import DatasetInfo
from fstore.store.store import Store as StoredTables
from fstore.types import CheckpointRecord, Precision

if TYPE_CHECKING:
    from fstore.workflows.extract.run import Summary

__all__ = ["Store"]


class Store(StoredTables):
    """Activations, and what they were computed from, in one folder.

    ``fstore.open(path)`` and ``fstore.create(path)`` return one. Fill it with
    :meth:`add_dataset`, :meth:`add_checkpoint` and :meth:`extract`; ask it with :meth:`features`,
    :meth:`sql`, ``analyze`` and :meth:`report`.
    """

    def features(
        self,
        layer: str,
        ckpt: str,
        dataset: str,
        *,
        view: Literal["image", "gt", "proposal"] = "image",
        network: str | None = None,
        split: str | None = None,
        part: Literal["train", "val", "test", "trainval"] | None = None,
        ablation: str | None = None,
        pool: Pool | None = None,
        difficult: bool = False,
        shuffle_seed: int = 0,
    ) -> Features:
        """Return the stored responses of a layer to samples of a data set, read when asked for.

        Parameters
        ----------
        layer : str
        ckpt : str
            Checkpoint, as NAME or NETWORK/NAME.
        dataset : str
        view : {"image", "gt", "proposal"}
            Whole images, ground-truth boxes, or proposals.
        network : str or None
            Where several have a checkpoint of this name.
        split : str or None
            ``official``, ``random:3``; None for the only one that the data set has, else the
            official one.
        part : {"train", "val", "test", "trainval"} or None
            None for all samples that are stored.
        ablation : str or None
            What is taken of responses first: ``binarize``, ``top_k=5``, ... as
            ``fstore analyze classification --ablation``.
        pool : {"mean", "max"} or None
            One value of a map: its mean or its largest, from columns of their own where there is
            no ablation (then maps are not read). None for whole maps.
        difficult : bool
            Keep boxes that are flagged difficult.
        shuffle_seed : int
            Of the permutations of ``sp_shuffle``.

        Returns
        -------
        Features
            With ``.X``, ``.y``, ``.Y``, ``.ids``, ``.images``, ``.classes``, ``.polars()`` and
            ``.torch()``.

        Raises
        ------
        UnknownNameError
            Something of that name is not there, or not stored; the message has the command that
            makes it.
        DataError
            A split without a part; no such pool; the layer is stored as bits, which tell
            ``ablation="binarize"`` only.
        """
        from fstore.store.export import find_partition
        from fstore.store.features import layer_shape

        taken = Taken(None if ablation == "none" else ablation, pool, shuffle_seed)
        check_taken(taken)
        partition = find_partition(
            self, layer=layer, ckpt=ckpt, dataset=dataset, view=view, network=network
        )
        refuse_useless(self, partition, taken)
        ids = chosen_samples(self, partition, split=split, part=part, difficult=difficult)
        shape = layer_shape(self, partition)
        return Features(self, partition, ids, layer_shape=shape, taken=taken, difficult=difficult)

    loader = loader

    # Filling it

    add_layer_from = add_layer_from

    def add_dataset(
        self,
        name: str,
        root: str | Path | None = None,
        *,
        format: str,  # noqa: A002 - the word of the command line
        seeds: Sequence[int] = (),
        fractions: tuple[float, float, float] | None = None,
        quiet: bool = False,
        **options: Any,  # noqa: ANN401 - each format has its own
    ) -> DatasetInfo:
        """Register a data set: its files are hashed, its samples, labels and splits noted.

        Parameters
        ----------
        name : str
            What the store will know it by.
        root : str, Path or None
            Folder of the images; None for formats that make their images (``digits``).
        format : str
            ``imagefolder``, ``voc``, ``coco``, ``csv``, ``digits``, ...: the names of
            ``fstore dataset add --help``.
        seeds, fractions
            A stratified random split for each seed; shares of train, val and test
            (0.5, 0.1, 0.4).
        quiet : bool
            Say nothing.
        **options
            The format's own, as in ``docs/datasets.md``.

        Returns
        -------
        DatasetInfo
            The same where it was registered already.

        Raises
        ------
        UnknownNameError
            No such format.
        DataError
            The folder does not hold such a data set, or the format has no such option.
        IdentityError
            The name is registered with other content.
        """
        from fstore.api.progress import shown, tell
        from fstore.workflows.datasets import add_dataset

        notes: list[str] = []
        with shown(quiet=quiet) as update:
            add_dataset(
                self,
                name,
                format,
                root=None if root is None else Path(root),
                seeds=seeds,
                fractions=fractions,
                on_progress=lambda done, total: update("hashing", done, total, "files"),
                on_note=notes.append,
                **options,
            )
        tell([f"{name}: {text}" for text in notes], quiet=quiet)
        return self.dataset(name)

    def add_checkpoint(
        self,
        file: str | Path,
        *,
        network: str,
        name: str,
        quiet: bool = False,
        **options: Any,  # noqa: ANN401 - those of the workflow, which checks them
    ) -> CheckpointRecord:
        """Register a file of weights as a checkpoint of a network.

        Parameters
        ----------
        file : str or Path
            safetensors, torch state dict, ``.npz`` or ``.caffemodel``.
        network : str
            Which network they are of: a name of ``fstore networks``, or your own function as
            ``package.module:function``.
        name : str
            What the store will know it by.
        quiet : bool
            Say nothing.
        **options
            What :func:`fstore.workflows.import_checkpoint` takes beside: ``iteration``, ``lr``,
            ``seed``, ``parent``, ``mean``, ``key``.

        Returns
        -------
        CheckpointRecord

        Raises
        ------
        UnknownNameError
            No such network.
        DataError
            The weights do not fit the network, or cannot be loaded back.
        IdentityError
            The name is registered with other weights or preprocessing.
        """
        from fstore.api.progress import tell
        from fstore.workflows.checkpoints import import_checkpoint

        said: list[str] = []
        record = import_checkpoint(
            self, Path(file), network=network, name=name, say=said.append, **options
        )
        tell(said, quiet=quiet)
        return record

    def init_checkpoint(
        self, *, network: str, name: str, seed: int = 0, classes: int | None = None
    ) -> CheckpointRecord:
        """Register a network's random initial weights, which a seed draws, as a checkpoint.

        Parameters
        ----------
        network, name : str
            As for :meth:`add_checkpoint`.
        seed : int
            From 0; the same seed gives the same weights.
        classes : int or None
            Outputs; None for the network's own number.

        Raises
        ------
        UnknownNameError
            No such network.
        IdentityError
            The name is registered with other weights.
        """
        from fstore.workflows.checkpoints import init_checkpoint

        return init_checkpoint(self, network=network, name=name, seed=seed, classes=classes)

    def extract(
        self,
        layers: str | Sequence[str],
        ckpt: str | Sequence[str],
        dataset: str | Sequence[str],
        *,
        view: str | Sequence[str] = (),
        network: str | None = None,
        split: str | None = None,
        part: Literal["train", "val", "test", "trainval"] | None = None,
        from_stored: str | None = None,
        precision: Precision = "tf32",
        compute: str = "float32",
        device: str = "auto",
        batch_size: int | None = None,
        workers: int | None = None,
        max_bad: int = 100,
        quiet: bool = False,
    ) -> "Summary":
        """Store the responses of layers to a data set; what is there is not redone.

        Parameters
        ----------
        layers, ckpt, dataset : str or sequence of str
            One name each, or several; layer ``all`` means the declared layers.
        view : str or sequence of str
            ``image``, ``gt``, ``proposal``; none named: image and gt.
        network : str or None
            Whose checkpoints are meant, where names are ambiguous.
        split, part : str or None
            As for :meth:`features`.
        from_stored : str or None
            Stored layer below those asked for: the rest of the network runs on its responses.
        precision : {"tf32", "float32", "bfloat16", "bit"}
            What stored values are rounded to.
        compute : {"float32", "tf32", "bfloat16", "float16"}
            Arithmetic of the forward pass.
        device : str
            ``auto``, ``cpu``, ``cuda`` or ``cuda:0,1``.
        batch_size, workers : int or None
            Samples a forward pass, decoding threads; None: as fits the machine.
        max_bad : int
            More unreadable images than this end the run.
        quiet : bool
            Say nothing; else a terminal or a notebook shows how far it is.

        Returns
        -------
        Summary
            What was added, what was there, which images could not be read, and the time.

        Raises
        ------
        UnknownNameError
            No such checkpoint, data set, view, layer or part.
        IdentityError
            A name stands for other content in the store.
        DataError
            A file changed since it was registered, or too many images are unreadable.
        """
        from fstore.api.progress import extracted
        from fstore.workflows.extract.plan import Chosen, ExtractionOptions

        options = ExtractionOptions(
            precision=precision, compute=compute, device=device, batch_size=batch_size,
            workers=workers, max_bad=max_bad,
        )  # fmt: skip
        chosen = Chosen(
            _names(layers), _names(ckpt), _names(dataset), _names(view), network,
            part_text(split, part), from_stored,
        )  # fmt: skip
        return extracted(self, chosen, options, quiet=quiet)

    # What is in it

    def datasets(self) -> Listing[DatasetInfo]:
        """Return the registered data sets, by name."""
        return Listing(
            super().datasets(),
            columns=("data set", "format", "task", "classes", "samples", "folder"),
            cells=lambda d: (
                d.name,
                d.format,
                d.task,
                len(d.classes),
                ", ".join(f"{n} {view}" for view, n in d.counts.items()),
                d.root,
            ),
        )

    def checkpoints(self, network: str | None = None) -> Listing[CheckpointRecord]:
        """Return the checkpoints, by network, iteration and name."""
        return Listing(
            super().checkpoints(network),
            columns=("network", "checkpoint", "iteration", "parent", "sha256"),
            cells=lambda c: (c.network, c.name, c.iteration, c.parent, c.sha256[:12]),
        )

    def partitions(self) -> Listing[dict[str, Any]]:
        """Return what is extracted: a row a network, checkpoint, data set, view and layer."""
        from fstore.store.status import STATUS_COLUMNS

        return Listing(
            self.status(), columns=STATUS_COLUMNS, cells=lambda r: [r[c] for c in STATUS_COLUMNS]
        )

    def __repr__(self) -> str:
        return f"fstore.open({str(self.path)!r})"

    def _repr_html_(self) -> str:
        listed = {
            "Data sets": self.datasets()._repr_html_(),
            "Checkpoints": self.checkpoints()._repr_html_(),
            "Extracted": self.partitions()._repr_html_(),
        }
        return heading_html(f"Store {self.path}") + "".join(
            f"{heading_html(title)}{html}" for title, html in listed.items() if html
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy a store as the folder that it is in."""
        return type(self).open, (str(self.path),)


def _names(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)
