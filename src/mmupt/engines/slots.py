"""Where running rollouts live on the device: a fixed number of slots, the first A of which are in use.

Suffixes: S slots, A running rollouts, N rollouts of one admission or retirement, C the most tokens of a rollout.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Slots:
    """All state of a rollout but its keys and values. Everything is allocated once and written in place."""

    def __init__(self, slots: int, tokens: int, device: torch.device) -> None:
        self.token_S = torch.zeros(slots, dtype=torch.long, device=device)
        """The newest token."""
        self.length_S = torch.zeros(slots, dtype=torch.long, device=device)
        """How many tokens have been sampled."""
        self.position_S = torch.zeros(slots, dtype=torch.long, device=device)
        """The rotary position of the first one."""
        self.uniform_SC = torch.zeros(slots, tokens, dtype=torch.float64, device=device)
        self.tokens_SC = torch.zeros(slots, tokens, dtype=torch.long, device=device)
        self.logprobs_SC = torch.zeros(slots, tokens, device=device)

    def admit(self, first: int, positions: Sequence[int], uniform_NC: Tensor) -> None:
        """N new rollouts from slot `first` on."""
        at = slice(first, first + len(positions))
        self.length_S[at] = 0
        self.position_S[at] = torch.tensor(positions, device=self.position_S.device)
        self.uniform_SC[at] = uniform_NC.to(self.uniform_SC.device)

    def uniform(self, rows: int) -> Tensor:
        """f64[A]: what decides the next token of each."""
        return self.uniform_SC[:rows].gather(1, self.length_S[:rows, None])[:, 0]

    def append(self, token_A: Tensor, logprob_A: Tensor) -> None:
        """One more token for each running rollout."""
        rows = len(token_A)
        at_A1 = self.length_S[:rows, None]
        self.tokens_SC[:rows].scatter_(1, at_A1, token_A[:, None])
        self.logprobs_SC[:rows].scatter_(1, at_A1, logprob_A[:, None])
        self.token_S[:rows] = token_A
        self.length_S[:rows] += 1

    def read(self, rows: Sequence[int], tokens: int) -> tuple[list[list[int]], list[list[float]]]:
        """The first `tokens` tokens of some rollouts and their log-probs, on the host."""
        rows_N = torch.tensor(rows, device=self.token_S.device)
        return self.tokens_SC[rows_N, :tokens].tolist(), self.logprobs_SC[rows_N, :tokens].tolist()

    def move(self, sources: Tensor, targets: Tensor) -> None:
        """Rollouts in `sources` move over to the slots `targets`."""
        for state in (
            self.token_S,
            self.length_S,
            self.position_S,
            self.uniform_SC,
            self.tokens_SC,
            self.logprobs_SC,
        ):
            state[targets] = state[sources]
