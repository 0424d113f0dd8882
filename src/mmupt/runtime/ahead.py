"""The next items of an iterator, made in a background thread while the caller works on the present one.

with ahead(map(encode, parts)) as encoded:
    for part in encoded:      # the next part is being encoded meanwhile
        answer(part)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_END = object()


@contextmanager
def ahead(items: Iterator[T], depth: int = 1) -> Iterator[Iterator[T]]:
    """The same items in the same order. Work on the first `depth` begins at once; from then on, whenever one is handed
    out, work on the next one begins, so that never more than `depth` of them lie ready.

    One thread advances `items`, and nothing but that thread may touch what they are made from until the context ends.
    An exception that `items` raises reaches the caller where its item would have come, as it was raised. Leaving the
    context, however it is left, waits for the item that is being made and drops the rest: no thread is left behind.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    try:
        yield _in_order(thread, items, deque(thread.submit(next, items, _END) for _ in range(depth)))
    finally:
        thread.shutdown(cancel_futures=True)


def _in_order(thread: ThreadPoolExecutor, items: Iterator[T], pending: deque[Future[T | object]]) -> Iterator[T]:
    while (item := pending.popleft().result()) is not _END:
        pending.append(thread.submit(next, items, _END))
        yield item  # type: ignore[misc]
        del item  # or it would stay in memory until the next one is there
