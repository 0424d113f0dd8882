"""`sft`: imitate worked solutions."""

from __future__ import annotations

from mmupt.stages.work import Work
from mmupt.train.settings import SftStage
from mmupt.train.sft import train_sft


def run_sft(stage: SftStage, work: Work) -> int:
    """Trains the model in place; returns the steps."""
    return train_sft(stage, work.policy(), work.ready.labeled[stage.name].rows, work.context)
