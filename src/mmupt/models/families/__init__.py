"""Model families, one file each. A new one is a file here and a line in `FAMILIES`."""

from __future__ import annotations

from mmupt.models.families.qwen_vl import QwenVL

FAMILIES = {"qwen2_5_vl": QwenVL}
"""`model_type` of config.json to the family that knows it."""
