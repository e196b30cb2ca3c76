"""The store that ``fstore.open`` returns."""

from typing import TYPE_CHECKING, Any, Literal

from fstore.api.derived import add_layer_from
from fstore.api.features import Features
from fstore.api.filling import FilledStore
from fstore.api.listing import Listing
from fstore.api.loader import loader
from fstore.api.reading import Pool, Taken, check_taken, refuse_useless
from fstore.api.samples import chosen_part, chosen_samples
from fstore.api.scanning import parquet_files, scan
from fstore.showing import heading_html
from fstore.store.catalog import DatasetInfo
from fstore.types import CheckpointRecord

if TYPE_CHECKING:
    from fstore.api.analyze import Analyses
    from fstore.api.network import LoadedNetwork
    from fstore.api.report import Report

__all__ = ["Store"]


class Store(FilledStore):
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
        from fstore.store.export import find_files
        from fstore.store.features import layer_shape

        taken = Taken(None if ablation == "none" else ablation, pool, shuffle_seed)
        check_taken(taken)
        files = find_files(
            self, layer=layer, ckpt=ckpt, dataset=dataset, view=view, network=network
        )
        partition = files[0].partition
        refuse_useless(files, taken)
        chosen = chosen_part(self, dataset, split=split, part=part)
        ids = chosen_samples(self, partition, chosen, difficult=difficult, files=files)
        shape = layer_shape(self, partition)
        return Features(
            self,
            partition,
            ids,
            layer_shape=shape,
            taken=taken,
            difficult=difficult,
            part=chosen,
            files=files,
        )

    loader = loader
    scan = scan
    parquet_files = parquet_files
    add_layer_from = add_layer_from

    # Asking it

    @property
    def analyze(self) -> "Analyses":
        """The analyses, each a method: ``store.analyze.selectivity(layer, ckpt, dataset)``."""
        from fstore.api.analyze import Analyses

        return Analyses(self)

    def report(self, name: str, *, study: str | None = None, quiet: bool = False) -> "Report":
        """Return a table or a figure of a study; what of it is stale is computed and stored.

        Parameters
        ----------
        name : str
            ``table7``, ``figure1``, ...: the names of ``fstore report list``.
        study : str or None
            A study that was set; None for the one set last.
        quiet : bool
            Show no progress.

        Returns
        -------
        Report
            A list of rows, with ``.df()``, ``.show()`` and ``.missing``; a notebook shows the
            table with the paper's numbers.

        Raises
        ------
        UnknownNameError
            No such report or study; nothing of it can be computed (the message has the command
            that makes what it needs).
        DataError
            The study does not bind a part that the report needs.
        """
        from fstore.api.report import report

        return report(self, name, study=study, quiet=quiet)

    def network(self, ckpt: str, *, network: str | None = None) -> "LoadedNetwork":
        """Return a checkpoint's torch network, with its weights and its preprocessing.

        Parameters
        ----------
        ckpt : str
            Checkpoint, as NAME or NETWORK/NAME.
        network : str or None
            Where several have a checkpoint of this name.

        Returns
        -------
        LoadedNetwork
            With ``.model``, ``.preprocess`` and ``.layers``; called with images it returns
            layers' responses.

        Raises
        ------
        UnknownNameError
            No such checkpoint, or its network's code is not there.
        StorageError
            The weights are gone or damaged.
        """
        from fstore.api.network import load

        return load(self, ckpt, network)

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
        return f"fstore.open({str(self.place)!r})"

    def _repr_html_(self) -> str:
        listed = {
            "Data sets": self.datasets()._repr_html_(),
            "Checkpoints": self.checkpoints()._repr_html_(),
            "Extracted": self.partitions()._repr_html_(),
        }
        return heading_html(f"Store {self.place}") + "".join(
            f"{heading_html(title)}{html}" for title, html in listed.items() if html
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy a store as the place that it is in."""
        return type(self).open, (str(self.place),)
