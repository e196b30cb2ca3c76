"""Weights that libraries publish, by name or by that of their file, and what they state."""

import hashlib
import json
import socket
from pathlib import Path

import pytest
import torch
from torchvision import models

from fstore import workflows
from fstore.errors import DataError, UnknownNameError
from fstore.extractor.networks import published
from fstore.extractor.networks._downloads import in_cache
from fstore.store import Store

SHUFFLE = "torchvision:shufflenet_v2_x0_5"
REGNET = "torchvision:regnet_y_400mf"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store."""
    return Store.create(tmp_path / "store")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give torch's cache of downloads, empty, and no network."""

    def no_network(*_args: object, **_named: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    return tmp_path / "torch" / "hub" / "checkpoints"


def save(short: str, path: Path) -> dict[str, torch.Tensor]:
    """Write random weights of a network of torchvision."""
    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = models.get_model(short, weights=None).state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return state


@pytest.mark.slow
def test_published_weights_bring_their_own_preprocessing(hub: Path, store: Store) -> None:
    """Each entry of torchvision's enum is imported with the transforms that this entry states."""
    for entry in models.RegNet_Y_400MF_Weights:
        save("regnet_y_400mf", hub / entry.url.rpartition("/")[2])
        record = workflows.import_checkpoint(
            store, network=REGNET, weights=entry.name.lower(), name=entry.name
        )
        transforms = entry.transforms()
        assert json.loads(record.preprocessing)["resize"] == transforms.resize_size[0]
        assert workflows.load_network(store, record).preprocess.hash == record.preprocessing_hash
        assert json.loads(record.recipe)["published"] == entry.name
        assert json.loads(record.recipe)["url"] == entry.url
    assert len({r.preprocessing_hash for r in store.checkpoints(REGNET)}) == 2


def test_a_files_name_tells_its_preprocessing(tmp_path: Path, store: Store) -> None:
    """A file that is called like published weights is prepared as these say, and a note says so."""
    notes: list[str] = []
    for name in ("regnet_y_400mf-c65dace8.pth", "mine.pth"):
        save("regnet_y_400mf", tmp_path / name)
        workflows.import_checkpoint(
            store, tmp_path / name, network=REGNET, name=name[:4], say=notes.append
        )
    sizes = {r.name: json.loads(r.preprocessing)["resize"] for r in store.checkpoints(REGNET)}
    assert sizes == {"regn": 256, "mine": 232}  # IMAGENET1K_V1's, and the default's
    (told,) = [note for note in notes if "RegNet_Y_400MF_Weights.IMAGENET1K_V1" in note]
    assert "regnet_y_400mf-c65dace8.pth" in told


def test_what_the_user_states_comes_first(tmp_path: Path, store: Store) -> None:
    """Fields that are given change what the weights state, and nothing else of it."""
    save("regnet_y_400mf", tmp_path / "regnet_y_400mf-c65dace8.pth")
    record = workflows.import_checkpoint(
        store,
        tmp_path / "regnet_y_400mf-c65dace8.pth",
        network=REGNET,
        name="own",
        preprocess={"interpolation": "bicubic"},
    )
    stated = json.loads(record.preprocessing)
    assert (stated["interpolation"], stated["resize"]) == ("bicubic", 256)


def test_without_a_network_the_address_is_told(hub: Path, store: Store) -> None:
    """What cannot be downloaded is told with its address and what to do; nothing is left behind."""
    url = models.ShuffleNet_V2_X0_5_Weights.DEFAULT.url
    with pytest.raises(DataError, match="no network in tests") as told:
        workflows.import_checkpoint(store, network=SHUFFLE, weights="default", name="v1")
    assert url in str(told.value)
    assert "import it under its own name, shufflenetv2_x0.5-f707e7126e.pth" in str(told.value)
    assert not list(hub.iterdir())


def test_a_download_is_kept_and_its_hash_compared(hub: Path, tmp_path: Path) -> None:
    """What an address gives lands in torch's cache; another content than its name says does not."""
    content = b"weights"
    start = hashlib.sha256(content).hexdigest()[:8]
    for name in (f"right-{start}.pth", "wrong-00000000.pth"):
        (tmp_path / name).write_bytes(content)
    right = in_cache((tmp_path / f"right-{start}.pth").as_uri())
    assert right.read_bytes() == content
    assert right.parent == hub
    with pytest.raises(RuntimeError, match="invalid hash value"):
        in_cache((tmp_path / "wrong-00000000.pth").as_uri())
    assert [path.name for path in hub.iterdir()] == [right.name]


@pytest.mark.parametrize(
    ("network", "weights", "error", "message"),
    [
        (SHUFFLE, "V9", UnknownNameError, "there are: IMAGENET1K_V1, and default"),
        ("caffenet", "default", DataError, "nobody publishes weights for network 'caffenet'"),
        ("torchvision:keypointrcnn_resnet50_fpn", "COCO_LEGACY", DataError, "use default"),
        ("torchvision:resnet19", "default", UnknownNameError, "resnet19"),
        ("timm:resnet18", "zz", UnknownNameError, "there are: a1_in1k, a2_in1k"),
        ("timm:resnet18.a1_in1k", "a2_in1k", UnknownNameError, "--network timm:resnet18.a2_in1k"),
        ("open_clip:ViT-B-32", "default", UnknownNameError, "open_clip recommends none"),
        ("hf:google/vit", "v2", UnknownNameError, "which is called default"),
    ],
)
def test_names_of_weights_are_checked(
    network: str, weights: str, error: type[Exception], message: str
) -> None:
    """Weights that there are not, and networks without any, are told with what there is."""
    with pytest.raises(error, match=message):
        published(network, weights)


def test_timms_own_tag_is_its_default() -> None:
    """Weights of timm are known by their tag, with the preprocessing of that tag."""
    plain = published("timm:resnet18", "default")
    assert plain.name == "a1_in1k"
    assert plain.url == "https://huggingface.co/timm/resnet18.a1_in1k"
    other = published("timm:resnet18.tv_in1k", "default")
    assert other.preprocess is not None
    assert plain.preprocess is not None
    # timm's configurations: crop_pct 0.95 and bicubic, 0.875 and bilinear
    assert (plain.preprocess.resize, plain.preprocess.interpolation) == (235, "bicubic")
    assert (other.preprocess.resize, other.preprocess.interpolation) == (256, "bilinear")


def test_a_folders_weights_are_its_default(tmp_path: Path) -> None:
    """The weights beside a configuration are read from its folder, and none are downloaded."""
    from fstore.extractor.networks import fetched

    assert fetched(published(f"hf:{tmp_path}", "default")) == tmp_path


def test_a_file_or_published_weights_not_both(tmp_path: Path, store: Store) -> None:
    """Which weights are meant is never a guess."""
    for file, weights in ((None, None), (tmp_path / "w.pth", "default")):
        with pytest.raises(DataError, match="one of both"):
            workflows.import_checkpoint(store, file, network=SHUFFLE, weights=weights, name="x")


def test_every_entry_of_torchvision_can_be_said() -> None:
    """The transforms of all published weights for classification are one of fstore's."""
    told = 0
    for short in models.list_models(module=models):
        for entry in models.get_model_weights(short):
            stated = published(f"torchvision:{short}", entry.name).preprocess
            transforms = entry.transforms()
            assert stated is not None
            assert stated.interpolation == transforms.interpolation.value
            assert (stated.size, stated.mean) == (transforms.crop_size[0], tuple(transforms.mean))
            told += 1
    assert told > 100
