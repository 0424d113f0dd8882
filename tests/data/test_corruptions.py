from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from PIL import Image

from mmupt.data.corruptions import CORRUPTIONS, corrupted
from mmupt.data.images import encode_png, open_image
from mmupt.data.views import view
from mmupt.selftrain.settings import Corruption
from mmupt.types import ImageSource
from mmupt.world.kinds.dice import Dice

DICE = Dice((3, 5, 1, 2), ("red", "blue", "blue", "red")).draw()


def pixels(source: ImageSource) -> np.ndarray:
    return np.asarray(open_image(source)).astype(np.int64)


def source(image: Image.Image) -> ImageSource:
    return ImageSource(data=encode_png(image))


def test_they_are_those_that_recipes_can_name() -> None:
    assert set(CORRUPTIONS) == set(get_args(Corruption))
    with pytest.raises(KeyError):
        corrupted(source(DICE), "crop", 0)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("size", [(56, 56), (1, 1), (1, 40), (300, 2), (37, 91)])
def test_the_size_stays_and_the_seed_decides(name: str, size: tuple[int, int]) -> None:
    image = source(Image.new("RGB", size, (200, 30, 30)))
    found = [corrupted(image, name, seed) for seed in range(5)]
    assert all(open_image(one).size == size for one in found)
    assert found == [corrupted(image, name, seed) for seed in range(5)]


def test_low_resolution_leaves_twenty_pixels_of_detail() -> None:
    """Stripes of one pixel are gone, a half that is black and one that is white are not."""
    stripes = np.zeros((100, 200, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    blurred = pixels(corrupted(source(Image.fromarray(stripes)), "low_resolution", 0))
    assert blurred[10:-10, 10:-10].std() < 10 < stripes.std()
    halves = np.zeros((100, 200, 3), dtype=np.uint8)
    halves[:, 100:] = 255
    kept = pixels(corrupted(source(Image.fromarray(halves)), "low_resolution", 0))
    assert kept[:, :85].max() < 20 and kept[:, 115:].min() > 235


def test_low_resolution_loses_more_of_the_dice_than_any_view_keeps() -> None:
    before = np.asarray(DICE).astype(np.int64)
    loss = np.abs(pixels(corrupted(source(DICE), "low_resolution", 0)) - before).mean()
    assert loss > max(np.abs(np.asarray(view(DICE, "rescale", s)).astype(np.int64) - before).mean() for s in range(5))


def test_colour_jitter_turns_hues_far_and_brightness_by_half() -> None:
    red = source(Image.new("RGB", (8, 8), (180, 60, 60)))
    grey = source(Image.new("RGB", (8, 8), (120, 120, 120)))
    hues, levels = [], []
    for seed in range(60):
        hue = np.asarray(open_image(corrupted(red, "colour_jitter", seed)).convert("HSV"))[0, 0, 0]
        hues.append((int(hue) + 128) % 256 - 128)
        levels.append(pixels(corrupted(grey, "colour_jitter", seed))[0, 0, 0] / 120)
    assert max(map(abs, hues)) <= 78 and max(map(abs, hues)) > 50 and min(hues) < 0 < max(hues)
    assert 0.49 <= min(levels) < 0.65 and 1.35 < max(levels) <= 1.51
