"""Pictures: from a file or from bytes to RGB pixels, or to one clear error."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from mmupt.errors import DataError
from mmupt.types import ImageSource

# A picture is recognised by its content, and only as one of these: Pillow also knows formats that start other programs
# (EPS calls Ghostscript), which nothing found in a data set may do.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""What a folder of pictures is searched for."""
MAX_PIXELS = 89_478_485  # Pillow's own threshold of a decompression bomb: 256 MiB as RGB
MAX_ASPECT = 200  # the Qwen2-VL image processor refuses anything longer


def open_image(source: ImageSource) -> Image.Image:
    """The whole picture as RGB, decoded.

    EXIF orientation is applied, transparency is composited on white, 16-bit grey is scaled to 8 bits, of an animation
    the first frame is taken. Raises `DataError`, which names the picture, for whatever cannot be used.
    """
    with _opened(source) as image:
        try:
            image.load()
            rgb = _to_rgb(ImageOps.exif_transpose(image), f"picture {source.label}")
        except DataError:
            raise
        except Exception as error:  # decoders raise whatever a damaged file happens to trip over
            raise DataError(
                f"picture {source.label} is damaged ({str(error) or type(error).__name__}); copy or download it again"
            ) from error
    rgb.info = {}  # profiles, comments and EXIF described the file, not these pixels
    return rgb


def picture_size(source: ImageSource) -> tuple[int, int]:
    """(width, height) as stored, before EXIF orientation; reads and raises as `check_header` does."""
    with _opened(source) as image:
        return image.size


def check_header(source: ImageSource) -> None:
    """Whether the picture is there, is one, and has a size that can be used; reads the first bytes only.

    Raises `DataError` like `open_image`, but cannot see that a file is cut short.
    """
    with _opened(source):
        pass


def encode_png(image: Image.Image, *, effort: int = 6) -> bytes:
    """The picture as PNG, without loss; `effort` (0 to 9) trades time for bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=effort)
    return buffer.getvalue()


@contextmanager
def _opened(source: ImageSource) -> Iterator[Image.Image]:
    """The picture with its header read, its size checked, its pixels not yet decoded."""
    name = f"picture {source.label}"
    with _stream(source, name) as stream:
        try:
            image = Image.open(stream, formats=FORMATS)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise DataError(_too_large(name)) from error
        except Exception as error:  # as above; what is no picture at all ends here too
            raise DataError(f"{name} is not a picture that can be read; use one of {', '.join(FORMATS)}") from error
        width, height = image.size
        if width < 1 or height < 1:
            raise DataError(f"{name} is empty ({width} x {height} pixels); replace it")
        if width * height > MAX_PIXELS:
            raise DataError(_too_large(name))
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise DataError(
                f"{name} is {width} x {height} pixels: one side is more than {MAX_ASPECT} times the other, which "
                "vision models refuse; crop or pad it"
            )
        yield image


def _stream(source: ImageSource, name: str) -> BinaryIO:
    stream: BinaryIO
    if source.data is not None:
        stream = io.BytesIO(source.data)
    elif source.path is None:
        raise DataError("a picture has neither a path nor bytes; give it one of them")
    elif "://" in source.path:
        raise DataError(f"{name} is an address, and nothing is downloaded here; save it to a file and name that")
    else:
        path = Path(source.path)
        try:
            if not path.exists():
                raise DataError(f"{name} does not exist; paths are relative to the folder of the data file")
            if not path.is_file():  # opening a pipe or a device could wait forever
                raise DataError(f"{name} is not a file; name a picture")
            stream = path.open("rb")
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise DataError(f"{name} cannot be opened ({error}); check the path and its permissions") from error
    if not stream.read(1):
        stream.close()
        raise DataError(f"{name} is empty (0 bytes); copy or download it again")
    stream.seek(0)
    return stream


def _too_large(name: str) -> str:
    return f"{name} has more than {MAX_PIXELS:,} pixels, which may be a decompression bomb; scale it down"


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "F":
        raise DataError(f"{name} has floating-point pixels without a known range; save it as an 8-bit PNG")
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bit(image, name)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _from_16_bit(image: Image.Image, name: str) -> Image.Image:
    """0..65535 to 0..255. Pillow's own conversion clips at 255 and leaves a white sheet."""
    pixels = np.asarray(image).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65_535:
        raise DataError(f"{name} has 32-bit pixels without a known range; save it as an 8-bit PNG")
    return Image.fromarray(((pixels + 128) // 257).astype(np.uint8)).convert("RGB")
