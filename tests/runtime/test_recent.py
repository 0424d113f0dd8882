"""What is kept, against a list that is searched from end to end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmupt.runtime.recent import RecentlyUsed

operations = st.lists(st.tuples(st.sampled_from(["get", "put"]), st.integers(0, 5), st.integers(0, 12)), max_size=60)


@given(operations)
def test_the_longest_unused_leaves_first(steps: list[tuple[str, int, int]]) -> None:
    recent = RecentlyUsed[int, int](10)
    reference: list[tuple[int, int, int]] = []  # key, value, bytes; the latest last
    for number, (operation, key, nbytes) in enumerate(steps):
        found = [entry for entry in reference if entry[0] == key]
        if operation == "get":
            assert recent.get(key) == (found[0][1] if found else None)
            reference = [entry for entry in reference if entry[0] != key] + found
        else:
            recent.put(key, number, nbytes)
            if nbytes <= 10:
                reference = [entry for entry in reference if entry[0] != key] + [(key, number, nbytes)]
            while sum(entry[2] for entry in reference) > 10:
                reference.pop(0)


def test_what_is_too_large_pushes_nothing_out() -> None:
    recent = RecentlyUsed[str, str](10)
    recent.put("a", "A", 6)
    recent.put("b", "B", 11)
    assert recent.get("a") == "A" and recent.get("b") is None
