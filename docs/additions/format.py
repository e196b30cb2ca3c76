"""Images whose file name begins with their class: ``cat.17.jpg``."""

from collections.abc import Sequence
from pathlib import Path

from fstore.extractor.datasets import Fractions, Progress, dataset_format
from fstore.extractor.datasets._files import check_manifest, file_facts, random_splits
from fstore.types import DatasetManifest, SampleRecord, ViewManifest


@dataset_format("class-in-name")
def class_in_name(
    name: str,
    root: Path,
    *,
    seeds: Sequence[int] = (),
    fractions: Fractions | None = None,
    on_progress: Progress | None = None,
) -> DatasetManifest:
    """Read a folder of images whose file names begin with their class and a full stop."""
    uris = sorted(path.name for path in root.iterdir())
    labels = [uri.partition(".")[0] for uri in uris]
    samples = tuple(
        SampleRecord(uri, uri, facts.digest, facts.width, facts.height, {label: 1})
        for uri, label, facts in zip(
            uris, labels, file_facts(root, uris, on_progress=on_progress), strict=True
        )
    )
    view = ViewManifest("image", samples, random_splits(samples, seeds, fractions))
    classes = tuple(sorted(set(labels)))
    return check_manifest(DatasetManifest(name, "single", classes, root, (view,), "class-in-name"))
