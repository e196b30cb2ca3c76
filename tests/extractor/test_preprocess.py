"""Preprocessing as data: its hash, its fields, and how they are written."""

from dataclasses import replace

import numpy as np
import pytest

from fstore.errors import DataError
from fstore.extractor.networks import build_network
from fstore.extractor.preprocess import OPTIONS, Preprocess
from fstore.extractor.preprocess_text import parse_options

CAFFE = Preprocess(227, 256)
IMAGENET = Preprocess(
    224, 256, "shorter", "RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
)


@pytest.mark.parametrize(
    ("preprocess", "digest"),
    [
        (CAFFE, "4cab9f4e085c04a8aade4e2230af46f7de90fb7fcd3b6b58ffe131a7d830ee4e"),
        (IMAGENET, "c38b0124c2a2db7653a4c81381cb80318a8460af3588623cdc3fc44494a7c23d"),
        (
            build_network("caffenet-mini").preprocess,
            "8783cb798225bc2914c6e27412495326ef8d8976bdb551e9e81e7c4d4dc09ab2",
        ),
        (
            build_network("squeezenet-v1.0").formerly[0],
            "4cab9f4e085c04a8aade4e2230af46f7de90fb7fcd3b6b58ffe131a7d830ee4e",
        ),
        (
            build_network("caffenet").formerly[0],
            "4cab9f4e085c04a8aade4e2230af46f7de90fb7fcd3b6b58ffe131a7d830ee4e",
        ),
    ],
    ids=["caffe", "imagenet", "mini", "squeezenet", "caffenet"],
)
def test_what_was_the_only_way_keeps_its_hash(preprocess: Preprocess, digest: str) -> None:
    """Hashes are those that the program computed before there were other ways to resize."""
    assert preprocess.hash == digest


@pytest.mark.parametrize(
    "change",
    [
        {"interpolation": "bicubic"}, {"antialias": False}, {"exif": "apply"}, {"crop": "down"},
        {"size": 226}, {"resize": 257}, {"resize_mode": "shorter"}, {"context": 3},
        {"mean": (1.0, 2.0, 3.0)}, {"std": (1.0, 2.0, 3.0)}, {"scale": 0.5, "mean": (0, 0, 0)},
        {"order": "RGB", "mean": (123, 117, 104)},
    ],
)  # fmt: skip
def test_every_field_is_part_of_the_identity(change: dict[str, object]) -> None:
    """A preprocessing with another field has another hash, and says so in its JSON."""
    other = CAFFE.with_options(change)
    assert other.hash != CAFFE.hash
    assert set(change) <= {*other.options()}
    assert other.with_options(CAFFE.options()).hash == CAFFE.hash


def test_options_are_all_but_the_mean_image() -> None:
    """Read back from its options, any preprocessing is the same; tuples come back as tuples."""
    odd = replace(IMAGENET, interpolation="lanczos", exif="apply", crop="down", context=1)
    assert CAFFE.with_options(odd.options()) == odd
    assert {*OPTIONS} == {*odd.options()}


def test_a_mean_replaces_the_mean_image() -> None:
    """Of an image and three numbers the one that was given last counts; other fields keep it."""
    image = np.ones((3, 256, 256), np.float32)
    with_image = replace(CAFFE, mean_image=image)
    assert with_image.with_options({"mean": (1, 2, 3)}).mean_image is None
    assert with_image.with_options({"size": 200}).mean_image is image
    with pytest.raises(
        DataError, match=r"shape \(3, 256, 256\); expected numbers, \(3, 300, 300\)"
    ):
        with_image.with_options({"resize": 300})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"siz": 3}, r"no 'siz'; there are: size, resize, .*exif, crop$"),
        ({"mean_image": 3}, "a mean image has an option of its own"),
        ({"order": "RGB"}, "another order needs another mean: the network's are in BGR"),
        ({"scale": 1 / 255}, "another scale needs another mean"),
        ({"resize": 200}, "input size 227 exceeds resize=200"),
        ({"interpolation": "cubic"}, "'bilinear' or 'bicubic' or 'lanczos' or 'nearest'"),
        ({"antialias": 0}, "antialias=0; expected True or False"),
        ({"mean": (1, 2)}, "expected 3 numbers"),
        ({"crop": "up"}, "'nearest' or 'down'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, object], message: str) -> None:
    """What is unknown, or would mean something else than before, is named."""
    with pytest.raises(DataError, match=message):
        CAFFE.with_options(options)


def test_a_network_without_colours_of_its_own_may_be_turned() -> None:
    """Three equal numbers mean the same in any order, so they need not be given again."""
    grey = Preprocess(8, 8, mean=(9.0, 9.0, 9.0), std=(2.0, 2.0, 2.0))
    assert grey.with_options({"order": "RGB"}).order == "RGB"
    with pytest.raises(DataError, match="needs another std"):
        replace(grey, std=(1.0, 2.0, 3.0)).with_options({"order": "RGB"})


def test_options_are_read_from_the_command_line() -> None:
    """Every field can be written; commas part fields and colours, fractions are exact."""
    texts = [
        "size=288, resize=320", "mean=0.48,0.45,1/2,std=1,2,3", "antialias=No", "scale=1/255",
        "resize_mode=shorter,order=RGB,context=4,interpolation=bicubic,exif=apply,crop=down",
    ]  # fmt: skip
    read = parse_options(texts)
    assert read == {
        "size": 288, "resize": 320, "mean": (0.48, 0.45, 0.5), "std": (1.0, 2.0, 3.0),
        "antialias": False, "scale": 1 / 255, "resize_mode": "shorter", "order": "RGB",
        "context": 4, "interpolation": "bicubic", "exif": "apply", "crop": "down",
    }  # fmt: skip
    assert {*read} == {*OPTIONS}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bicubic", "no NAME=VALUE: 'bicubic'; there are: size, resize"),
        ("", "no NAME=VALUE"),
        ("interpol=bicubic", "no 'interpol' in a preprocessing; there are: size"),
        ("size=1,size=2", "size is given twice"),
        ("size=2.5", "size='2.5'; expected a whole number of pixels"),
        ("mean=1,2", "expected three numbers, as in"),
        ("scale=1/0", "a fraction such as 1/255"),
        ("antialias=off", "antialias='off'; expected true or false"),
        ("mean_image=a.npy", "no 'mean_image'"),
    ],
)
def test_texts_that_cannot_be_read_are_refused(text: str, message: str) -> None:
    """The message says what was written and what there is."""
    with pytest.raises(DataError, match=message):
        parse_options([text])
