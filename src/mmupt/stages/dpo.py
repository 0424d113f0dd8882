"""`dpo`: prefer one response to another."""

from __future__ import annotations

from mmupt.stages.work import Work
from mmupt.train.dpo import train_dpo
from mmupt.train.settings import DpoStage


def run_dpo(stage: DpoStage, work: Work) -> int:
    """Trains the model in place, held against what it was; returns the steps."""
    return train_dpo(stage, work.policy(), work.ready.pairs[stage.name].rows, work.start(), work.context)
