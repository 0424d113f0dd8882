from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmupt.data.images import MAX_PIXELS, check_header, encode_png, open_image
from mmupt.errors import DataError
from mmupt.types import ImageSource


def encoded(image: Image.Image, fmt: str = "PNG", **options: object) -> ImageSource:
    buffer = io.BytesIO()
    image.save(buffer, format=fmt, **options)
    return ImageSource(data=buffer.getvalue())


def test_content_decides_not_the_extension(tmp_path: Path) -> None:
    path = tmp_path / "really_a_jpeg.png"
    Image.new("RGB", (20, 10), (200, 0, 0)).save(path, format="JPEG")
    image = open_image(ImageSource(path=str(path)))
    assert (image.mode, image.size) == ("RGB", (20, 10))
    assert np.allclose(image.getpixel((3, 3)), (200, 0, 0), atol=4)


def test_transparency_is_composited_on_white() -> None:
    rgba = Image.new("RGBA", (3, 1), (0, 0, 255, 255))
    rgba.putpixel((1, 0), (0, 0, 0, 0))  # black and invisible: a plain conversion would show it
    rgba.putpixel((2, 0), (0, 0, 0, 128))
    image = open_image(encoded(rgba))
    assert [image.getpixel((x, 0)) for x in range(3)] == [(0, 0, 255), (255, 255, 255), (127, 127, 127)]


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    picture = Image.new("RGB", (4, 4), (255, 255, 255)).convert(mode)
    image = open_image(encoded(picture, "TIFF"))
    assert image.mode == "RGB"
    assert image.getpixel((0, 0)) == (255, 255, 255)


def test_palette_with_a_transparent_colour() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((1, 0), 1)
    image = open_image(encoded(palette, "PNG", transparency=0))
    assert [image.getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), (255, 0, 0)]


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    levels = np.array([[0, 257, 128 * 257, 65_535]], dtype=np.uint16)
    image = open_image(encoded(Image.fromarray(levels)))
    assert [image.getpixel((x, 0)) for x in range(4)] == [(v, v, v) for v in (0, 1, 128, 255)]


def test_exif_orientation_is_applied() -> None:
    picture = Image.new("RGB", (40, 20), (0, 0, 0))
    picture.paste((255, 255, 255), (0, 0, 20, 20))  # white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    image = open_image(encoded(picture, "PNG", exif=exif))
    assert image.size == (20, 40)
    assert image.getpixel((10, 5)) == (255, 255, 255)  # white on top
    assert image.getpixel((10, 35)) == (0, 0, 0)


def test_png_is_lossless_and_says_nothing_else() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (13, 7, 3), dtype=np.uint8)
    original = Image.fromarray(pixels)
    original.info["comment"] = "from elsewhere"
    again = open_image(ImageSource(data=encode_png(original)))
    assert np.array_equal(np.asarray(again), pixels)
    assert again.info == {}


def test_a_bad_file_is_named_with_what_to_do(tmp_path: Path, make_png, make_png_header) -> None:
    whole = encoded(Image.effect_noise((200, 200), 50).convert("RGB")).data
    assert whole is not None
    cases: dict[str, tuple[bytes, str, str]] = {
        "empty.png": (b"", "0 bytes", "download it again"),
        "text.png": (b"not a picture at all", "is not a picture", "use one of PNG"),
        "cut.png": (whole[: len(whole) // 2], "damaged", "download it again"),
        "flat.png": (make_png_header(0, 5), "", ""),
        "long.png": (make_png(size=(402, 2)), "402 x 2", "crop or pad"),
        "bomb.png": (make_png_header(30_000, 30_000), "decompression bomb", "scale it down"),
        "eps.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "is not a picture", "use one"),
    }
    for name, (data, wrong, remedy) in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(DataError) as caught:
            open_image(ImageSource(path=str(path)))
        assert all(part in str(caught.value) for part in (str(path), wrong, remedy)), caught.value


def test_missing_folder_pipe_and_address(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    for path, wrong in {
        str(tmp_path / "none.png"): "does not exist",
        str(tmp_path): "is not a file",
        str(tmp_path / "pipe.png"): "is not a file",
        "https://example.org/a.png": "is an address",
        "a\0b.png": "",
    }.items():
        with pytest.raises(DataError, match="picture") as caught:
            open_image(ImageSource(path=path))
        assert wrong in str(caught.value)
        assert path in str(caught.value)
    with pytest.raises(DataError, match="neither a path nor bytes"):
        open_image(ImageSource())


def test_pixels_without_a_known_range_are_refused() -> None:
    with pytest.raises(DataError, match="floating-point"):
        open_image(encoded(Image.new("F", (4, 4), 0.5), "TIFF"))
    with pytest.raises(DataError, match="32-bit"):
        open_image(encoded(Image.new("I", (4, 4), 70_000), "TIFF"))


def test_the_longest_picture_that_is_allowed(make_png) -> None:
    assert open_image(ImageSource(data=make_png(size=(400, 2)))).size == (400, 2)
    assert MAX_PIXELS > 8192 * 8192


def test_header_check_sees_all_but_the_missing_end(tmp_path: Path) -> None:
    whole = encoded(Image.effect_noise((200, 200), 50).convert("RGB")).data
    assert whole is not None
    cut = ImageSource(data=whole[: len(whole) // 2])
    check_header(cut)
    with pytest.raises(DataError, match="damaged"):
        open_image(cut)
    with pytest.raises(DataError, match="is not a picture"):
        check_header(ImageSource(data=b"hello"))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_random_damage_never_escapes_as_another_error(make_png) -> None:
    rng = np.random.default_rng(1)
    for fmt in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"):
        whole = encoded(Image.effect_noise((32, 32), 80).convert("RGB"), fmt).data
        assert whole is not None
        for _ in range(60):
            data = bytearray(whole)
            for place in rng.integers(0, len(data), 6):
                data[place] = rng.integers(0, 256)
            with contextlib.suppress(DataError):
                assert open_image(ImageSource(data=bytes(data))).mode == "RGB"
