"""Small data sets on disk, and pictures that are wrong in one way each."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmupt.data.settings import DataSettings


def png(colour: Any = (10, 20, 30), size: tuple[int, int] = (8, 6), mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, format="PNG")
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.fixture
def make_png() -> Callable[..., bytes]:
    return png


@pytest.fixture
def make_png_header() -> Callable[[int, int], bytes]:
    return png_header


class Folder:
    """A data folder: `good` makes a row with its own picture, `jsonl` writes rows, `settings` reads them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "images").mkdir()

    def good(self, number: int, **changes: Any) -> dict[str, Any]:
        name = f"images/{number}.png"
        (self.path / name).write_bytes(png((number % 256, 0, 0)))
        row = {"id": f"q-{number}", "question": f"<image>What is {number}?", "images": [name], "answer": str(number)}
        return row | {"choices": None, "unit": None, "meta": {"level": number}} | changes

    def jsonl(self, rows: Sequence[dict[str, Any] | str], split: str = "train") -> DataSettings:
        lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
        (self.path / f"{split}.jsonl").write_text(
            "".join(line + "\n" for line in lines), encoding="utf-8", newline="\n"
        )
        return DataSettings(path=str(self.path), split=split)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    path = tmp_path / "set"
    path.mkdir()
    return Folder(path)
