"""JPEG files decoded on a GPU: nvJPEG, through TorchCodec.

torchvision has nvJPEG, too, but its decoders are on their way out since 0.29.
"""

from typing import TYPE_CHECKING

from PIL import Image

from fstore.errors import DataError
from fstore.extras import need
from fstore.pixels.image_files import decode, plain_jpeg

if TYPE_CHECKING:
    import torch

__all__ = ["DECODER", "GpuDecoder", "decoder_of"]

DECODER = "nvjpeg"


def decoder_of(name: str, device: "torch.device") -> "GpuDecoder | None":
    """Return what decodes images in the way that is named; None: the usual one, Pillow.

    Raises
    ------
    DataError
        An unknown name; or nvJPEG is meant, and the device is no GPU.
    """
    if name == "exact":
        return None
    if name != DECODER:
        raise DataError(f"unknown decoder {name!r}; use exact, {DECODER}")
    if device.type != "cuda":
        raise DataError(
            f"decoder {DECODER!r} needs a GPU, and the network runs on {device.type!r}; leave "
            "--decoder out, or choose --device cuda"
        )
    return GpuDecoder(device)


class GpuDecoder:
    """Decodes usual JPEGs on a device, and all other images with Pillow.

    Usual is what :func:`fstore.pixels.image_files.plain_jpeg` says: no grey, no CMYK, no EXIF
    orientation, which TorchCodec would follow.

    nvJPEG's pixels differ from Pillow's by rounding and by how it enlarges the colour planes. A
    JPEG that it cannot read is refused: which decoder an image went through must not depend on the
    state of a device. Files that end early are Pillow's to refuse.

    Parameters
    ----------
    device : torch.device
        A GPU; on the CPU TorchCodec decodes with libjpeg, to Pillow's own pixels.

    Raises
    ------
    MissingExtraError
        TorchCodec is not installed.
    """

    def __init__(self, device: "torch.device") -> None:
        self._device = device
        self._decode = need("torchcodec.decoders", extra="nvjpeg").decode_jpeg

    def __call__(self, data: bytes, *, uri: str = "") -> Image.Image:
        """Decode an image to 8-bit RGB; parameters and errors are those of ``decode``."""
        if not plain_jpeg(data):
            return decode(data, uri=uri)
        try:
            planes = self._decode(data, mode="RGB", device=self._device)
        except MemoryError:
            raise
        except RuntimeError as error:
            if "out of memory" in str(error):
                raise
            raise DataError(
                f"{uri or 'image'}: nvJPEG cannot decode it: {error}; extract it without "
                f"--decoder {DECODER}"
            ) from error
        return Image.fromarray(planes.permute(1, 2, 0).contiguous().cpu().numpy())
