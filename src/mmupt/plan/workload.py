"""What a training stage asks of the hardware: how much is sampled, forwarded and learned from in a step, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmupt.data.settings import DataSettings
from mmupt.engines.settings import RolloutSettings
from mmupt.errors import ConfigError
from mmupt.models.flops import GroupLengths
from mmupt.plan.architecture import Architecture
from mmupt.recipe import Recipe
from mmupt.train.settings import DpoStage, GrpoStage, SftStage, TrainingStage

_TAUGHT = ("start_vote", "ema_vote")
_SFT_TOKENS = 512  # of a worked answer, where nobody says how long they are


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says about data that nobody has read: mean lengths in tokens (None for the recipe's
    limits), the pixels of a picture (None for `prompt.max_pixels`), and the rows of stages by name."""

    prompt_tokens: int | None = None
    response_tokens: int | None = None
    picture_pixels: int | None = None
    rows: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class StageWork:
    """A step of one stage, all processes together.

    `groups` rows of `usual` lengths are sampled (where `rollout` is not None) and forwarded in `updates` optimiser
    steps; none is longer than `longest`. `taught` further responses a step come from a teacher, `watched` from the
    guard's questions, on average. `old` is the share of groups whose log-probs are needed before the first update.
    `start_copy`: a second model is held, which `reference` log-probs come from, or votes. `steps` is None where it
    depends on rows that nobody has counted.
    """

    name: str
    kind: str
    steps: int | None
    rows: int | None
    groups: int
    updates: int
    usual: GroupLengths
    longest: GroupLengths
    rollout: RolloutSettings | None
    taught: float
    watched: float
    old: float
    reference: bool
    start_copy: bool
    micro_batch_tokens: int
    logprob_chunk: int
    checkpoint_every: int
    notes: tuple[str, ...] = ()

    @property
    def group_size(self) -> int:
        return len(self.usual.completions)

    @property
    def groups_per_update(self) -> int:
        return -(-self.groups // self.updates)

    @property
    def forwarded_tokens(self) -> int:
        """P + G R of all groups: positions in a step's packed rows."""
        return self.groups * (self.usual.prompt + self.usual.sampled)

    @property
    def sampled_tokens(self) -> float:
        """Of the step's own rollouts, the teacher's and the guard's."""
        if self.rollout is None:
            return 0.0
        return (self.groups * self.group_size + self.taught + self.watched) * self.usual.completions[0]


def stage_work(stage: TrainingStage, recipe: Recipe, model: Architecture, given: Given) -> StageWork:
    """ConfigError where the command line's lengths do not fit the stage."""
    limit = stage.prompt.max_tokens
    prompt = _within("--prompt-tokens", given.prompt_tokens, limit, f"stage {stage.name}'s prompt.max_tokens")
    pixels = given.picture_pixels or stage.prompt.max_pixels
    rows = (given.rows or {}).get(stage.name) or _rows(stage.data, recipe)
    lora = recipe.model.lora is not None
    if isinstance(stage, GrpoStage):
        rollout = stage.rollout
        longest = rollout.max_new_tokens
        response = _within(
            "--response-tokens", given.response_tokens, longest, f"stage {stage.name}'s rollout.max_new_tokens"
        )
        size = rollout.group_size
        is_taught = stage.reward.name in _TAUGHT
        taught = float(stage.prompts_per_step * (stage.reward.teacher_size or size)) if is_taught else 0.0
        if stage.reward.name == "start_vote" and rows is not None:  # each question is put to the start model once
            taught = taught * min(1.0, rows / (stage.steps * stage.prompts_per_step))
        guard = stage.guard
        is_watched = stage.kind == "upt" and guard.enabled
        reference = stage.algo.kl_coef > 0
        notes = _notes(stage)
        return StageWork(
            name=stage.name,
            kind=stage.kind,
            steps=stage.steps,
            rows=rows,
            groups=stage.prompts_per_step,
            updates=stage.updates_per_step,
            usual=_group(model, prompt, (response,) * size, pixels),
            longest=_group(model, limit, (longest,) * size, stage.prompt.max_pixels),
            rollout=rollout,
            taught=taught,
            watched=guard.watch * guard.watch_samples / guard.every if is_watched else 0.0,
            old=1.0 - 1.0 / stage.updates_per_step,
            reference=reference,
            start_copy=(reference or is_taught) and not lora,
            micro_batch_tokens=stage.micro_batch_tokens,
            logprob_chunk=stage.logprob_chunk,
            checkpoint_every=stage.checkpoint_every,
            notes=notes,
        )
    size = 2 if isinstance(stage, DpoStage) else 1
    response = given.response_tokens or _SFT_TOKENS
    steps = None if rows is None else -(-stage.epochs * rows // min(stage.batch_size, rows))
    note = () if given.response_tokens else (f"answers of {_SFT_TOKENS} tokens (--response-tokens says otherwise)",)
    return StageWork(
        name=stage.name,
        kind=stage.kind,
        steps=steps,
        rows=rows,
        groups=stage.batch_size,
        updates=1,
        usual=_group(model, prompt, (response,) * size, pixels),
        longest=_group(model, limit, (response,) * size, stage.prompt.max_pixels),
        rollout=None,
        taught=0.0,
        watched=0.0,
        old=0.0,
        reference=isinstance(stage, DpoStage),
        start_copy=isinstance(stage, DpoStage) and not lora,
        micro_batch_tokens=stage.micro_batch_tokens,
        logprob_chunk=stage.logprob_chunk,
        checkpoint_every=stage.checkpoint_every,
        notes=note,
    )


def training_stages(recipe: Recipe) -> list[TrainingStage]:
    return [stage for stage in recipe.stages if isinstance(stage, SftStage | GrpoStage | DpoStage)]


def not_counted(recipe: Recipe) -> list[str]:
    """What else a recipe does, by name: stages that make rows or measure, and the measurements between stages."""
    counted = {stage.name for stage in training_stages(recipe)}
    others = [f"{stage.name} ({stage.kind})" for stage in recipe.stages if stage.name not in counted]
    evaluation = recipe.evaluation
    if evaluation is not None and (evaluation.start or evaluation.every_stage):
        others.append("[evaluation] between the stages")
    return others


def _group(model: Architecture, prompt: int, completions: tuple[int, ...], pixels: int) -> GroupLengths:
    """With a picture that leaves room for a few words."""
    side = 14 * model.shape.vision.merge
    room = max(1, prompt - min(32, prompt // 2))
    return model.group(prompt, completions, min(pixels, room * side**2) if model.reads_pictures else 0)


def _within(option: str, value: int | None, limit: int, key: str) -> int:
    if value is not None and value > limit:
        raise ConfigError(f"{option} {value}: a mean cannot be above {key} = {limit}; lower it, or --set the limit")
    return value or limit


def _rows(data: DataSettings, recipe: Recipe) -> int | None:
    """Where that is known without opening anything: the offline world's sizes."""
    if not data.path.startswith("world:"):
        return None
    split = data.path.removeprefix("world:").partition("@")[0]
    size = getattr(recipe.world, f"{split}_size", None)
    return min(size, data.limit) if isinstance(size, int) and data.limit is not None else size


def _notes(stage: GrpoStage) -> tuple[str, ...]:
    if stage.reward.name in ("co_reward", "verified_vote", "self_judge", "questioner", "combined"):
        return (f"what reward {stage.reward.name} samples and forwards besides is not counted",)
    if stage.reward.name == "start_vote":
        return ("each question is put to the start model once more for its vote, at its first visit",)
    return ()
