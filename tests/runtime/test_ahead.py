"""Working ahead changes when things are made, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from mmupt.runtime.ahead import ahead


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


class Source:
    """0 to count - 1, or an error in place of one of them. Says when item `announced` has been made."""

    def __init__(self, count: int, *, fails_at: int | None = None, announced: int = -1) -> None:
        self.count, self.fails_at, self.announced = count, fails_at, announced
        self.made = 0
        self.error = ValueError("as raised")
        self.reached = threading.Event()
        self.by: set[int] = set()

    def __iter__(self) -> Iterator[int]:
        for i in range(self.count):
            if i == self.fails_at:
                raise self.error
            self.made += 1
            self.by.add(threading.get_ident())
            if i == self.announced:
                self.reached.set()
            yield i


@pytest.mark.parametrize("depth", [1, 2, 5, 20])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_same_items_in_order(count: int, depth: int) -> None:
    with ahead(iter(Source(count)), depth) as items:
        assert list(items) == list(range(count))


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("fails_at", [0, 1, 4, 6])
def test_an_error_comes_at_its_place_as_it_was_raised(fails_at: int, depth: int) -> None:
    source = Source(7, fails_at=fails_at)
    got = []
    with pytest.raises(ValueError) as raised, ahead(iter(source), depth) as items:
        for item in items:
            got.append(item)
    assert got == list(range(fails_at))
    assert raised.value is source.error


@pytest.mark.parametrize("depth", [1, 3])
def test_the_next_items_are_made_while_the_caller_works_and_no_more(depth: int) -> None:
    source = Source(50, announced=depth)
    with ahead(iter(source), depth) as items:
        assert next(items) == 0
        assert source.reached.wait(30), "the caller asks for nothing, and yet the next item is made"
    assert source.made == 1 + depth
    assert len(source.by) == 1 and threading.get_ident() not in source.by


def test_work_begins_before_the_first_is_asked_for() -> None:
    source = Source(2, announced=0)
    with ahead(iter(source)):
        assert source.reached.wait(30)
    assert source.made == 1


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_no_thread_outlives_the_context(error: type[BaseException] | None) -> None:
    def leave() -> None:
        with ahead(iter(Source(5)), 3) as items:
            next(items)
            assert threads()
            if error is not None:
                raise error

    if error is None:
        leave()
    else:
        with pytest.raises(error):
            leave()
    assert not threads()


def test_an_interrupted_wait_ends_the_program() -> None:
    """Ctrl-C while the main thread waits for an item that takes its time: the item is finished, no other is begun."""
    program = """
import signal, threading, time
from mmupt.runtime.ahead import ahead

def items():
    yield 0
    time.sleep(0.3)  # the main thread is waiting by now
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    time.sleep(0.3)
    yield 1
    print("begun", flush=True)
    yield 2

with ahead(items(), 2) as made:
    for _ in made:
        pass
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "KeyboardInterrupt" in done.stderr
    assert done.stdout == ""
