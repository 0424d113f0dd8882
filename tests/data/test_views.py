from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from mmupt.data.images import encode_png, open_image
from mmupt.data.views import VIEWS, view, viewed
from mmupt.errors import DataError
from mmupt.rewards.settings import ViewName
from mmupt.runtime.seeds import derive_seed
from mmupt.types import ImageSource
from mmupt.world.draw import COLORS
from mmupt.world.kinds.dice import Dice

DICE = Dice((3, 5, 1, 2), ("red", "blue", "blue", "red")).draw()
SEEDS = range(200, 240)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.int64)


def plain(size: tuple[int, int], color: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", size, color)


def every_view(image: Image.Image, name: str, seeds: Iterable[int] = SEEDS) -> list[np.ndarray]:
    return [pixels(view(image, name, seed)) for seed in seeds]


def test_views_are_those_that_recipes_can_name() -> None:
    assert {*VIEWS, "rephrase"} == set(get_args(ViewName))
    with pytest.raises(KeyError):
        view(DICE, "rephrase", 0)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_drawn_by_its_seed_and_changes_the_picture(name: str) -> None:
    before = pixels(DICE)
    drawn = every_view(DICE, name)
    assert all(np.array_equal(a, b) for a, b in zip(drawn, every_view(DICE, name), strict=True))
    assert not any(np.array_equal(a, before) for a in drawn)
    assert len({a.tobytes() for a in drawn}) > len(drawn) // 4
    assert np.array_equal(pixels(DICE), before), "the picture itself stays as it is"


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("size", [(56, 56), (1, 1), (1, 40), (300, 2), (37, 91)])
def test_a_view_has_the_size_of_its_picture(name: str, size: tuple[int, int]) -> None:
    for seed in range(5):
        image = view(plain(size, (200, 30, 30)), name, seed)
        assert (image.mode, image.size) == ("RGB", size)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_still_the_same_picture(name: str) -> None:
    """Each view of the dice is nearer to its picture than to that of other dice."""
    other = pixels(Dice((4, 1, 6, 6), ("blue", "red", "red", "blue")).draw())
    for seen in every_view(DICE, name):
        assert np.abs(seen - pixels(DICE)).mean() < 0.5 * np.abs(seen - other).mean()


def test_a_crop_keeps_nine_tenths_of_each_side() -> None:
    across = np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (100, 1, 3))
    down = np.tile(np.arange(200, dtype=np.uint8)[:, None, None], (1, 100, 3))
    for seed in SEEDS:
        row = pixels(view(Image.fromarray(across), "crop", seed))[50, :, 0]
        column = pixels(view(Image.fromarray(down), "crop", seed))[:, 50, 0]
        for line in (row, column):
            assert 0.9 * 200 - 3 <= line[-1] - line[0] <= 0.98 * 200
            assert (np.diff(line) >= 0).all(), "nothing is mirrored or torn"


@pytest.mark.parametrize("size", [(120, 120), (60, 240), (400, 20)])
def test_a_rotation_loses_nothing_and_is_filled_with_white(size: tuple[int, int]) -> None:
    turned_left = 0
    for dark in every_view(plain(size, (0, 0, 0)), "rotate"):
        area = (255 - dark).mean() / 255
        assert 1 / 1.09**2 - 0.02 < area < 1, "all of the dark picture is there, a twelfth smaller at most"
        assert dark[0, 0].min() > 100 or dark[-1, -1].min() > 100 or dark[0, -1].min() > 100, "a corner shows the back"
    marked = plain((101, 101), (255, 255, 255))
    marked.putpixel((50, 5), (0, 0, 0))  # above the middle
    for seen in every_view(marked, "rotate"):
        x = float((np.arange(101) * (255 - seen[:, :, 0]).sum(axis=0)).sum() / (255 - seen[:, :, 0]).sum())
        turned_left += x < 50
        assert 0.5 < abs(x - 50) < 5  # 45 pixels off the middle, 1 to 5 degrees
    assert 8 < turned_left < 32


@pytest.mark.parametrize("color", ["red", "blue", "green"])
def test_recolouring_keeps_the_name_of_a_colour(color: str) -> None:
    channel = {"red": 0, "green": 1, "blue": 2}[color]
    for seen in every_view(plain((8, 8), COLORS[color]), "recolour"):
        values = seen[4, 4].tolist()
        rest = [value for k, value in enumerate(values) if k != channel]
        assert values[channel] > 1.5 * max(rest)


def test_grey_has_no_hue_to_turn() -> None:
    for seen in every_view(plain((8, 8), (120, 120, 120)), "recolour"):
        assert np.ptp(seen[4, 4]) <= 1
        assert 0.75 * 120 <= seen[4, 4, 0] <= 1.25 * 120


def test_noise_has_the_strength_that_it_should() -> None:
    spreads = [float(seen.std()) for seen in every_view(plain((64, 64), (128, 128, 128)), "noise")]
    assert 2.8 < min(spreads) < 5 and 10 < max(spreads) < 12.4
    flat = pixels(view(plain((64, 64), (128, 128, 128)), "noise", 1))
    assert abs(np.corrcoef(flat[:, :, 0].ravel(), flat[:, :, 1].ravel())[0, 1]) < 0.1, "each channel has its own"


def test_rescaling_blurs_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    sharp = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for seen in every_view(sharp, "rescale"):
        assert seen.std() < 0.9 * pixels(sharp).std()
        assert abs(seen.mean() - pixels(sharp).mean()) < 3


def test_views_are_applied_one_after_another() -> None:
    source = ImageSource(data=encode_png(DICE))
    by_hand = view(view(DICE, "noise", derive_seed(7, 0, "noise")), "crop", derive_seed(7, 1, "crop"))
    assert np.array_equal(pixels(open_image(viewed(source, ("noise", "crop"), 7))), pixels(by_hand))
    assert viewed(source, ("noise", "crop"), 7) == viewed(source, ("noise", "crop"), 7)
    assert viewed(source, ("noise", "crop"), 7) != viewed(source, ("crop", "noise"), 7)
    assert viewed(source, ("noise", "crop"), 7) != viewed(source, ("noise", "crop"), 8)
    assert np.array_equal(pixels(open_image(viewed(source, (), 7))), pixels(DICE))


def test_a_picture_that_is_none_is_named() -> None:
    with pytest.raises(DataError, match=r"missing\.png"):
        viewed(ImageSource(path="missing.png"), ("crop",), 0)
