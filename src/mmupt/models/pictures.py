"""Features of pictures: the vision tower runs once for each distinct picture of a forward, and, while it is frozen,
once in a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmupt.models.families.base import Family
from mmupt.runtime.recent import RecentlyUsed
from mmupt.types import Picture


@dataclass(slots=True)
class PictureFeatures:
    """Of one family's models that share a vision tower. `capacity` bounds what is kept, in bytes; the picture that was
    not asked for longest leaves first.

    Only a frozen tower's features are kept. They are computed picture by picture, so that they do not depend (by float
    error) on the company in which a picture came first: a resumed run, which starts with nothing kept, is the same run.
    """

    family: Family
    capacity: int
    _kept: RecentlyUsed[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self._kept = RecentlyUsed(self.capacity)

    def __call__(self, model: nn.Module, pictures: Sequence[Picture]) -> Tensor | None:
        """Features [N, D] of all pictures end to end, N image tokens in all; None without pictures."""
        if not pictures:
            return None
        distinct = list({picture.key: picture for picture in pictures}.values())
        if self.kept_of(model):
            features = {picture.key: self._frozen_features(model, picture) for picture in distinct}
        else:
            computed = self.family.features(model, distinct)
            features = {picture.key: feature for picture, feature in zip(distinct, computed, strict=True)}
        return torch.cat([features[picture.key] for picture in pictures])

    def _frozen_features(self, model: nn.Module, picture: Picture) -> Tensor:
        if (kept := self._kept.get(picture.key)) is not None:
            return kept
        with torch.inference_mode(False), torch.no_grad():  # an update may use what a rollout was the first to need
            (feature,) = self.family.features(model, [picture])
        self._kept.put(picture.key, feature, feature.nbytes)
        return feature

    def kept_of(self, model: nn.Module) -> bool:
        """Whether its features are kept: nothing of the tower is trained, adapters in it included."""
        prefixes = (*self.family.parts["vision"], *self.family.parts["projector"])
        return not any(
            parameter.requires_grad and any(prefix in name for prefix in prefixes)
            for name, parameter in model.named_parameters()
        )
