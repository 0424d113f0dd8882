"""One update without the optimiser, forward and backward over one group: our own path and TRL's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmupt.algo.settings import AlgoSettings
from mmupt.data.settings import DataSettings
from mmupt.engines.settings import RolloutSettings
from mmupt.models.loading import LoadedModel
from mmupt.runtime.phases import PhaseClock
from mmupt.train.policy import Policy
from mmupt.train.settings import GrpoStage
from mmupt.train.update import ScoredGroup, UpdateStats, accumulate_gradients

# Both sides: no KL term, these clips, one mean over all tokens (TRL calls it "dapo"), the entropy of every token.
CLIP_LOW, CLIP_HIGH, DUAL_CLIP = 0.2, 0.3, 3.0


def our_update(loaded: LoadedModel, group: ScoredGroup, chunk: int) -> None:
    """What `update_policy` does before its optimiser's step, packing included."""
    completion = len(group.group.rollouts[0].token_ids)
    stage = GrpoStage(
        kind="upt",
        name="step",
        steps=1,
        prompts_per_step=1,
        updates_per_step=1,
        data=DataSettings(path="unused"),
        rollout=RolloutSettings(group_size=group.group.size, temperature=1.0, max_new_tokens=completion),
        algo=AlgoSettings(kl_coef=0.0, clip_low=CLIP_LOW, clip_high=CLIP_HIGH, dual_clip=DUAL_CLIP),
        logprob_chunk=chunk,
    )
    loaded.model.zero_grad(set_to_none=True)
    accumulate_gradients(stage, Policy(loaded), [group], [None], None, UpdateStats(), PhaseClock())


class TrlSide:
    """GRPOTrainer's loss on the dict of tensors that its own `_generate_and_score_completions` would hand to it."""

    def __init__(self, model: Any, tokenizer: Any, folder: str, device: torch.device) -> None:
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer  # type: ignore[attr-defined]

        on_cpu = device.type == "cpu"
        config = GRPOConfig(
            output_dir=folder,
            loss_type="dapo",
            beta=0.0,
            epsilon=CLIP_LOW,
            epsilon_high=CLIP_HIGH,
            delta=DUAL_CLIP,
            temperature=1.0,
            per_device_train_batch_size=2,  # of the loader, which is not used: batches are cut in `update`
            num_generations=2,
            steps_per_generation=1,
            use_cpu=on_cpu,
            bf16=not on_cpu,  # its default on a GPU: autocast
            report_to=[],
        )
        self.trainer: Any = GRPOTrainer(
            model=model,
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=config,
            train_dataset=Dataset.from_dict({"prompt": ["a", "b"]}),
            processing_class=tokenizer,
        )
        self.trainer.current_gradient_accumulation_steps = 1
        self.model: nn.Module = model
        self.device = device

    def update(self, group: ScoredGroup, image_id: int, batch: int) -> None:
        """`batch` rows at once; gradients of the slices add up to the group's."""
        self.model.zero_grad(set_to_none=True)
        for start in range(0, group.group.size, batch):
            inputs = self._inputs(group, image_id, slice(start, start + batch))
            self.trainer._compute_loss(self.model, inputs).backward()

    def _inputs(self, group: ScoredGroup, image_id: int, rows: slice) -> dict[str, Any]:
        """All prompts and all completions are of one length here, so nothing is padded: TRL at its best."""
        encoded = group.group.encoded
        rollouts = group.group.rollouts[rows]
        prompt_ids = encoded.token_ids.expand(len(rollouts), -1)
        completion_ids = torch.tensor([r.token_ids for r in rollouts])
        tensors: dict[str, Tensor] = {
            "prompt_ids": prompt_ids,
            "prompt_mask": torch.ones_like(prompt_ids),
            "completion_ids": completion_ids,
            "completion_mask": torch.ones_like(completion_ids),
            "advantages": group.advantages_G[rows],
            "num_items_in_batch": torch.tensor(group.tokens),
            "mm_token_type_ids": (torch.cat([prompt_ids, completion_ids], 1) == image_id).long(),
        }
        pictures = [picture.tensors for picture in encoded.pictures] * len(rollouts)
        for name in ("pixel_values", "image_grid_thw"):
            tensors[name] = torch.cat([picture[name] for picture in pictures])
        moved: dict[str, Any] = {name: tensor.to(self.device) for name, tensor in tensors.items()}
        return moved | {"num_images": [len(encoded.pictures)] * len(rollouts)}
