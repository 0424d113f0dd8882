"""mmupt: vision-language models that keep improving without labels (MM-UPT, arXiv 2505.22453).

What stands in `__all__` is the Python API (docs/python.md). Each name is imported when it is first used, so that
`import mmupt` costs nothing and the command line answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmupt.api.answers import grade, read_answer, vote
    from mmupt.api.rewards import TextReward, reward
    from mmupt.api.runs import Run, evaluate, probe, run
    from mmupt.errors import MmuptError
    from mmupt.probing import StageProbe
    from mmupt.recipe import Recipe, load_recipe
    from mmupt.rewards.base import Reward
    from mmupt.rewards.own.group import SampledGroup
    from mmupt.types import Cluster, GroupScore, LabeledPrompt, Prompt, Vote

__version__ = "0.1.0"

__all__ = [
    "Cluster",
    "GroupScore",
    "LabeledPrompt",
    "MmuptError",
    "Prompt",
    "Recipe",
    "Reward",
    "Run",
    "SampledGroup",
    "StageProbe",
    "TextReward",
    "Vote",
    "__version__",
    "evaluate",
    "grade",
    "load_recipe",
    "probe",
    "read_answer",
    "reward",
    "run",
    "vote",
]

_HOMES = {
    "grade": "mmupt.api.answers",
    "read_answer": "mmupt.api.answers",
    "vote": "mmupt.api.answers",
    "TextReward": "mmupt.api.rewards",
    "reward": "mmupt.api.rewards",
    "Run": "mmupt.api.runs",
    "evaluate": "mmupt.api.runs",
    "probe": "mmupt.api.runs",
    "run": "mmupt.api.runs",
    "MmuptError": "mmupt.errors",
    "StageProbe": "mmupt.probing",
    "Recipe": "mmupt.recipe",
    "load_recipe": "mmupt.recipe",
    "Reward": "mmupt.rewards.base",
    "SampledGroup": "mmupt.rewards.own.group",
    "Cluster": "mmupt.types",
    "GroupScore": "mmupt.types",
    "LabeledPrompt": "mmupt.types",
    "Prompt": "mmupt.types",
    "Vote": "mmupt.types",
}


def __getattr__(name: str) -> object:
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module 'mmupt' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
