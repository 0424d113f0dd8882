"""Attention of one decode step: every running rollout sees the prompt of its group and what it has sampled itself.

The prompt's keys and values exist once a group, so its rollouts look at them together: the queries of a group are the
rows of one matrix product instead of G products of a vector. The two softmaxes, over the prompt and over the own
tokens, are merged by their log-sum-exp, which is exact (see algo/attention/split.py). Query heads that share a key head
are further rows of the same product.

Suffixes: A running rollouts, the L positions of the row; H query heads, K key heads, r = H / K, B groups, M the most
rollouts a group has running, W the longest prompt, S the most tokens a rollout has sampled, d head size.

A sliding window hides the beginning of a rollout's prompt from it, and later the beginning of what it has sampled: how
much differs from rollout to rollout, so its masks are made anew each step (`WindowMasks`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mmupt.engines.prefix import PrefixStore
from mmupt.engines.suffix import SuffixStore


@dataclass(frozen=True, slots=True)
class Seating:
    """Which rollout belongs to which group, as two index tables over (rollout, key head) pairs. They change where a
    rollout comes or goes, not from step to step.

    gather_BKM   which pair stands at (b, k, m); what stands at m behind a group's last rollout is looked at by nobody
    scatter_AK   where in [B, K, M] the pair (a, k) stands
    """

    gather_BKM: Tensor
    scatter_AK: Tensor

    @property
    def row_BM(self) -> Tensor:
        """Which rollout stands at (b, m)."""
        return self.gather_BKM[:, 0] // self.gather_BKM.shape[1]

    @classmethod
    def of(cls, places: Sequence[int], groups: int, heads: int, device: torch.device) -> Seating:
        """`places[a]` is the group of rollout a, one of `groups`; `heads` is K."""
        place_A = np.asarray(places)
        counts_B = np.bincount(place_A, minlength=groups)
        most = int(counts_B.max())
        order_A = np.argsort(place_A, kind="stable")
        rank_A = np.empty_like(order_A)
        rank_A[order_A] = np.arange(len(places)) - np.repeat(np.cumsum(counts_B) - counts_B, counts_B)
        row_BM = np.zeros((len(counts_B), most), dtype=np.int64)
        row_BM[place_A, rank_A] = np.arange(len(places))
        heads_K = np.arange(heads)
        gather_BKM = row_BM[:, None, :] * heads + heads_K[:, None]
        scatter_AK = (place_A[:, None] * heads + heads_K) * most + rank_A[:, None]
        return cls(torch.from_numpy(gather_BKM).to(device), torch.from_numpy(scatter_AK).to(device))


@dataclass(frozen=True, slots=True)
class WindowMasks:
    """What the layers of one sliding window see in one step: f32, 0 where a rollout sees a token, -inf elsewhere.

    prefix_B1MW    of each rollout's prompt; one that has left its prompt behind keeps a last token, which counts for
                   nothing
    beyond_BM      bool: these have left it behind
    suffix_A11S    of what each has sampled
    """

    prefix_B1MW: Tensor
    beyond_BM: Tensor
    suffix_A11S: Tensor

    @classmethod
    def of(cls, window: int, prompts: Sequence[int], seating: Seating, before_A: Tensor, tokens: int) -> WindowMasks:
        """`prompts` are the lengths of the groups' prompts, `before_A` how many sampled tokens stand before the newest:
        with P prompt tokens the newest one's place is P + before, and it sees the places behind P + before - window."""
        device = before_A.device
        length_B1 = torch.tensor(prompts, device=device)[:, None]
        before_BM = before_A[seating.row_BM]
        hidden_BM = length_B1 + before_BM - window + 1  # prompt tokens out of reach
        beyond_BM = hidden_BM >= length_B1
        at_W = torch.arange(max(prompts), device=device)
        first_BM1 = torch.minimum(hidden_BM, length_B1 - 1)[..., None]
        seen_BMW = (at_W >= first_BM1) & (at_W < length_B1[..., None])
        at_S = torch.arange(tokens, device=device)
        seen_AS = (at_S <= before_A[:, None]) & (at_S > before_A[:, None] - window)
        return cls(_additive(seen_BMW)[:, None], beyond_BM, _additive(seen_AS)[:, None, None])


def _additive(seen: Tensor) -> Tensor:
    return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, -torch.inf)


@dataclass(frozen=True, slots=True)
class DecodeAttention:
    """One step. `places_AK` is where the new token's keys go; `tokens` is S, the new one included; the masks are None
    where prompts, or rollouts, are equally long. `windows` holds the sliding windows that hide something by now."""

    prefix: PrefixStore
    suffix: SuffixStore
    seating: Seating
    places_AK: Tensor
    tokens: int
    prefix_mask: Tensor | None
    suffix_mask: Tensor | None
    windows: Mapping[int, WindowMasks] = field(default_factory=dict)

    def __call__(
        self,
        layer: int,
        query_1HLd: Tensor,
        key_1KLd: Tensor,
        value_1KLd: Tensor,
        scale: float,
        window: int | None = None,
    ) -> Tensor:
        _, query_heads, rows, size = query_1HLd.shape
        groups, heads, most = self.seating.gather_BKM.shape
        shared = query_heads // heads
        self.suffix.write(layer, self.places_AK, key_1KLd[0].transpose(0, 1), value_1KLd[0].transpose(0, 1))
        query_AKrd = query_1HLd[0].transpose(0, 1).reshape(rows, heads, shared, size)
        masks = self._masks(window)
        suffix_mask = self.suffix_mask if masks is None else masks.suffix_A11S
        own_AKrd, own_AKr = attend(query_AKrd, *self.suffix.read(layer, rows, self.tokens), suffix_mask, scale)

        by_group = query_AKrd.reshape(rows * heads, shared * size).index_select(0, self.seating.gather_BKM.flatten())
        by_group = by_group.view(groups, heads, most * shared, size)
        prefix_mask = self.prefix_mask if masks is None else masks.prefix_B1MW.repeat_interleave(shared, dim=2)
        seen, seen_lse = attend(by_group, *self.prefix.read(layer), prefix_mask, scale)
        if masks is not None:
            beyond_BM = masks.beyond_BM.repeat_interleave(shared, dim=1)
            seen_lse = seen_lse.masked_fill(beyond_BM[:, None], -torch.inf)
        back = self.seating.scatter_AK.flatten()
        seen_AKrd = seen.reshape(-1, shared * size).index_select(0, back).view_as(own_AKrd)
        seen_AKr = seen_lse.reshape(-1, shared).index_select(0, back).view_as(own_AKr)

        weight_AKr1 = torch.sigmoid(seen_AKr - own_AKr)[..., None]
        merged_AKrd = torch.lerp(own_AKrd.to(weight_AKr1.dtype), seen_AKrd.to(weight_AKr1.dtype), weight_AKr1)
        return merged_AKrd.to(query_1HLd.dtype).reshape(1, rows, query_heads, size)

    def _masks(self, window: int | None) -> WindowMasks | None:
        if window is None or window in self.windows:
            return self.windows.get(window) if window is not None else None
        assert window >= self.prefix.width + self.tokens, f"nobody made the masks of a window of {window}"
        return None


def attend(
    query_NKQd: Tensor, key_NKSd: Tensor, value_NKSd: Tensor, mask_N1QS: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """softmax(scale x query key^T + mask) value, [N, K, Q, d], and the log-sum-exp of its scores, [N, K, Q], in fp32
    (in fp64 for fp64). The mask may be the same for all Q, [N, 1, 1, S]. By PyTorch's fused CPU kernel where that is
    the faster way, else by `formula`."""
    # A lone query a key head (no grouped queries) is where the kernel's blocks do not pay: 1.2 to 1.6 times slower.
    if query_NKQd.device.type != "cpu" or (query_NKQd.shape[2] == 1 and query_NKQd.dtype == torch.float32):
        return formula(query_NKQd, key_NKSd, value_NKSd, mask_N1QS, scale)
    if mask_N1QS is not None:
        mask_N1QS = mask_N1QS.expand(*query_NKQd.shape[:3], -1)
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query_NKQd, key_NKSd, value_NKSd, attn_mask=mask_N1QS, scale=scale
    )


def formula(
    query_NKQd: Tensor, key_NKSd: Tensor, value_NKSd: Tensor, mask_N1QS: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """`attend` in plain operations, on any device, with scores in fp32. Nothing in it depends on values, so that a CUDA
    graph can hold it."""
    wide = torch.promote_types(query_NKQd.dtype, torch.float32)
    with torch.autocast(query_NKQd.device.type, enabled=False):
        scores_NKQS = (query_NKQd.to(wide) * scale) @ key_NKSd.to(wide).transpose(2, 3)
        if mask_N1QS is not None:
            scores_NKQS += mask_N1QS
        top_NKQ1 = scores_NKQS.amax(-1, keepdim=True)
        mass_NKQS = scores_NKQS.sub_(top_NKQ1).exp_()
        total_NKQ1 = mass_NKQS.sum(-1, keepdim=True)
        out_NKQd = (mass_NKQS @ value_NKSd.to(wide)) / total_NKQ1
        lse_NKQ = (top_NKQ1 + total_NKQ1.log())[..., 0]
    return out_NKQd.to(query_NKQd.dtype), lse_NKQ
