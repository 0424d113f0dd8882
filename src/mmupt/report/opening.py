"""What stands above the curves of a stage, for whoever has not written its recipe: what it learned from, what was
rewarded, and which way the model's agreement with itself went."""

from __future__ import annotations

from mmupt.report.reading import Stage
from mmupt.report.views import clean

_REWARDED = {
    "ground_truth": "the label",
    "start_vote": "what most answers of the stage's start model say, asked once",
    "majority_vote": "what most answers of its own group say",
    "ema_vote": "what most answers of a slowly following copy of the model say",
}
_END = 4
"""The first and the last quarter of the steps are compared: single steps hold too few groups."""


def opening(stage: Stage) -> str:
    """A few sentences, or nothing for a stage that samples no answers."""
    if stage.kind not in ("rl", "upt"):
        return ""
    said = []
    if path := _told(stage, "data", "path"):
        labels = "without their labels" if stage.kind == "upt" else "with their labels"
        said.append(f"Learns from the questions of {path}, {labels}.")
    reward = _told(stage, "reward", "name")
    if reward in _REWARDED:
        said.append(f"Rewarded is an answer that agrees with {_REWARDED[reward]}.")
    elif reward:
        said.append(f"Its reward is {reward}.")
    share, entropy = _ends(stage, "share"), _ends(stage, "semantic_entropy")
    if stage.kind == "upt" and share is not None and entropy is not None:
        said.append(
            f"From the first to the last quarter of the steps the majority's share of the answers went from "
            f"{share[0]:.0%} to {share[1]:.0%}, semantic entropy (0 where all agree) from {entropy[0]:.2f} to "
            f"{entropy[1]:.2f}."
        )
    return " ".join(said)


def _told(stage: Stage, table: str, key: str) -> str:
    """Empty where a damaged recipe has no such thing."""
    found = stage.settings.get(table)
    return clean(found.get(key) or "") if isinstance(found, dict) else ""


def _ends(stage: Stage, key: str) -> tuple[float, float] | None:
    values = [value for _, value in stage.series(key)]
    if len(values) < 2 * _END:
        return None
    quarter = len(values) // _END
    return sum(values[:quarter]) / quarter, sum(values[-quarter:]) / quarter
