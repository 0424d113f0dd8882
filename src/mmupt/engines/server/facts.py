"""What trainer and server must have in common for a rollout to be what the policy says, and what differs where they do
not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmupt import __version__
from mmupt.models.families.base import Family
from mmupt.models.loading import tokenizer_fingerprint

_VOLATILE = {"architectures", "dtype", "mmupt_tokenizer", "torch_dtype", "transformers_version", "use_cache"}
"""Keys of config.json that say who wrote it, and nothing about what the model computes."""
_SHOWN = 6


def facts(family: Family, config: Any = None, shapes: Mapping[str, list[int]] | None = None) -> dict[str, Any]:
    """Everything that decides what is sampled, but the weights themselves, as a table; without `config` and `shapes`
    what is known before a model is loaded."""
    found: dict[str, Any] = {
        "mmupt": __version__,
        "tokenizer": tokenizer_fingerprint(family.tokenizer),
        "ids that end a rollout": sorted(family.end_ids),
        "ids that are never sampled": list(family.banned_ids),
    }
    if config is not None:
        found |= {f"config.json: {key}": value for key, value in _flat(config.to_dict())}
    if shapes is not None:
        found |= {f"weight {name}": list(shape) for name, shape in shapes.items()}
    return found


def differences(trainer: Mapping[str, Any], server: Mapping[str, Any]) -> list[str]:
    """What the two disagree about, in words; the first few of it. A key of config.json that one of them lacks counts
    for nothing: another version of transformers writes others."""
    found = []
    for key in [*trainer, *(key for key in server if key not in trainer)]:
        if key.startswith("config.json") and not (key in trainer and key in server):
            continue
        mine, its = (_short(table.get(key, "nothing")) for table in (trainer, server))
        if trainer.get(key, "nothing") != server.get(key, "nothing"):
            found.append(f"{key}: {mine} here, {its} there" if mine != its else f"{key}: not the same")
    rest = len(found) - _SHOWN
    return [*found[:_SHOWN], *([f"and {rest} more"] if rest > 0 else [])]


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if str(key) in _VOLATILE or str(key).startswith("_"):
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, bool | int | float | str | list | tuple) and prefix + str(key) != "name_or_path":
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
