"""The comparison behind docs/networks.md, for some of its networks: stored is what hooks see."""

import csv
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("timm")
pytest.importorskip("transformers")
pytest.importorskip("open_clip")

ROOT = Path(__file__).parent.parent
SOME = (
    "timm:resnet18.tv_in1k",
    "timm:deit_tiny_distilled_patch16_224.fb_in1k",
    "timm:swin_tiny_patch4_window7_224.ms_in1k",
    "timm:hiera_tiny_224.mae_in1k_ft_in1k",
    "hf:{folder}/Swinv2ForImageClassification",
    "hf:{folder}/DetrForObjectDetection",
    "torchvision:fasterrcnn_mobilenet_v3_large_320_fpn",
)
FAMILIES = {
    "ResNet", "DenseNet", "Inception", "GoogLeNet", "MobileNet", "EfficientNet", "RegNet",
    "ConvNeXt", "ViT", "DeiT", "DINOv2", "CLIP", "Swin", "SwinV2", "MaxViT", "GCViT", "Hiera",
    "BEiT", "HRNet", "segmentation", "detection",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the libraries' own
@pytest.mark.parametrize("name", SOME)
def test_stored_layers_are_what_plain_hooks_see(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value of every declared layer, in its place, and the input within some grey levels."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    cases, networks = import_module("_network_cases"), import_module("networks")
    (case,) = [case for case in cases.CASES if case.name == name]
    drawn = np.random.default_rng(0).integers(0, 256, (2, 9, 12, 3), dtype=np.uint8)
    images = [tmp_path / f"{i}.png" for i in range(2)]
    for path, pixels in zip(images, drawn, strict=True):
        Image.fromarray(pixels).resize((400, 300), Image.Resampling.BICUBIC).save(path)
    result = networks.compare(case, images)
    assert result.layers >= 5
    assert result.difference < 1e-5
    assert result.pixels is None or result.pixels <= 2


def test_the_table_has_every_family() -> None:
    """At least twenty networks were compared, one of each family at least, and all were equal."""
    with (ROOT / "docs" / "networks.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 20
    assert {row["family"] for row in rows} >= FAMILIES
    assert max(float(row["difference"]) for row in rows) < 1e-5
