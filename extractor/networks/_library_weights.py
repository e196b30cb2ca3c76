"""Weights that timm, open_clip and Hugging Face's hub publish, by the tag of a training."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fstore.errors import UnknownNameError
from fstore.extractor.networks._downloads import Published
from fstore.extractor.networks._libraries import LIBRARIES, import_extra

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["of_hub", "of_open_clip", "of_timm"]

HUB = "https://huggingface.co/"


def of_timm(network: str, name: str) -> Published:
    """Return timm's weights of a tag; ``default``: of the network's own tag, else timm's first."""
    timm = import_extra("timm", "timm")
    short, tag = _split(network)
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{short}.*")]
    first = timm.get_pretrained_cfg(short, allow_unregistered=True)
    wanted = _tag(network, name, tags, default=tag or (first.tag if first else ""))
    config = timm.get_pretrained_cfg(f"{short}.{wanted}")

    def fetch() -> "Mapping[str, Tensor]":
        state: Mapping[str, Tensor] = timm.create_model(
            f"{short}.{wanted}", pretrained=True
        ).state_dict()
        return state

    url = f"{HUB}{config.hf_hub_id}" if config.hf_hub_id else str(config.url)
    return _published("timm", short, wanted, url=url, fetch=fetch)


def of_open_clip(network: str, name: str) -> Published:
    """Return open_clip's weights of a training; it recommends none of several."""
    open_clip = import_extra("open_clip", "open_clip")
    short, tag = _split(network)
    tags = open_clip.list_pretrained_tags_by_model(short)
    wanted = _tag(network, name, tags, default=tag or (tags[0] if len(tags) == 1 else ""))
    config: dict[str, Any] = open_clip.get_pretrained_cfg(short, wanted)
    hub = config.get("hf_hub", "")
    url = f"{HUB}{hub}".rstrip("/") if hub else config.get("url", "")

    def fetch() -> Path:
        return Path(open_clip.download_pretrained(config))

    return _published("open_clip", short, wanted, url=url, fetch=fetch)


def of_hub(network: str, name: str) -> Published:
    """Return the weights beside a configuration: of a folder, or of a model of the hub."""
    source = network.partition(":")[2]
    if name.casefold() != "default":
        raise UnknownNameError(
            f"network {network!r} has one set of weights, which is called default, not {name!r}"
        )
    folder = Path(source)

    def fetch() -> Path:
        if folder.is_dir():
            return folder
        hub = import_extra("huggingface_hub", "hf")
        kinds = ["*.safetensors", "*.bin", "*.index.json"]
        return Path(hub.snapshot_download(source, allow_patterns=kinds))

    url = str(folder) if folder.is_dir() else f"{HUB}{source}"
    return Published("default", f"the weights of {source}", url, None, fetch)


def _split(network: str) -> tuple[str, str]:
    short, _, tag = network.partition(":")[2].partition(".")
    return short, tag


def _tag(network: str, name: str, tags: list[str], *, default: str) -> str:
    """Return the tag that is meant; one other than the network's own is another network."""
    short, own = _split(network)
    wanted = default if name.casefold() == "default" else name.removeprefix(f"{short}.")
    prefix = network.partition(":")[0]
    if wanted not in tags:
        listed = ", ".join(sorted(tags)) or "none"
        why = f"{prefix} recommends none" if not wanted else f"{prefix} has no weights {wanted!r}"
        raise UnknownNameError(f"{why} for {short}; there are: {listed}")
    if own and wanted != own:
        raise UnknownNameError(
            f"network {network!r} is that of the training {own}; import the weights {wanted} for "
            f"--network {prefix}:{short}.{wanted}"
        )
    return wanted


def _published(
    prefix: str, short: str, tag: str, *, url: str, fetch: "Callable[[], Any]"
) -> Published:
    tagged = LIBRARIES[prefix].function(f"{prefix}:{short}.{tag}")
    return Published(tag, f"{prefix}'s {short}.{tag}", url, tagged.preprocess, fetch)
