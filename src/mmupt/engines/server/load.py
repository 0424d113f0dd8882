"""How much a trainer will ask of its servers."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """What a trainer will ask for: `tokens` bounds prompt and response together, `prompts` and `group` how many
    rollouts run at a time, `pixels` a picture."""

    tokens: int
    prompts: int
    group: int
    pixels: int

    def as_json(self) -> dict[str, int]:
        return asdict(self)
