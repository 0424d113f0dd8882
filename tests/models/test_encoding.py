"""Pictures that come up again are not opened again, unless they have changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmupt.data.images import encode_png
from mmupt.data.settings import PromptSettings
from mmupt.errors import DataError
from mmupt.models import encoding
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.types import EncodedPrompt, ImageSource, Prompt

SETTINGS = PromptSettings(min_pixels=3136, max_pixels=50_000)
BYTES_56 = 16 * 1176 * 4 + 3 * 8  # 56 x 56 pixels: 16 patches, and their grid


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Labels of the pictures that were decoded."""
    labels: list[str] = []
    open_image = encoding.open_image

    def recording(source: ImageSource) -> Image.Image:
        labels.append(source.label)
        return open_image(source)

    monkeypatch.setattr(encoding, "open_image", recording)
    yield labels


def save(path: Path, colour: str) -> ImageSource:
    Image.new("RGB", (56, 56), colour).save(path, "BMP")  # as many bytes whatever the colour
    return ImageSource(path=str(path))


def ask(encoder: PromptEncoder, *sources: ImageSource) -> EncodedPrompt:
    return encoder(Prompt("row", "<image>" * len(sources) + "?", sources))


def same(a: EncodedPrompt, b: EncodedPrompt) -> bool:
    pairs: Sequence[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]] = [
        (dict(x.tensors), dict(y.tensors)) for x, y in zip(a.pictures, b.pictures, strict=True)
    ]
    return torch.equal(a.token_ids, b.token_ids) and all(torch.equal(x[name], y[name]) for x, y in pairs for name in x)


def test_a_picture_is_opened_once_for_many_questions(tiny: LoadedModel, tmp_path: Path, opened: list[str]) -> None:
    path = save(tmp_path / "a.bmp", "red")
    data = ImageSource(data=encode_png(Image.new("RGB", (56, 84), "blue")))
    twin = ImageSource(data=bytes(bytearray(data.data or b"")))
    encoder = PromptEncoder(tiny.family, SETTINGS)
    answers = [ask(encoder, path, data), ask(encoder, path, twin), ask(encoder, data, path, path)]
    assert opened == [path.label, data.label]
    fresh = [ask(PromptEncoder(tiny.family, SETTINGS), *pair) for pair in ((path, data), (path, twin))]
    assert same(answers[0], fresh[0]) and same(answers[1], fresh[1])
    assert [picture.key for picture in answers[2].pictures] == [answers[0].pictures[i].key for i in (1, 0, 0)]


def test_the_longest_unused_picture_is_forgotten(
    tiny: LoadedModel, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "PICTURES_KEPT", 2 * BYTES_56)
    a, b, c = (save(tmp_path / name, "red") for name in ("a.bmp", "b.bmp", "c.bmp"))
    encoder = PromptEncoder(tiny.family, SETTINGS)
    for source in (a, b, a, c, a, b):
        ask(encoder, source)
    assert [Path(label).stem for label in opened] == ["a", "b", "c", "b"]


@pytest.mark.parametrize("how", ["rewritten", "replaced"])
def test_a_file_that_changed_is_read_anew(tiny: LoadedModel, tmp_path: Path, opened: list[str], how: str) -> None:
    source = save(tmp_path / "a.bmp", "red")
    encoder = PromptEncoder(tiny.family, SETTINGS)
    red = ask(encoder, source)
    stat = os.stat(tmp_path / "a.bmp")
    if how == "rewritten":
        save(tmp_path / "a.bmp", "blue")
        os.utime(tmp_path / "a.bmp", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    else:  # another file under the name, with the time and the size of the first
        save(tmp_path / "b.bmp", "blue")
        os.utime(tmp_path / "b.bmp", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        os.replace(tmp_path / "b.bmp", tmp_path / "a.bmp")
    blue = ask(encoder, source)
    assert len(opened) == 2 and blue.pictures[0].key != red.pictures[0].key
    assert same(blue, ask(PromptEncoder(tiny.family, SETTINGS), source))


def test_a_file_that_is_gone_is_missed(tiny: LoadedModel, tmp_path: Path) -> None:
    source = save(tmp_path / "a.bmp", "red")
    encoder = PromptEncoder(tiny.family, SETTINGS)
    ask(encoder, source)
    (tmp_path / "a.bmp").unlink()
    with pytest.raises(DataError, match=r"prompt row: picture .*a\.bmp does not exist"):
        ask(encoder, source)


@pytest.mark.parametrize("source", [ImageSource(path="no\0name"), ImageSource(path="http://x/y.png"), ImageSource()])
def test_what_is_no_file_is_one_clear_message(tiny: LoadedModel, source: ImageSource) -> None:
    with pytest.raises(DataError, match="prompt row: "):
        ask(PromptEncoder(tiny.family, SETTINGS), source)
