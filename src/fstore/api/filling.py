"""What puts things into a store: data sets, checkpoints, responses."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fstore.api.samples import part_text
from fstore.store.catalog import DatasetInfo
from fstore.store.store import Store as StoredTables
from fstore.types import CheckpointRecord, Precision

if TYPE_CHECKING:
    from fstore.workflows.extract.run import Summary
    from fstore.workflows.preparation import OwnPreprocess

__all__ = ["FilledStore"]


class FilledStore(StoredTables):
    """A store with the methods that put things into it."""

    def add_dataset(
        self,
        name: str,
        root: str | Path | None = None,
        *,
        format: str,  # noqa: A002 - the word of the command line
        seeds: Sequence[int] = (),
        fractions: tuple[float, float, float] | None = None,
        copy_images: bool = False,
        quiet: bool = False,
        **options: Any,  # noqa: ANN401 - each format has its own
    ) -> DatasetInfo:
        """Register a data set: its files are hashed, its samples, labels and splits noted.

        Parameters
        ----------
        name : str
            What the store will know it by.
        root : str, Path or None
            Folder of the images, or a text such as ``s3://BUCKET/PREFIX``, which needs
            ``copy_images``; None for formats that make their images (``digits``).
        format : str
            ``imagefolder``, ``voc``, ``coco``, ``csv``, ``digits``, ...: the names of
            ``fstore dataset add --help``.
        seeds, fractions
            A stratified random split for each seed; shares of train, val and test
            (0.5, 0.1, 0.4).
        copy_images : bool
            Copy the images into the store, so that who opens it elsewhere has them.
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
                root=root,
                copy_images=copy_images,
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
        file: str | Path | None = None,
        *,
        network: str,
        name: str,
        weights: str | None = None,
        key: str | None = None,
        preprocess: "OwnPreprocess | None" = None,
        mean: str | Path | None = None,
        iteration: int | None = None,
        lr: float | None = None,
        seed: int | None = None,
        parent: str | None = None,
        quiet: bool = False,
    ) -> CheckpointRecord:
        """Register weights as a checkpoint of a network: those of a file, or published ones.

        Parameters
        ----------
        file : str, Path or None
            safetensors, torch state dict, ``.npz``, ``.caffemodel``, or a folder with weights.
        network : str
            Which network they are of: a name of ``fstore networks``, or your own function as
            ``path/to/file.py:function`` or ``package.module:function``.
        name : str
            What the store will know it by.
        weights : str or None
            In place of a file: what the network's library publishes under that name, as
            ``IMAGENET1K_V2`` or ``default``. They are downloaded, unless the library has them.
        key : str or None
            Which of several state dicts in the file.
        preprocess : mapping, Preprocess or None
            Where images are prepared in another way than the network states, as in
            ``{"interpolation": "bicubic"}``.
        mean : str, Path or None
            Mean image, ``.npy``.
        iteration, lr, seed : numbers or None
            What is known of the training.
        parent : str or None
            Checkpoint of the same network that training started from.
        quiet : bool
            Say nothing.

        Returns
        -------
        CheckpointRecord

        Raises
        ------
        UnknownNameError
            No such network.
        DataError
            The weights do not fit the network, or cannot be loaded back; neither or both of a
            file and ``weights``.
        IdentityError
            The name is registered with other weights or preprocessing.
        """
        from fstore.api.progress import tell
        from fstore.workflows.checkpoints import import_checkpoint

        said: list[str] = []
        record = import_checkpoint(
            self, None if file is None else Path(file), network=network, name=name,
            weights=weights, key=key, preprocess=preprocess,
            mean=None if mean is None else Path(mean),
            iteration=iteration, lr=lr, seed=seed, parent=parent, say=said.append,
        )  # fmt: skip
        tell(said, quiet=quiet)
        return record

    def init_checkpoint(
        self,
        *,
        network: str,
        name: str,
        seed: int = 0,
        classes: int | None = None,
        preprocess: "OwnPreprocess | None" = None,
    ) -> CheckpointRecord:
        """Register a network's random initial weights, which a seed draws, as a checkpoint.

        Parameters
        ----------
        network, name, preprocess
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

        return init_checkpoint(
            self, network=network, name=name, seed=seed, classes=classes, preprocess=preprocess
        )

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
        encoders: int | None = None,
        memory: int | None = None,
        max_bad: int = 100,
        rectify: bool = False,
        quiet: bool = False,
    ) -> "Summary":
        """Store the responses of layers to a data set; what is there is not redone.

        Parameters
        ----------
        layers, ckpt, dataset : str or sequence of str
            One name each, or several. Layer ``all`` means the declared layers,
            ``blocks.*.mlp`` those that match, ``relu`` the modules of that class.
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
        encoders : int or None
            Threads that encode what is stored; None: half of the cores.
        memory : int or None
            Bytes that responses and inputs may take: shards and batches become smaller where they
            must. None: they have their usual sizes.
        max_bad : int
            More unreadable images than this end the run.
        rectify : bool
            Store max(x, 0) of each response; part of the identity.
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
            workers=workers, encoders=encoders, memory=memory, max_bad=max_bad, rectify=rectify,
        )  # fmt: skip
        chosen = Chosen(
            _names(layers), _names(ckpt), _names(dataset), _names(view), network,
            part_text(split, part), from_stored,
        )  # fmt: skip
        return extracted(self, chosen, options, quiet=quiet)


def _names(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)
