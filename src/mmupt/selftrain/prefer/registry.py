"""From the name of a rule to the rule. Only rules that read labels are ever handed any."""

from __future__ import annotations

from collections.abc import Mapping

from mmupt.selftrain.prefer.base import PreferRule
from mmupt.selftrain.prefer.corrupted import GoodOverPoor
from mmupt.selftrain.prefer.gold import RightOverWrong
from mmupt.selftrain.prefer.gold_over_own import DataOverOwn
from mmupt.selftrain.prefer.judge import BestOverWorst
from mmupt.selftrain.settings import PairsStage
from mmupt.types import LabeledPrompt


def build_prefer(stage: PairsStage, labels: Mapping[str, LabeledPrompt] | None) -> PreferRule:
    """The rule of the stage. `labels` maps prompt ids to labels, None for a stage that reads none."""
    if labels is None:
        match stage.prefer:
            case "judge":
                return BestOverWorst(stage.margin)
            case "corrupted":
                return GoodOverPoor()
            case "gold" | "gold_over_own":
                raise ValueError(f'the rule "{stage.prefer}" reads labels and got none')
    if stage.prefer == "gold":
        return RightOverWrong(stage.answers, labels, stage.per_prompt)
    return DataOverOwn(labels, stage.per_prompt)
