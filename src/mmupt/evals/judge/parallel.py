"""Waiting for many replies at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

_Item = TypeVar("_Item")
_Reply = TypeVar("_Reply")
_GRACE = 5.0  # seconds that replies under way are given after a failure


def ask_in_parallel(
    ask: Callable[[_Item], _Reply], items: Sequence[_Item], workers: int
) -> Iterator[tuple[_Item, _Reply]]:
    """Calls `ask` on every item in `workers` threads and gives (item, reply) as replies come.

    After an error nothing new is asked; it is raised once the replies that were under way have been given out. The
    threads are daemons, unlike those of a ThreadPoolExecutor: an interrupted program ends at once instead of waiting
    for replies that nobody wants any more.
    """
    waiting: SimpleQueue[_Item] = SimpleQueue()
    for item in items:
        waiting.put(item)
    replies: SimpleQueue[tuple[_Item, _Reply] | BaseException] = SimpleQueue()
    stop = Event()

    def work() -> None:
        while not stop.is_set():
            try:
                item = waiting.get_nowait()
            except Empty:
                return
            try:
                replies.put((item, ask(item)))
            except BaseException as error:  # raised again where the replies are read
                stop.set()
                replies.put(error)

    threads = [Thread(target=work, daemon=True) for _ in range(min(workers, len(items)))]
    for thread in threads:
        thread.start()
    try:
        for _ in items:
            reply = replies.get()
            if isinstance(reply, BaseException):
                deadline = time.monotonic() + _GRACE
                for thread in threads:
                    thread.join(max(0.0, deadline - time.monotonic()))
                while not replies.empty():
                    late = replies.get()
                    if not isinstance(late, BaseException):
                        yield late
                raise reply
            yield reply
    finally:
        stop.set()
