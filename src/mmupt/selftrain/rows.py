"""What a stage is handed, taken apart: a stage that reads no labels cannot be given any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmupt.selftrain.settings import PairsStage, TargetsStage
from mmupt.types import LabeledPrompt, Prompt

Rows = Sequence[Prompt] | Sequence[LabeledPrompt]


def take_apart(stage: TargetsStage | PairsStage, rows: Rows) -> tuple[list[Prompt], Mapping[str, LabeledPrompt] | None]:
    """The prompts, and the labels by prompt id (None for a stage that reads none).

    TypeError where the rows are not of the type the stage reads: a fault of the caller, never of a user.
    """
    if stage.reads == "prompts":
        prompts = [row for row in rows if isinstance(row, Prompt)]
        if len(prompts) != len(rows):
            raise TypeError(f"stage {stage.name} reads no labels and was handed rows with labels")
        return prompts, None
    labels = {row.prompt.id: row for row in rows if isinstance(row, LabeledPrompt)}
    if len(labels) != len(rows):
        raise TypeError(f"stage {stage.name} reads labels and was handed rows without, or two of one id")
    return [row.prompt for row in labels.values()], labels
