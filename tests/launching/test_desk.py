"""What the workers of a run on a cluster tell its driver."""

from __future__ import annotations

from mmupt.launching.desk import Desk, Lines


def test_the_first_mistake_counts_and_failures_are_of_an_attempt() -> None:
    desk = Desk()
    assert desk.begin() == 1 and desk.verdict() is None
    desk.fail("rank 1: killed")
    desk.fail("rank 0: connection closed")
    assert desk.failure() == "rank 1: killed"
    assert desk.begin() == 2 and desk.attempts() == 2
    assert desk.failure() is None
    desk.judge("picture 12 cannot be opened")
    desk.judge("another")
    assert desk.verdict() == "picture 12 cannot be opened"


def test_lines_arrive_whole_and_once() -> None:
    desk = Desk()
    lines = Lines(lambda text: desk.say("out", text))
    assert not lines.isatty(), "a bar would make no sense there"
    lines.write("step ")
    assert desk.take() == []
    lines.write("1/2\nstep 2/2\nru")
    lines.close()
    assert desk.take() == [("out", "step 1/2\nstep 2/2"), ("out", "ru")] and desk.take() == []
