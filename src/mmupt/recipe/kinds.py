"""The kinds of stages a recipe may have: their settings, and which can learn from what another has made."""

from __future__ import annotations

from collections.abc import Mapping

from mmupt.settings import Settings
from mmupt.train.settings import DpoStage, EvalStage, GrpoStage, SftStage

STAGE_MODELS: Mapping[str, type[Settings]] = {
    "sft": SftStage,
    "rl": GrpoStage,
    "upt": GrpoStage,
    "dpo": DpoStage,
    "eval": EvalStage,
}

MAKES: Mapping[str, str] = {}
"""What the stages make that make rows."""

READS: Mapping[str, tuple[str, ...]] = {"sft": (), "rl": (), "upt": (), "dpo": ()}
"""Of these, what each kind can learn from. A label-free stage takes the questions and never looks at answers."""
