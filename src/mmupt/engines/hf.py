"""Generation with the trainer's own model, anywhere transformers runs.

Prompt and pictures go through the model once a group; the cache is then copied to its G rollouts, which decode
together. Rows that have ended leave the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import DynamicCache

from mmupt.engines.base import Request, Sampling
from mmupt.engines.sampling import draw, uniform_streams
from mmupt.models.loading import LoadedModel
from mmupt.types import Rollout, StopReason

_LEAVE_FRACTION = 0.125
"""Rows leave once this share of the batch has ended: each time costs a copy of the cache."""


@dataclass(slots=True)
class HFEngine:
    """Shares the trainer's weights, so it always samples from the newest policy. `prompts_at_once` bounds memory."""

    loaded: LoadedModel
    prompts_at_once: int = 16
    _banned_V: Tensor | None = field(default=None, init=False)

    @torch.no_grad()
    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        model = self.loaded.model
        was_training = model.training
        model.eval()  # in training mode gradient checkpointing would drop the cache
        try:
            rollouts: list[tuple[Rollout, ...]] = []
            for start in range(0, len(requests), self.prompts_at_once):
                rollouts.extend(self._generate(requests[start : start + self.prompts_at_once], sampling))
            return rollouts
        finally:
            model.train(was_training)

    def _generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        device = self.loaded.device
        logits_NV, cache, seen_NS, position_N = self._prefill(requests)
        seeds = [seed for request in requests for seed in request.seeds]
        uniform_NC = uniform_streams(seeds, sampling.max_new_tokens).to(device)
        banned_V = self._banned(logits_NV.shape[-1])
        tokens_NC = torch.zeros(len(seeds), sampling.max_new_tokens, dtype=torch.long, device=device)
        logprobs_NC = torch.zeros(len(seeds), sampling.max_new_tokens, device=device)
        length_N = torch.full((len(seeds),), sampling.max_new_tokens, device=device)
        ended_N = torch.zeros(len(seeds), dtype=torch.bool, device=device)
        ends = torch.tensor(sorted(self.loaded.family.end_ids), device=device)
        rows_A = torch.arange(len(seeds), device=device)  # A: rows still in the batch
        for step in range(sampling.max_new_tokens):
            token_A, logprob_A = draw(logits_NV, uniform_NC[rows_A, step], banned_V, sampling)
            tokens_NC[rows_A, step], logprobs_NC[rows_A, step] = token_A, logprob_A
            just_ended_A = torch.isin(token_A, ends) & ~ended_N[rows_A]
            length_N[rows_A[just_ended_A]] = step + 1
            ended_N[rows_A[just_ended_A]] = True
            running_A = ~ended_N[rows_A]
            running = int(running_A.sum())
            if running == 0 or step + 1 == sampling.max_new_tokens:
                break
            if running <= (1 - _LEAVE_FRACTION) * len(rows_A):
                keep = running_A.nonzero()[:, 0]
                cache.batch_select_indices(keep)
                rows_A, token_A, seen_NS = rows_A[keep], token_A[keep], seen_NS[keep]
            seen_NS = torch.cat([seen_NS, seen_NS.new_ones(len(rows_A), 1)], dim=1)
            positions_3A1 = (position_N[rows_A] + step).expand(3, -1)[:, :, None]
            logits_NV = self._logits(token_A[:, None], positions_3A1, seen_NS[:, None, None, :], {}, cache)
        return self._collect(requests, tokens_NC, logprobs_NC, length_N, ended_N)

    def _prefill(self, requests: Sequence[Request]) -> tuple[Tensor, DynamicCache, Tensor, Tensor]:
        """Each prompt once, padded on the left; then everything a prompt left behind is repeated for its G rollouts.

        Returns next-token logits [N, V], the cache, which cache slots hold a token (bool [N, P]) and the position of
        each row's first sampled token [N].
        """
        device = self.loaded.device
        prompts = [request.encoded for request in requests]
        width = max(prompt.length for prompt in prompts)
        input_ids_BP = torch.zeros(len(prompts), width, dtype=torch.long)
        positions_3BP = torch.zeros(3, len(prompts), width, dtype=torch.long)
        seen_BP = torch.zeros(len(prompts), width, dtype=torch.bool)
        for b, prompt in enumerate(prompts):
            input_ids_BP[b, width - prompt.length :] = prompt.token_ids
            positions_3BP[:, b, width - prompt.length :] = prompt.positions_3P
            seen_BP[b, width - prompt.length :] = True
        seen_BP = seen_BP.to(device)
        causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
        itself = torch.eye(width, dtype=torch.bool, device=device)  # padding looks at itself: no softmax is empty
        mask_B1PP = ((causal & seen_BP[:, None, :]) | itself)[:, None]
        vision = self.loaded.family.merge_vision([prompt.vision for prompt in prompts])
        cache = DynamicCache()
        logits_BV = self._logits(input_ids_BP.to(device), positions_3BP.to(device), mask_B1PP, vision, cache)
        repeats = torch.tensor([len(request.seeds) for request in requests], device=device)
        rows_N = torch.arange(len(prompts), device=device).repeat_interleave(repeats)
        cache.batch_select_indices(rows_N)
        position_N = torch.tensor([prompt.next_position for prompt in prompts], device=device)[rows_N]
        return logits_BV[rows_N], cache, seen_BP[rows_N], position_N

    def _logits(
        self, input_ids: Tensor, positions: Tensor, mask: Tensor, vision: dict[str, Tensor], cache: DynamicCache
    ) -> Tensor:
        loaded = self.loaded
        vision = {key: value.to(loaded.device) for key, value in vision.items()}
        with loaded.autocast():
            hidden = loaded.family.hidden(loaded.model, input_ids, positions, mask, vision, cache)
            return loaded.family.head(loaded.model)(hidden[:, -1])

    def _banned(self, vocabulary: int) -> Tensor:
        if self._banned_V is None:
            self._banned_V = torch.zeros(vocabulary, dtype=torch.bool, device=self.loaded.device)
            self._banned_V[list(self.loaded.family.banned_ids)] = True
        return self._banned_V

    def _collect(
        self, requests: Sequence[Request], tokens_NC: Tensor, logprobs_NC: Tensor, length_N: Tensor, ended_N: Tensor
    ) -> list[tuple[Rollout, ...]]:
        tokens, logprobs = tokens_NC.tolist(), logprobs_NC.tolist()
        lengths, ended = length_N.tolist(), ended_N.tolist()
        decode = self.loaded.family.tokenizer.decode
        groups: list[tuple[Rollout, ...]] = []
        n = 0
        for request in requests:
            group = []
            for _ in request.seeds:
                ids = tuple(tokens[n][: lengths[n]])
                stop: StopReason = "end" if ended[n] else "length"
                text = decode(ids[:-1] if ended[n] else ids, skip_special_tokens=True)
                group.append(Rollout(ids, tuple(logprobs[n][: lengths[n]]), text, stop))
                n += 1
            groups.append(tuple(group))
        return groups
