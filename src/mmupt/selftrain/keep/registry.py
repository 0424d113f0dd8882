"""From the name of a rule to the rule. Only rules that read labels are ever handed any."""

from __future__ import annotations

from collections.abc import Mapping

from mmupt.selftrain.keep.base import KeepRule
from mmupt.selftrain.keep.data import FromData
from mmupt.selftrain.keep.everything import Everything
from mmupt.selftrain.keep.gold import Gold
from mmupt.selftrain.keep.majority import Majority
from mmupt.selftrain.keep.self_check import SelfCheck
from mmupt.selftrain.settings import TargetsStage
from mmupt.types import LabeledPrompt


def build_keep(stage: TargetsStage, labels: Mapping[str, LabeledPrompt] | None) -> KeepRule:
    """The rule of the stage. `labels` maps prompt ids to labels, None for a stage that reads none."""
    if labels is None:
        match stage.keep:
            case "majority":
                return Majority(stage.answers, stage.min_share)
            case "self_check":
                return SelfCheck(stage.threshold)
            case "all":
                return Everything()
            case "gold" | "data":
                raise ValueError(f'the rule "{stage.keep}" reads labels and got none')
    return FromData(labels) if stage.keep == "data" else Gold(stage.answers, labels)
