"""The base of every settings class. Settings live beside what they configure and import no torch."""

from __future__ import annotations

from typing import get_args

from pydantic import BaseModel, ConfigDict, model_validator

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
NAME_RULE = "letters, digits, `_`, `.` and `-`, with a letter or digit first"
"""What recipes and stages may be called; both name folders."""


class Settings(BaseModel):
    """Strict and frozen: an unknown key is an error, a value is never coerced in silence (`"8"` is not 8), and
    nothing changes once the run has started.

    TOML has no null, so the word "none" stands for it wherever None is allowed: `dual_clip = "none"`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _read_none(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        optional = {key for key, field in cls.model_fields.items() if type(None) in get_args(field.annotation)}
        return {key: None if key in optional and value == "none" else value for key, value in data.items()}
