"""One value has one home: what several stages share is written once, at the top of the recipe.

A top-level table or key that stages have too (`[data]`, `[optimizer]`, `[rollout]`, `prompts_per_step`, ...) is merged
into each training stage that has such a field, table by table, the stage's own values winning; and into `[evaluation]`
in the same way, except that an evaluation on `benchmarks` takes no `[data]` from above. Stages are complete once they
are validated, and problems are told where the value was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmupt.evals.settings import EvaluationSettings
from mmupt.recipe.overrides import Key
from mmupt.settings import Settings
from mmupt.synth.settings import SynthStage
from mmupt.train.settings import EvalStage, GrpoStage, SftStage

STAGE_MODELS: Mapping[str, type[Settings]] = {
    "sft": SftStage,
    "rl": GrpoStage,
    "upt": GrpoStage,
    "synth": SynthStage,
    "eval": EvalStage,
}
SHARED: frozenset[str] = frozenset({*SftStage.model_fields, *GrpoStage.model_fields} - {"name", "kind"})
"""The top-level keys that are merged into stages."""


def merge_shared(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with every stage and the evaluation complete and no shared key left at the top."""
    shared = {key: value for key, value in document.items() if key in SHARED}
    merged = {key: value for key, value in document.items() if key not in SHARED}
    if isinstance(merged.get("stages"), list):
        merged["stages"] = list(merged["stages"])
    for place, table, keys in _readers(document):
        own = {key: value for key, value in shared.items() if key in keys}
        complete = _deep_merge(own, table)
        if place[0] == "stages":
            merged["stages"][place[1]] = complete
        else:
            merged["evaluation"] = complete
    return merged


def idle_keys(document: Mapping[str, Any], overridden: Sequence[Key]) -> list[str]:
    """Problems: shared keys that no stage reads, and overrides of shared keys that every stage sets for itself."""
    problems = []
    readers = list(_readers(document))
    for key in sorted(SHARED & document.keys()):
        if not any(key in keys for _, _, keys in readers):
            kinds = ", ".join(sorted(kind for kind, model in STAGE_MODELS.items() if key in model.model_fields))
            problems.append(f"{key}: nothing in this recipe reads it (stages of kind {kinds} do); remove it")
    for path in overridden:
        reading = [(place, table) for place, table, keys in readers if path[0] in keys]
        if path[0] in SHARED and reading and all(contains(table, path) for _, table in reading):
            homes = [dotted((*place, *path), document) for place, _ in reading]
            problems.append(
                f"{dotted(path, document)} (given with --set): has no effect, because whatever reads it sets its own; "
                f"set {' or '.join(homes)} instead"
            )
    return problems


def home(loc: Key, document: Mapping[str, Any], *, missing: bool = False) -> Key:
    """Where the value that stands at `loc` of the merged document was written, or should be if it is missing."""
    place, rest = (loc[:2], loc[2:]) if loc[0] == "stages" else (loc[:1], loc[1:])
    if not rest or rest[0] not in SHARED:
        return loc
    owner: Any = document
    for part in place:
        owner = owner[part]
    if contains(owner, rest):
        return loc
    # A missing value belongs into the table that is there already: the stage's own, or else the shared one.
    written_above = len(rest) > 1 and rest[0] not in owner if missing else contains(document, rest)
    return rest if written_above else loc


def contains(node: Any, path: Key) -> bool:
    """Whether a value stands at `path`."""
    for part in path:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def dotted(loc: Key, document: Mapping[str, Any]) -> str:
    """The key as one writes it, stages by name: `stages.upt.rollout.group_size`, `model.freeze[0]`."""
    text = ""
    for depth, part in enumerate(loc):
        if isinstance(part, int) and not (depth == 1 and loc[0] == "stages"):
            text += f"[{part}]"
            continue
        name = _stage_name(part, document) if isinstance(part, int) else part
        bare = name.replace("-", "").replace("_", "").isalnum() and name.isascii()
        text += ("." if text else "") + (name if bare else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"')
    return text


def _stage_name(index: int, document: Mapping[str, Any]) -> str:
    """The stage's name where it has one of its own, else its index."""
    names = [stage.get("name") if isinstance(stage, dict) else None for stage in document["stages"]]
    name = names[index]
    return name if isinstance(name, str) and name and names.count(name) == 1 else str(index)


def _readers(document: Mapping[str, Any]) -> Iterator[tuple[Key, dict[str, Any], frozenset[str]]]:
    """What may read shared keys, as (place, its own table, the keys it reads)."""
    stages = document.get("stages")
    for index, stage in enumerate(stages if isinstance(stages, list) else ()):
        kind = stage.get("kind") if isinstance(stage, dict) else None
        if isinstance(kind, str) and kind in STAGE_MODELS:
            yield ("stages", index), stage, frozenset(STAGE_MODELS[kind].model_fields)
    evaluation = document.get("evaluation")
    if isinstance(evaluation, dict):
        keys = frozenset(EvaluationSettings.model_fields)
        # The questions are the benchmarks' then, and [data] is what the stages train on.
        elsewhere = {"data"} if evaluation.get("benchmarks") and "data" not in evaluation else set()
        yield ("evaluation",), evaluation, keys - elsewhere


def _deep_merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        base = merged.get(key)
        merged[key] = _deep_merge(base, value) if isinstance(base, dict) and isinstance(value, dict) else value
    return merged
