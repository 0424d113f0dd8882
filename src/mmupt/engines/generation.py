"""One call of the HF engine: admit, draw, retire, decode, until every rollout has ended.

Suffixes: A running rollouts, V vocabulary, L positions of a packed row, D hidden size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mmupt.engines.base import Request, Sampling
from mmupt.engines.decoding import DecodeAttention, Seating, WindowMasks
from mmupt.engines.finished import Finished
from mmupt.engines.prefix import PrefixStore, Recorder
from mmupt.engines.sampling import draw, uniform_streams
from mmupt.engines.slots import Slots
from mmupt.engines.suffix import SuffixStore
from mmupt.models.loading import LoadedModel
from mmupt.runtime.phases import PhaseClock
from mmupt.types import EncodedPrompt, GroupSpan, StopReason

_PREFILL_TOKENS = 16_384
"""Prompts of one prefill row, in tokens; a longer prompt goes alone."""
_REFILL_FRACTION = 0.125
"""Rollouts join once this share of the slots is free: each admission costs a forward."""


@dataclass(slots=True, eq=False)
class _Group:
    """A request on its way. `place` is where its prompt lies in the prefix store; `logits_V`, of the first token, are
    there from its prefill until its last rollout has joined."""

    encoded: EncodedPrompt
    seeds: tuple[int, ...]
    finished: list[Finished | None]
    joined: int = 0
    ended: int = 0
    place: int = -1
    logits_V: Tensor | None = None


@dataclass(slots=True)
class _Row:
    group: _Group
    index: int
    """Which rollout of its group."""


@dataclass(slots=True)
class Generation:
    """`run` may be called once."""

    loaded: LoadedModel
    requests: Sequence[Request]
    sampling: Sampling
    prompts_at_once: int
    clock: PhaseClock
    prefix: PrefixStore = field(default_factory=PrefixStore, init=False)
    _rows: list[_Row] = field(default_factory=list, init=False)
    _lengths_A: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64), init=False)
    _placed: list[_Group] = field(default_factory=list, init=False)
    _seating: Seating | None = field(default=None, init=False)
    _prefix_mask: Tensor | None = field(default=None, init=False)
    _waiting: deque[_Group] = field(init=False)
    _capacity: int = field(init=False)
    _slots: Slots = field(init=False)
    _suffix: SuffixStore = field(init=False)
    _banned: Tensor = field(init=False)
    _ends: Tensor = field(init=False)

    def run(self) -> list[list[Finished]]:
        """The rollouts of each request, in the order of its seeds."""
        groups = [_Group(r.encoded, r.seeds, [None] * len(r.seeds)) for r in self.requests]
        self._waiting = deque(group for group in groups if group.seeds)
        if self._waiting:
            self._allocate()
            self._loop()
        return [[f for f in group.finished if f is not None] for group in groups]

    def _allocate(self) -> None:
        sizes = [len(group.seeds) for group in self._waiting]
        device, family = self.loaded.device, self.loaded.family
        self._capacity = min(self.prompts_at_once * max(sizes), sum(sizes))
        self._slots = Slots(self._capacity, self.sampling.max_new_tokens, device)
        self._suffix = SuffixStore(self._capacity, self.sampling.max_new_tokens)
        self._banned = torch.tensor(family.banned_ids, dtype=torch.long, device=device)
        self._ends = torch.tensor(sorted(family.end_ids), device=device)

    def _loop(self) -> None:
        logits_AV: Tensor | None = None
        while self._waiting or self._rows:
            with self.clock("prefill"):
                joining = self._admit()
                if joining is not None:
                    logits_AV = joining if logits_AV is None else torch.cat([logits_AV, joining])
            with self.clock("decode", tokens=len(self._rows)):
                assert logits_AV is not None
                self._retire(self._draw(logits_AV))
                logits_AV = self._decode() if self._rows else None

    def _admit(self) -> Tensor | None:
        """As many waiting rollouts as find a slot take one, behind the running ones; the logits of their first tokens,
        None where nobody joins."""
        free = self._capacity - len(self._rows)
        if not self._waiting or free == 0 or (self._rows and free < self._capacity * _REFILL_FRACTION):
            return None
        rows: list[_Row] = []
        logits: list[Tensor] = []
        while self._waiting and free:
            group = self._waiting[0]
            if group.logits_V is None:
                self._prefill(free)
            assert group.logits_V is not None
            count = min(free, len(group.seeds) - group.joined)
            rows.extend(_Row(group, group.joined + i) for i in range(count))
            logits.append(group.logits_V.expand(count, -1))
            group.joined += count
            free -= count
            if group.joined == len(group.seeds):
                group.logits_V = None
                self._waiting.popleft()
        uniform = uniform_streams([row.group.seeds[row.index] for row in rows], self.sampling.max_new_tokens)
        self._slots.admit(len(self._rows), [row.group.encoded.next_position for row in rows], uniform)
        self._rows.extend(rows)
        self._lengths_A = np.concatenate([self._lengths_A, np.zeros(len(rows), dtype=np.int64)])
        self._seating = None
        return torch.cat(logits)

    def _prefill(self, rollouts: int) -> None:
        """The prompts at the head of the queue, for as many rollouts and as many tokens as there is room, in one
        packed row."""
        groups: list[_Group] = []
        spans: list[GroupSpan] = []
        for group in self._waiting:
            start = spans[-1].end if spans else 0
            if groups and (rollouts <= 0 or start + group.encoded.length > _PREFILL_TOKENS):
                break
            spans.append(GroupSpan(start, group.encoded.length, (), group.encoded.blocks))
            groups.append(group)
            rollouts -= len(group.seeds)
        loaded, device = self.loaded, self.loaded.device
        prompts = [group.encoded for group in groups]
        recorder = Recorder(loaded.attend(spans))
        hidden_LD = loaded.family.hidden(
            loaded.model,
            torch.cat([prompt.token_ids for prompt in prompts]).to(device),
            torch.cat([prompt.positions_3P for prompt in prompts], dim=1).to(device),
            recorder,
            loaded.pictures(loaded.model, [picture for prompt in prompts for picture in prompt.pictures]),
        )
        last = torch.tensor([span.end - 1 for span in spans], device=device)
        for group, logits_V in zip(groups, loaded.family.head(loaded.model)(hidden_LD[last]), strict=True):
            group.logits_V = logits_V
            group.place = len(self._placed)
            self._placed.append(group)
        self.prefix.add(recorder, spans)
        self.clock.add_tokens("prefill", spans[-1].end)

    def _draw(self, logits_AV: Tensor) -> np.ndarray:
        """One token for each running rollout. Returns which tokens are end tokens, bool[A]: the one thing a step reads
        back from the device."""
        token_A, logprob_A = draw(logits_AV, self._slots.uniform(len(self._rows)), self._banned, self.sampling)
        self._slots.append(token_A, logprob_A)
        self._lengths_A += 1
        return (token_A[:, None] == self._ends).any(-1).cpu().numpy()

    def _retire(self, ended_A: np.ndarray) -> None:
        """Rollouts that have ended give their slots back; the last ones that run move into the holes."""
        done_A = ended_A | (self._lengths_A == self.sampling.max_new_tokens)
        if not done_A.any():
            return
        done = np.flatnonzero(done_A).tolist()
        tokens, logprobs = self._slots.read(done, int(self._lengths_A[done].max()))
        for a, ids, values in zip(done, tokens, logprobs, strict=True):
            row, length = self._rows[a], int(self._lengths_A[a])
            stop: StopReason = "end" if ended_A[a] else "length"
            row.group.finished[row.index] = Finished(ids[:length], values[:length], stop)
            row.group.ended += 1
            if row.group.ended == len(row.group.seeds):
                self._leave(row.group)
        left = len(self._rows) - len(done)
        targets = np.flatnonzero(done_A[:left])
        sources = left + np.flatnonzero(~done_A[left:])
        if len(targets):
            device = self.loaded.device
            source_N, target_N = torch.from_numpy(sources).to(device), torch.from_numpy(targets).to(device)
            self._slots.move(source_N, target_N)
            self._suffix.move(source_N, target_N, int(self._lengths_A[sources].max()))
            for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
                self._rows[target] = self._rows[source]
                self._lengths_A[target] = self._lengths_A[source]
        del self._rows[left:]
        self._lengths_A = self._lengths_A[:left].copy()
        self._seating = None

    def _leave(self, group: _Group) -> None:
        """The group's prompt is not needed any more."""
        moved = self._placed[self.prefix.drop(group.place)]
        self._placed[group.place] = moved
        moved.place = group.place
        self._placed.pop()

    def _decode(self) -> Tensor:
        """The newest token of each running rollout through the model: logits [A, V] of the next."""
        rows, loaded, slots = len(self._rows), self.loaded, self._slots
        if self._seating is None:
            places = [row.group.place for row in self._rows]
            self._seating = Seating.of(places, len(self._placed), self.prefix.heads, loaded.device)
            self._prefix_mask = self.prefix.mask()
        tokens = int(self._lengths_A.max())
        self._suffix.reserve(tokens)
        before_A = slots.length_S[:rows] - 1  # tokens in front of the newest
        attention = DecodeAttention(
            self.prefix,
            self._suffix,
            self._seating,
            self._suffix.places(before_A, self.prefix.heads),
            tokens,
            self._prefix_mask,
            None if int(self._lengths_A.min()) == tokens else _visible(before_A, tokens),
            {
                window: WindowMasks.of(window, self.prefix.lengths, self._seating, before_A, tokens)
                for window in loaded.family.windows
                if window < self.prefix.width + tokens
            },
        )
        positions_3A = (slots.position_S[:rows] + before_A).expand(3, -1)
        hidden_AD = loaded.family.hidden(loaded.model, slots.token_S[:rows], positions_3A, attention, None)
        return loaded.family.head(loaded.model)(hidden_AD)


def _visible(before_A: Tensor, tokens: int) -> Tensor:
    """f32 [A, 1, 1, S]: 0 up to the newest token of each rollout, -inf behind."""
    behind_AS = torch.arange(tokens, device=before_A.device) > before_A[:, None]
    return torch.zeros(behind_AS.shape, device=before_A.device).masked_fill_(behind_AS, -torch.inf)[:, None, None]
