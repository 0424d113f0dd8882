"""`[data]`: where rows come from; `[prompt]`: how one is put to the model; and what all stages have that read rows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmupt.settings import NAME_PATTERN, NAME_RULE, Settings

MADE = "stage:"
"""How a path begins that means the rows an earlier stage of the run has made."""

PAPER_SUFFIX = " Please reason step by step, and put your final answer within \\boxed{}."


class ColumnSettings(Settings):
    """Which column of the source holds what.

    A column that the source lacks is read as absent, except the question and any column named here otherwise than
    by default: a name that was written down and is not there is a mistake.
    """

    id: str = Field(default="id", min_length=1)
    question: str = Field(default="question", min_length=1)
    images: str = Field(default="images", min_length=1)
    answer: str = Field(default="answer", min_length=1)
    choices: str = Field(default="choices", min_length=1)
    unit: str = Field(default="unit", min_length=1)
    solution: str = Field(default="solution", min_length=1)
    chosen: str = Field(default="chosen", min_length=1)
    rejected: str = Field(default="rejected", min_length=1)
    meta: str = Field(default="meta", min_length=1)

    @model_validator(mode="after")
    def _labels_stay_apart(self) -> ColumnSettings:
        for shown in ("id", "question", "images", "choices"):
            for label in ("answer", "unit", "solution", "chosen", "rejected"):
                if getattr(self, shown) == getattr(self, label):
                    raise ValueError(
                        f'{shown} and {label} both name the column "{getattr(self, label)}": a column with labels '
                        f"cannot be part of the prompt; name another column for {shown}"
                    )
        if self.chosen == self.rejected:
            raise ValueError(
                f'chosen and rejected both name the column "{self.chosen}": of two equal responses none is preferred; '
                "name another column for one of them"
            )
        return self


class DataSettings(Settings):
    """Where the rows of a stage come from.

    `path` is a `.jsonl` or `.parquet` file, a folder holding `<split>.jsonl` or `<split>.parquet`, `hub:ORG/NAME` (a
    Hugging Face data set), `world:SPLIT` (the offline world: sft, rl, unlabeled, test; `world:SPLIT@MIX` asks what
    another mix than `world.mix` asks), or `stage:NAME` (the rows that stage NAME of the same recipe has made). `subset`
    and `revision` belong to the hub alone. `limit` takes the first rows of the source, before bad ones are left out.
    `placeholders` says how `<image>` must stand in a question: once a picture ("require"), or also not at all, and then
    the pictures are put in front ("prepend").
    """

    path: str = Field(
        min_length=1,
        description="a .jsonl or .parquet file, a folder of <split>.jsonl, hub:ORG/NAME, world:SPLIT or stage:NAME",
    )
    split: str = Field(default="train", min_length=1)
    subset: str | None = None
    revision: str | None = None
    columns: ColumnSettings = ColumnSettings()
    limit: int | None = Field(default=None, ge=1)
    bad_rows: Literal["stop", "skip"] = "stop"
    placeholders: Literal["require", "prepend"] = "require"

    @property
    def maker(self) -> str | None:
        """The stage that makes these rows, None where they come from outside the run."""
        return self.path.removeprefix(MADE) if self.path.startswith(MADE) else None

    @model_validator(mode="after")
    def _hub_only(self) -> DataSettings:
        for key in ("subset", "revision"):
            if getattr(self, key) is not None and not self.path.startswith("hub:"):
                raise ValueError(f'{key} is for a path "hub:ORG/NAME" and means nothing for "{self.path}"; remove it')
        return self


class PromptSettings(Settings):
    """How a question is put to the model. Pixel limits and the suffix are the paper's (arXiv 2505.22453)."""

    system: str | None = None
    suffix: str = PAPER_SUFFIX
    choices: Literal["list", "omit"] = "list"
    max_tokens: int = Field(default=2048, ge=8)
    too_long: Literal["stop", "skip"] = "stop"
    min_pixels: int = Field(default=262_144, ge=1)
    max_pixels: int = Field(default=1_204_224, ge=1)

    @model_validator(mode="after")
    def _pixels_in_order(self) -> PromptSettings:
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels {self.min_pixels} is larger than max_pixels {self.max_pixels}")
        return self


Reads = Literal["prompts", "pictures", "labels", "pairs"]
"""What a stage is handed: questions without any answer, pictures with or without questions, questions with their
labels, or preferences."""


class ReadingStage(Settings):
    """What every stage that reads rows has."""

    name: str = Field(pattern=NAME_PATTERN, description=NAME_RULE)
    data: DataSettings
    prompt: PromptSettings = PromptSettings()

    @property
    def reads(self) -> Reads:
        return "labels"

    @property
    def fewest(self) -> tuple[int, str]:
        """The fewest rows the stage can work with, and the key that says so."""
        return 1, "data"
