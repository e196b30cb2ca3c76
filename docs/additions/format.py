"""Images whose file name begins with their class: ``cat.17.jpg``."""

from collections.abc import Sequence
from pathlib import Path

from fstore.extractor.datasets import Fractions, Progress, dataset_format
from fstore.extractor.datasets._files import check_manifest, file_facts, image_records
from fstore.extractor.datasets._splits import image_view
from fstore.types import DatasetManifest


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
    labels = {uri: uri.partition(".")[0] for uri in uris}
    facts = file_facts(root, uris, on_progress=on_progress)
    samples = image_records(uris, facts, {uri: {label: 1} for uri, label in labels.items()})
    view = image_view(samples, {}, seeds=seeds, fractions=fractions)
    classes = tuple(sorted(set(labels.values())))
    return check_manifest(DatasetManifest(name, "single", classes, root, (view,), "class-in-name"))
