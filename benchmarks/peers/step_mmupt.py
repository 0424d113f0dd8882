"""Our side: the parts of `train_grpo`'s loop, called one after another, in a fresh process. Called with a task as JSON;
answers on standard output.

What counts where:
    step        everything from the questions to the new weights
    generation  reading and processing pictures, tokenizing, sampling, decoding
    update      `update_policy`: packing, the reference's forward, forward, backward, clipping, optimiser
What is in the step and in neither: rewards and advantages.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from step_task import (
    GROUP,
    LEARNING_RATE,
    MAX_PIXELS,
    MIN_PIXELS,
    PROMPTS,
    WARM_UP,
    Task,
    answer,
    peak_rss,
    reward,
    versions,
)

from mmupt.algo.advantage import group_advantage
from mmupt.algo.settings import AlgoSettings
from mmupt.data.settings import DataSettings, PromptSettings
from mmupt.engines.hf import HFEngine
from mmupt.engines.settings import RolloutSettings
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel, load_model
from mmupt.models.settings import ModelSettings
from mmupt.models.start import StartModel
from mmupt.rollout.prepare import Prepared
from mmupt.rollout.single_turn import sample_groups
from mmupt.runtime.phases import PhaseClock
from mmupt.train.optimizer import build_optimizer
from mmupt.train.policy import Policy
from mmupt.train.settings import GrpoStage, OptimizerSettings
from mmupt.train.update import ScoredGroup, update_policy
from mmupt.types import ImageSource, Prompt, RolloutGroup


def stage_of(task: Task) -> GrpoStage:
    """What is not named here is what a recipe gets that says nothing about it."""
    return GrpoStage(
        kind="upt",
        name="step",
        steps=task.steps,
        prompts_per_step=PROMPTS,
        updates_per_step=1,
        micro_batch_tokens=task.groups * (task.prompt + GROUP * task.completion),
        data=DataSettings(path=task.folder),
        prompt=PromptSettings(suffix="", min_pixels=MIN_PIXELS, max_pixels=MAX_PIXELS),
        rollout=RolloutSettings(group_size=GROUP, temperature=1.0, top_p=1.0, max_new_tokens=task.completion),
        algo=AlgoSettings(kl_coef=task.beta, clip_low=0.2, clip_high=0.3, dual_clip=3.0),
        optimizer=OptimizerSettings(lr=LEARNING_RATE),
    )


def load(task: Task) -> LoadedModel:
    loaded = load_model(task.model, ModelSettings(path=task.model, device="cpu"), torch.device("cpu"))
    loaded.family.banned_ids = tuple(task.never_sampled())
    return loaded


def sample(task: Task, stage: GrpoStage, loaded: LoadedModel, step: int) -> list[RolloutGroup]:
    """Each step has an encoder of its own: an old one would still have the pictures of the step before."""
    encoder = PromptEncoder(loaded.family, stage.prompt)
    prompts = [
        Prompt(f"{step}-{i}", f"<image>{row['question']}", (ImageSource(path=row["picture"]),))
        for i, row in enumerate(task.questions())
    ]
    prepared = [Prepared(prompt, 0, encoder(prompt)) for prompt in prompts]
    groups = sample_groups(prepared, HFEngine(loaded), stage.rollout, seed=0, policy_version=step)
    lengths = {(group.encoded.length, len(r.token_ids)) for group in groups for r in group.rollouts}
    if lengths != {(task.prompt, task.completion)}:
        raise SystemExit(f"rows came out with lengths {sorted(lengths)}, not {(task.prompt, task.completion)}")
    return groups


def score(stage: GrpoStage, groups: Sequence[RolloutGroup]) -> list[ScoredGroup]:
    rewards = [torch.tensor([reward(r.token_ids) for r in group.rollouts]) for group in groups]
    return [
        ScoredGroup(group, group_advantage(r_G, stage.algo.advantage))
        for group, r_G in zip(groups, rewards, strict=True)
    ]


def steps(task: Task) -> list[dict[str, float]]:
    stage, loaded, clock = stage_of(task), load(task), PhaseClock()
    policy = Policy(loaded)
    reference = None
    if task.beta:
        frozen = load(task).model  # before the clock runs
        reference = StartModel(loaded, lambda: frozen)
    optimizer = build_optimizer(policy.trained.values(), stage.optimizer)
    records = []
    for step in range(task.steps):
        began = time.perf_counter()
        groups = sample(task, stage, loaded, step)
        sampled = time.perf_counter()
        scored = score(stage, groups)
        updating = time.perf_counter()
        update_policy(stage, policy, optimizer, scored, reference, [stage.optimizer.lr], clock)
        ended = time.perf_counter()
        records.append({"generation": sampled - began, "update": ended - updating, "step": ended - began})
    return records


def main() -> None:
    task = Task.from_argument(sys.argv[1])
    torch.set_num_threads(task.threads)
    steps(replace(task, **WARM_UP))
    before = peak_rss()
    measured = steps(task)
    answer(
        {
            "steps": measured,
            "rss": peak_rss(),
            "rss_before": before,
            "versions": versions("mmupt", "torch", "transformers"),
        }
    )


if __name__ == "__main__":
    main()
