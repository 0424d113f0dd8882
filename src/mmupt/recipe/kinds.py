"""The kinds of stages a recipe may have: their settings, and which can work with what another has made."""

from __future__ import annotations

from collections.abc import Mapping

from mmupt.selftrain.settings import PairsStage, TargetsStage
from mmupt.settings import Settings
from mmupt.synth.settings import SynthStage
from mmupt.train.settings import DpoStage, EvalStage, GrpoStage, SftStage

MakingStage = SynthStage | TargetsStage | PairsStage
"""The stages that make rows and leave the model as it is."""

STAGE_MODELS: Mapping[str, type[Settings]] = {
    "sft": SftStage,
    "rl": GrpoStage,
    "upt": GrpoStage,
    "dpo": DpoStage,
    "synth": SynthStage,
    "targets": TargetsStage,
    "pairs": PairsStage,
    "eval": EvalStage,
}

MAKES: Mapping[str, str] = {"synth": "questions", "targets": "answers to imitate", "pairs": "preferences"}
"""What the stages make that make rows."""

READS: Mapping[str, tuple[str, ...]] = {
    "sft": ("answers to imitate",),
    "rl": (),
    "upt": ("questions", "answers to imitate"),
    "dpo": ("preferences",),
    "synth": ("questions",),
    "targets": ("questions",),
    "pairs": ("questions",),
}
"""Of these, what each kind can work with. A label-free stage takes the questions and never looks at answers."""
