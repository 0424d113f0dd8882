"""All kinds of stages that do something. A new one is its settings, one file here, and one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmupt.stages.dpo import run_dpo
from mmupt.stages.grpo import run_rl, run_upt
from mmupt.stages.rows import run_pairs, run_synth, run_targets
from mmupt.stages.sft import run_sft
from mmupt.stages.work import Work

TRAINING: Mapping[str, Callable[[Any, Work], int]] = {
    "sft": run_sft,
    "rl": run_rl,
    "upt": run_upt,
    "dpo": run_dpo,
}
"""What trains `work.model` in place, by kind; each returns the steps it took."""

MAKING: Mapping[str, Callable[[Any, Work], None]] = {
    "synth": run_synth,
    "targets": run_targets,
    "pairs": run_pairs,
}
"""What makes rows and leaves the model as it is, by kind."""
