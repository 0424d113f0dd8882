"""Replies as they come, errors after the replies in their wake."""

from __future__ import annotations

import time
from threading import Barrier, active_count

import pytest

from mmupt.evals.judge.parallel import ask_in_parallel


def test_every_item_has_its_reply() -> None:
    replies = dict(ask_in_parallel(lambda n: n * n, range(50), workers=7))
    assert replies == {n: n * n for n in range(50)}
    assert list(ask_in_parallel(lambda n: n, [], workers=3)) == []


def test_the_workers_ask_at_the_same_time() -> None:
    """Four that wait for each other come through only if four ask at once."""
    meeting = Barrier(4, timeout=10)
    assert len(list(ask_in_parallel(lambda n: meeting.wait(), range(8), workers=4))) == 8


def test_the_first_reply_does_not_wait_for_the_slowest() -> None:
    replies = ask_in_parallel(time.sleep, [5.0, 0.0], workers=2)
    started = time.monotonic()
    assert next(replies)[0] == 0.0
    assert time.monotonic() - started < 2


def test_an_error_comes_after_the_replies_under_way() -> None:
    asked: list[int] = []
    meeting = Barrier(3, timeout=10)

    def ask(n: int) -> int:
        asked.append(n)
        meeting.wait()
        if n == 0:
            raise OSError("gone")
        time.sleep(0.2)
        return n

    seen = []
    with pytest.raises(OSError, match="gone"):
        for n, _ in ask_in_parallel(ask, range(100), workers=3):
            seen.append(n)
    assert sorted(seen) == [1, 2]
    assert sorted(asked) == [0, 1, 2]


def test_nothing_is_asked_once_nobody_listens() -> None:
    before = active_count()
    asked: list[int] = []

    def ask(n: int) -> None:
        asked.append(n)
        time.sleep(0.02)

    replies = ask_in_parallel(ask, range(1000), workers=2)
    next(replies)
    replies.close()  # type: ignore[attr-defined]
    time.sleep(0.2)
    assert len(asked) <= 6
    assert active_count() == before
