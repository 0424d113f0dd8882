"""Files of a model's folder that belong to its processor: kept, and written beside every checkpoint, so that other
tools read it as they read the original."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmupt.errors import ModelError

_KEPT = ("processor_config.json", "video_preprocessor_config.json")
_LEGACY_TEMPLATE = "chat_template.json"


@dataclass(frozen=True, slots=True)
class Beside:
    """`template` is the chat template that older multimodal models keep beside the tokenizer, whose own, where there is
    one, knows no pictures; `files` are texts by name."""

    template: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def processor(self) -> Mapping[str, Any]:
        """processor_config.json; empty where there is none."""
        return json.loads(self.files.get("processor_config.json", "{}"))

    def write(self, folder: str) -> None:
        for name, text in self.files.items():
            (Path(folder) / name).write_text(text)


def read_beside(path: str, revision: str | None) -> Beside:
    """From a folder or a hub id."""
    found = {name: text for name in _KEPT if (text := _read(path, name, revision)) is not None}
    template = None
    if _read(path, "chat_template.jinja", revision) is None:  # which the tokenizer reads by itself
        legacy = _read(path, _LEGACY_TEMPLATE, revision)
        template = None if legacy is None else json.loads(legacy)["chat_template"]
    return Beside(template, found)


def _read(path: str, name: str, revision: str | None) -> str | None:
    from transformers.utils import cached_file

    found = cached_file(path, name, revision=revision, _raise_exceptions_for_missing_entries=False)
    return None if found is None else Path(found).read_text()


def pil_processor(family: str, module: str, name: str) -> Any:
    """transformers' picture processor that works through Pillow. ModelError where this transformers has none."""
    from importlib import import_module

    try:
        return getattr(import_module(f"transformers.models.{module}"), name)
    except (ImportError, AttributeError) as error:
        raise ModelError(
            f"{family}: the installed transformers cannot read its pictures through Pillow ({error}); "
            'install one that does: pip install "transformers>=5.16"'
        ) from error
