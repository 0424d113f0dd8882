"""What a path of the offline world may name."""

from __future__ import annotations

import pytest

from mmupt.data.settings import DataSettings
from mmupt.errors import DataError
from mmupt.sources import blind_prompts, labeled_rows
from mmupt.types import Prompt
from mmupt.world.settings import WorldSettings
from mmupt.world.splits import world_split

WORLD = WorldSettings(mix="dice_some_hard", sft_size=30, rl_size=30, unlabeled_size=30, test_size=30)


def test_a_split_follows_the_mix_of_the_world_or_the_one_it_names() -> None:
    assert list(labeled_rows(DataSettings(path="world:test"), WORLD).rows) == world_split(WORLD, "test")
    named = labeled_rows(DataSettings(path="world:test@charts", limit=7), WORLD)
    assert list(named.rows) == world_split(WORLD, "test", "charts")[:7]
    hard = blind_prompts(DataSettings(path="world:unlabeled@dice_hard"), WORLD)
    assert all(type(prompt) is Prompt for prompt in hard.rows)
    assert [prompt.id for prompt in hard.rows[:2]] == ["world-unlabeled@dice_hard-0", "world-unlabeled@dice_hard-1"]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("world:tset", ["no split 'tset'", "sft, rl, unlabeled, test"]),
        ("world:test@chart", ["no mix 'chart'", "dice_hard", "charts", "medium"]),
        ("world:test@", ["no mix ''"]),
        ("world:@charts", ["no split ''"]),
        ("world:charts@test", ["no split 'charts'"]),
        ("world:test@charts@icons", ["no mix 'charts@icons'"]),
        ("world:", ["no split ''"]),
    ],
)
def test_what_the_world_has_not_is_named_with_what_it_has(path: str, named: list[str]) -> None:
    for read in (labeled_rows, blind_prompts):
        with pytest.raises(DataError) as caught:
            read(DataSettings(path=path), WORLD)
        assert path in str(caught.value)
        for words in named:
            assert words in str(caught.value)
