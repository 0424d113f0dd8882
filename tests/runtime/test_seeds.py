"""Seeds: stable for ever, sensitive to order, type and framing."""

from __future__ import annotations

import itertools

import pytest

from mmupt.runtime.seeds import derive_seed


def test_values_never_change() -> None:
    assert derive_seed(0, "world-7", 0, 3) == 1538825708196014832


def test_every_part_its_order_its_type_and_its_borders_count() -> None:
    parts: list[tuple[int | str, ...]] = [
        (0, "a", 0, 0), (1, "a", 0, 0), (0, "b", 0, 0), (0, "a", 1, 0), (0, "a", 0, 1), ("a", 0, 0, 0), (0, "a", 0),
        (1,), ("1",), (-1,), ("-1",), (12,), (1, 2), ("ab", "c"), ("a", "bc"), ("abc",), ("",), ("", ""), ("\ud800",),
        ("é",), ("e\u0301",), (10**40,),
    ]  # fmt: skip
    seeds = [derive_seed(*p) for p in parts]
    assert len(set(seeds)) == len(parts)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_fill_their_range_and_do_not_repeat() -> None:
    seeds = [
        derive_seed(0, f"p{i}", visit, index) for i, visit, index in itertools.product(range(50), range(4), range(16))
    ]
    assert len(set(seeds)) == len(seeds)
    for bit in range(63):
        assert 0.42 < sum(seed >> bit & 1 for seed in seeds) / len(seeds) < 0.58


@pytest.mark.parametrize("part", [True, 1.0, None, b"a"])
def test_other_types_are_refused(part: object) -> None:
    with pytest.raises(TypeError, match=type(part).__name__):
        derive_seed(0, part)  # type: ignore[arg-type]


def test_no_parts_are_refused() -> None:
    with pytest.raises(TypeError, match="at least one"):
        derive_seed()
