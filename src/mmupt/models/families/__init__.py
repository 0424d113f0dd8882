"""Model families, one file each. A new one is a file here and an entry in `FAMILIES`."""

from __future__ import annotations

from dataclasses import dataclass

from mmupt.models.families.base import Family
from mmupt.models.families.gemma3 import Gemma3
from mmupt.models.families.idefics3 import Idefics3
from mmupt.models.families.internvl import InternVL
from mmupt.models.families.llava_onevision import LlavaOnevision
from mmupt.models.families.qwen3_vl import Qwen3VL
from mmupt.models.families.qwen_text import QwenText
from mmupt.models.families.qwen_vl import QwenVL


@dataclass(frozen=True, slots=True)
class Known:
    """An architecture that mmupt knows: its name, its class in transformers, and who handles it."""

    name: str
    model_class: str
    family: type[Family]

    @property
    def pictures(self) -> bool:
        """Whether it reads any."""
        return bool(self.family.parts["vision"])


FAMILIES: dict[str, Known] = {
    "qwen2_vl": Known("Qwen2-VL", "Qwen2VLForConditionalGeneration", QwenVL),
    "qwen2_5_vl": Known("Qwen2.5-VL", "Qwen2_5_VLForConditionalGeneration", QwenVL),
    "qwen3_vl": Known("Qwen3-VL", "Qwen3VLForConditionalGeneration", Qwen3VL),
    "internvl": Known("InternVL3, the -hf layout", "InternVLForConditionalGeneration", InternVL),
    "llava_onevision": Known("LLaVA-OneVision", "LlavaOnevisionForConditionalGeneration", LlavaOnevision),
    "idefics3": Known("Idefics3", "Idefics3ForConditionalGeneration", Idefics3),
    "smolvlm": Known("SmolVLM", "SmolVLMForConditionalGeneration", Idefics3),
    "gemma3": Known("Gemma 3", "Gemma3ForConditionalGeneration", Gemma3),
    "qwen2": Known("Qwen2.5, text only", "Qwen2ForCausalLM", QwenText),
    "qwen3": Known("Qwen3, text only", "Qwen3ForCausalLM", QwenText),
}
"""By `model_type` in config.json."""


def unknown(path: str, model_type: object) -> str:
    """What to say about an architecture that is not in `FAMILIES`."""
    known = "; ".join(f"{k.name} ({name}, {k.model_class})" for name, k in FAMILIES.items())
    hint = ""
    if model_type == "internvl_chat":
        hint = " This is InternVL in its authors' own layout: use the repository whose name ends in -hf."
    return (
        f"{path}: architecture {model_type!r} is not known.{hint} Known: {known}. Another one is a file in "
        "mmupt/models/families and an entry in its FAMILIES (docs/models.md)"
    )
