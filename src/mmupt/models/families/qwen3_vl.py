"""Qwen3-VL: as Qwen2.5-VL, but features of several depths of the tower enter the first layers of the language model
(DeepStack, arXiv 2406.04334), rotary frequencies of the three rows are interleaved, and queries and keys normalised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mmupt.models.families.qwen_vl import QwenVL
from mmupt.types import Picture


class Qwen3VL(QwenVL):
    """A picture's features are [image tokens, (1 + depths) D]: the embeddings, and behind them what is added to the
    hidden states behind the first layers. So they are kept and reused as one tensor."""

    hands_over: ClassVar[bool] = False
    video_processor: ClassVar[str] = "Qwen3VLVideoProcessor"
    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "vision": ("model.visual.patch_embed.", "model.visual.pos_embed.", "model.visual.blocks."),
        "projector": ("model.visual.merger.", "model.visual.deepstack_merger_list."),
        "language": ("model.language_model.", "lm_head."),
    }

    def features(self, model: nn.Module, pictures: Sequence[Picture]) -> list[Tensor]:
        seen = self._seen(model, pictures)
        depths = zip(seen.pooler_output, *seen.deepstack_features, strict=True)
        return [torch.cat(features, dim=-1) for features in depths]

    def _shown(
        self, features_ND: Tensor, placeholder_N: Tensor, embedded_LD: Tensor
    ) -> tuple[Tensor, Mapping[str, Any]]:
        embedding_ND, *deeper = features_ND.split(embedded_LD.shape[1], dim=1)
        shown_L = torch.zeros(len(embedded_LD), dtype=torch.bool, device=embedded_LD.device)
        shown_L[placeholder_N] = True
        return embedding_ND, {"visual_pos_masks": shown_L[None], "deepstack_visual_embeds": deeper}
