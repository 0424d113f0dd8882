"""What a prompt leaves behind for its rollouts: each layer's keys and values, once a group however many roll out.

Suffixes: B groups, K key heads, W the longest prompt, P prompt tokens, L positions of a packed row, d head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mmupt.algo.attention import Attention
from mmupt.types import GroupSpan


@dataclass(slots=True)
class Recorder:
    """The attention of a prefill: computes as `attention` does, and keeps each layer's keys and values [K, L, d]."""

    attention: Attention
    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)

    def __call__(
        self,
        layer: int,
        query_1HLd: Tensor,
        key_1KLd: Tensor,
        value_1KLd: Tensor,
        scale: float,
        window: int | None = None,
    ) -> Tensor:
        self.keys.append(key_1KLd[0])
        self.values.append(value_1KLd[0])
        return self.attention(layer, query_1HLd, key_1KLd, value_1KLd, scale, window)


@dataclass(slots=True)
class PrefixStore:
    """Keys and values [B, K, W, d] of each layer, for the groups that have a rollout running. Groups lie without gaps:
    where one leaves, the last one moves in."""

    lengths: list[int] = field(default_factory=list)
    _keys: list[Tensor] = field(default_factory=list)
    _values: list[Tensor] = field(default_factory=list)

    @property
    def width(self) -> int:
        """W, of the groups that are here now."""
        return max(self.lengths)

    @property
    def heads(self) -> int:
        """K; known once a prompt has been here."""
        return self._keys[0].shape[1]

    def add(self, recorded: Recorder, spans: Sequence[GroupSpan]) -> None:
        """The prompts of a prefilled row, one new group each, behind those that are here."""
        first = len(self.lengths)
        self.lengths.extend(span.prompt for span in spans)
        for stored, fresh in ((self._keys, recorded.keys), (self._values, recorded.values)):
            stored.extend(x.new_empty(0, x.shape[0], 0, x.shape[2]) for x in fresh[len(stored) :])
            for layer, x_KLd in enumerate(fresh):
                stored[layer] = _with_room(stored[layer], len(self.lengths), self.width)
                for place, span in enumerate(spans, start=first):
                    stored[layer][place, :, : span.prompt] = x_KLd[:, span.start : span.first_completion]

    def drop(self, place: int) -> int:
        """The group at `place` leaves; returns the place of the group that moved in (`place` itself if none did)."""
        last = len(self.lengths) - 1
        length = self.lengths.pop()
        if place != last:
            self.lengths[place] = length
            for stored in (*self._keys, *self._values):
                stored[place, :, :length] = stored[last, :, :length]
        return last

    def read(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of all groups, two views [B, K, W, d]; see `mask` for the shorter ones."""
        groups, width = len(self.lengths), self.width
        return self._keys[layer][:groups, :, :width], self._values[layer][:groups, :, :width]

    def mask(self) -> Tensor | None:
        """f32 [B, 1, 1, W]: 0 where a prompt has a token, -inf behind its end; None where all are equally long."""
        width = self.width
        if min(self.lengths) == width:
            return None
        device = self._keys[0].device
        length_B1 = torch.tensor(self.lengths)[:, None].to(device)
        behind_BW = torch.arange(width, device=device) >= length_B1
        return torch.zeros(behind_BW.shape, device=device).masked_fill_(behind_BW, -torch.inf)[:, None, None]

    @property
    def elements(self) -> int:
        """Numbers held, over all layers."""
        return sum(x.numel() for x in (*self._keys, *self._values))


def _with_room(stored_BKWd: Tensor, groups: int, width: int) -> Tensor:
    """The same with room for `groups` of `width`: groups by doubling, the width as it is needed."""
    room, heads, held, size = stored_BKWd.shape
    if groups <= room and width <= held:
        return stored_BKWd
    grown = stored_BKWd.new_zeros(max(groups, 2 * room) if groups > room else room, heads, max(width, held), size)
    grown[:room, :, :held] = stored_BKWd
    return grown
