"""Where the members of a group wait for each other, for trainers that ask for one reward at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Generic, TypeVar

from mmupt.errors import ConfigError

Item = TypeVar("Item")


class Meeting(Generic[Item]):
    """`join` returns to each of `size` callers of one key, once all are there. In one event loop."""

    def __init__(self, size: int, timeout: float) -> None:
        self._size, self._timeout = size, timeout
        self._waiting: dict[str, tuple[list[Item], asyncio.Future[Sequence[Item]]]] = {}

    async def join(self, key: str, item: Item) -> tuple[Sequence[Item], int]:
        """All items of `key`, and the place of this one among them. Raises ConfigError when the others do not come
        within `timeout` seconds."""
        loop = asyncio.get_running_loop()
        items, everybody = self._waiting.setdefault(key, ([], loop.create_future()))
        items.append(item)
        place = len(items) - 1
        if len(items) == self._size:
            del self._waiting[key]  # the next group of this key is another one
            everybody.set_result(tuple(items))
        try:
            return await asyncio.wait_for(asyncio.shield(everybody), self._timeout), place
        except TimeoutError:
            raise ConfigError(
                f"only {len(items)} of the {self._size} responses to prompt {key} came within {self._timeout:.0f} s; a "
                "vote needs the whole group in one reward worker"
            ) from None
