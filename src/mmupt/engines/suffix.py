"""Keys and values of sampled tokens: one slot a running rollout, written in place, grown by doubling.

Suffixes: S slots, K key heads, C sampled tokens a slot has room for, d head size, A running rollouts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

_FIRST_ROOM = 64


@dataclass(slots=True)
class SuffixStore:
    """[S, K, C, d] for each layer. The running rollouts lie in the first A slots."""

    slots: int
    limit: int
    """No rollout needs more room than this."""
    room: int = field(default=0, init=False)
    _keys: list[Tensor] = field(default_factory=list, init=False)
    _values: list[Tensor] = field(default_factory=list, init=False)

    def reserve(self, tokens: int) -> None:
        """Make room for `tokens` a slot."""
        if tokens <= self.room:
            return
        held, self.room = self.room, min(max(2 * self.room, tokens, _FIRST_ROOM), max(tokens, self.limit))
        for stored in (self._keys, self._values):
            for layer, x_SKCd in enumerate(stored):
                stored[layer] = _empty(x_SKCd[:, :, 0], self.slots, self.room)
                stored[layer][:, :, :held] = x_SKCd

    def write(self, layer: int, at_AK: Tensor, key_AKd: Tensor, value_AKd: Tensor) -> None:
        """One token of each running rollout, at the places that `places` gave."""
        for stored, x_AKd in ((self._keys, key_AKd), (self._values, value_AKd)):
            if layer == len(stored):
                stored.append(_empty(x_AKd, self.slots, self.room))
            stored[layer].view(-1, x_AKd.shape[-1]).index_copy_(0, at_AK.flatten(), x_AKd.flatten(0, 1))

    def places(self, before_A: Tensor, heads: int) -> Tensor:
        """i64[A, K]: where the token behind `before_A` others goes, in units of one head's vector."""
        device = before_A.device
        head_AK = torch.arange(len(before_A) * heads, device=device).view(-1, heads)
        return head_AK * self.room + before_A[:, None]

    def read(self, layer: int, rows: int, tokens: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the first slots and tokens, two views [rows, K, tokens, d]."""
        return self._keys[layer][:rows, :, :tokens], self._values[layer][:rows, :, :tokens]

    def move(self, sources: Tensor, targets: Tensor, tokens: int) -> None:
        """Slots `sources` move over to `targets`, their first `tokens` tokens."""
        for stored in (*self._keys, *self._values):
            stored[targets, :, :tokens] = stored[sources, :, :tokens]


def _empty(like_SKd: Tensor, slots: int, room: int) -> Tensor:
    """Zeros, not garbage: what is masked still meets a weight of zero, and 0 x NaN is NaN."""
    return like_SKd.new_zeros(slots, like_SKd.shape[1], room, like_SKd.shape[2])
