"""An endless, shuffled, resumable stream of prompts.

Each epoch visits every prompt once, in an order that depends on (seed, epoch) alone. A take that runs across the end of
an epoch must not hold a prompt twice; one that the new epoch would bring again at once is put off to the next take.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmupt.errors import DataError
from mmupt.types import LabeledPrompt, Prompt

Item = TypeVar("Item", Prompt, LabeledPrompt)


@dataclass(frozen=True, slots=True)
class Draw(Generic[Item]):
    """A prompt that came up, and how often it had come up before."""

    item: Item
    visit: int


class PromptStream(Generic[Item]):
    """Draws from `items`, for ever.

    >>> stream = PromptStream([Prompt(id=name, question="?") for name in "abc"], seed=0)
    >>> sorted(draw.item.id for draw in stream.take(3)), [draw.visit for draw in stream.take(2)]
    (['a', 'b', 'c'], [1, 1])
    """

    def __init__(self, items: Sequence[Item], *, seed: int) -> None:
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed must be in [0, 2**64), got {seed}")
        self._items: Sequence[Item] = items
        self._seed = seed
        self._epoch = 0
        self._offset = 0  # how many entries of the epoch's order have been looked at
        self._put_off: list[int] = []  # those of them that wait for the next take
        self._order = _order(len(items), seed, 0)
        self._fingerprint = _fingerprint(items)

    def __len__(self) -> int:
        """How many different prompts there are."""
        return len(self._items)

    def take(self, n: int) -> list[Draw[Item]]:
        """The next `n` draws, all of different prompts. Raises `DataError` when there are fewer prompts than that."""
        if n < 0:
            raise ValueError(f"n must not be negative, got {n}")
        if n > len(self._items):
            raise DataError(
                f"a step needs {n} different prompts, but the data set has {len(self._items)}; "
                "lower prompts_per_step (sft: batch_size) or bring more prompts"
            )
        draws: list[Draw[Item]] = []
        taken: set[int] = set()
        waiting, self._put_off = self._put_off, []
        while len(draws) < n:
            if waiting:
                index = waiting.pop(0)
            else:
                if self._offset == len(self._items):
                    self._epoch, self._offset = self._epoch + 1, 0
                    self._order = _order(len(self._items), self._seed, self._epoch)
                index = int(self._order[self._offset])
                self._offset += 1
            if index in taken:
                self._put_off.append(index)
            else:
                taken.add(index)
                draws.append(Draw(self._items[index], self._epoch))
        self._put_off = waiting + self._put_off
        return draws

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands, as plain JSON."""
        return {
            "seed": self._seed,
            "epoch": self._epoch,
            "offset": self._offset,
            "put_off": list(self._put_off),
            "prompts": len(self._items),
            "fingerprint": self._fingerprint,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken; the draws that follow are those an uninterrupted stream makes.

        Raises `DataError` when the state belongs to another data set or seed, or is damaged.
        """
        size = len(self._items)
        if state.get("fingerprint") != self._fingerprint:
            raise DataError(
                f"the saved prompt stream ran over other prompts ({state.get('prompts')} then, {size} now; ids or "
                "order differ); resume with the data set the run began with, or start a new run"
            )
        if state.get("seed") != self._seed:
            raise DataError(
                f"the saved prompt stream was shuffled with seed {state.get('seed')}, this run has {self._seed}; "
                "resume with the seed the run began with, or start a new run"
            )
        epoch, offset, put_off = state.get("epoch"), state.get("offset"), state.get("put_off")
        if not (
            _whole(epoch)
            and (_whole(offset) and offset <= size)
            and (isinstance(put_off, list) and all(_whole(index) and index < size for index in put_off))
        ):
            raise DataError("the saved prompt stream is damaged; resume from an earlier checkpoint")
        self._epoch, self._offset, self._put_off = epoch, offset, list(put_off)
        self._order = _order(size, self._seed, epoch)


def _order(size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The permutation of an epoch: random keys, sorted. Philox's raw output never changes between releases of NumPy,
    which is not promised of `Generator.permutation`."""
    keys = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)).random_raw(size)
    return np.argsort(keys, kind="stable")


def _fingerprint(items: Sequence[Item]) -> str:
    """A hash of all ids in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for item in items:
        name = (item.prompt if isinstance(item, LabeledPrompt) else item).id.encode()
        digest.update(len(name).to_bytes(8, "little") + name)
    return digest.hexdigest()


def _whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
