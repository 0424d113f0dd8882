"""The stages that train: `sft`, `rl`, `upt`, `dpo`. Settings that several stages share stand in the recipe's top-level
tables of the same name and are merged in before a stage is parsed, so each stage is complete in itself."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from mmupt.algo.settings import AlgoSettings, PreferenceSettings
from mmupt.answers.settings import AnswerSettings
from mmupt.data.settings import ReadingStage, Reads
from mmupt.engines.settings import RolloutSettings
from mmupt.guard.settings import GuardSettings, SelectionSettings
from mmupt.rewards.settings import RewardSettings
from mmupt.runtime.settings import CheckpointSettings
from mmupt.settings import NAME_PATTERN, NAME_RULE, Settings


class OptimizerSettings(Settings):
    """AdamW. Defaults are the paper's (arXiv 2505.22453): lr 1e-6, weight decay 0.01, clip 1.0, no warm-up."""

    lr: float = Field(default=1e-6, gt=0)
    betas: tuple[float, float] = Field(default=(0.9, 0.999), strict=False)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    final_lr_fraction: float = Field(default=0.0, ge=0, le=1)


class TrainStage(ReadingStage):
    """What every training stage has. `micro_batch_tokens` bounds the positions of one packed row: a forward takes as
    many whole groups as fit. `logprob_chunk` bounds the rows of logits that exist at once."""

    optimizer: OptimizerSettings = OptimizerSettings()
    micro_batch_tokens: int = Field(default=16_384, ge=16)
    logprob_chunk: int = Field(default=1_024, ge=1)
    checkpoint_every: int = Field(default=20, ge=1)
    checkpoints: CheckpointSettings = CheckpointSettings()


class SftStage(TrainStage):
    """Supervised fine-tuning on `solution` (or, where a row has none, on its answer in a box)."""

    kind: Literal["sft"]
    epochs: int = Field(default=1, ge=1)
    batch_size: int = Field(default=64, ge=1)


class GrpoStage(TrainStage):
    """GRPO. `rl` reads labels for its reward, `upt` is handed prompts without any. The guard watches `upt` alone."""

    kind: Literal["rl", "upt"]
    steps: int = Field(ge=1)
    prompts_per_step: int = Field(default=512, ge=1)
    updates_per_step: int = Field(default=4, ge=1)
    rollout: RolloutSettings = RolloutSettings()
    answers: AnswerSettings = AnswerSettings()
    reward: RewardSettings = RewardSettings()
    select: SelectionSettings = SelectionSettings()
    algo: AlgoSettings = AlgoSettings()
    guard: GuardSettings = GuardSettings()

    @property
    def reads(self) -> Reads:
        return "prompts" if self.kind == "upt" else "labels"

    @property
    def fewest(self) -> tuple[int, str]:
        return self.prompts_per_step, "prompts_per_step"

    @model_validator(mode="before")
    @classmethod
    def _reward_of_kind(cls, data: Any) -> Any:
        """Each kind has its natural reward, which a recipe names only to say the same aloud."""
        if not isinstance(data, dict):
            return data
        reward = data.get("reward", {})
        if isinstance(reward, RewardSettings):
            reward = reward.model_dump(exclude_unset=True)
        if not isinstance(reward, dict) or "name" in reward:
            return data
        natural = "ground_truth" if data.get("kind") == "rl" else "start_vote"
        return {**data, "reward": {**reward, "name": natural}}

    @model_validator(mode="after")
    def _fits(self) -> GrpoStage:
        if self.kind == "upt" and self.reward.name == "ground_truth":
            raise ValueError('reward.name "ground_truth" reads labels, which kind "upt" never has; use kind "rl"')
        if self.kind == "rl" and self.reward.name != "ground_truth":
            raise ValueError(
                f'kind "rl" learns from labels: reward.name must be "ground_truth", not "{self.reward.name}"'
            )
        if self.reward.name == "questioner" and self.guard.enabled:
            raise ValueError(
                'reward.name "questioner" pays for questions, and the guard watches answers; set guard.enabled = false'
            )
        if self.updates_per_step > self.prompts_per_step:
            raise ValueError(
                f"updates_per_step {self.updates_per_step} is larger than prompts_per_step {self.prompts_per_step}"
            )
        return self


class DpoStage(TrainStage):
    """Direct preference optimisation on pairs of responses (columns `chosen` and `rejected`)."""

    kind: Literal["dpo"]
    epochs: int = Field(default=1, ge=1)
    batch_size: int = Field(default=64, ge=1, description="pairs an optimiser step")
    preference: PreferenceSettings = PreferenceSettings()

    @property
    def reads(self) -> Reads:
        return "pairs"

    @model_validator(mode="after")
    def _has_pairs(self) -> DpoStage:
        if self.data.path.startswith("world:"):
            raise ValueError(
                f'data.path "{self.data.path}": the offline world has no pairs of responses; give a file or a hub data '
                "set with the columns chosen and rejected"
            )
        return self


class EvalStage(Settings):
    """A measurement in the middle of a recipe; its settings are the recipe's `[evaluation]`."""

    kind: Literal["eval"]
    name: str = Field(pattern=NAME_PATTERN, description=NAME_RULE)


TrainingStage = SftStage | GrpoStage | DpoStage
"""The stages that change the model."""
