"""Makes the folder that both sides read: a tiny Qwen2.5-VL with random weights, pictures, prompts of exact length.

Called with the folder's path.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from step_task import MAX_PIXELS, MIN_PIXELS, PATCH, PROMPTS, SHAPES, Shape
from tiny_qwen import FILLER, save_tiny_qwen
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmupt.models.families.base import PixelLimits
from mmupt.models.families.qwen_vl import QwenVL


def build_model(folder: Path) -> QwenVL:
    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS})
    family = save_tiny_qwen(folder, processor, intermediate_size=768)
    # A full processor, as TRL wants it, has a video part that this benchmark never uses.
    (folder / "video_preprocessor_config.json").write_text('{"video_processor_type": "Qwen2VLVideoProcessor"}')
    return family


def build_prompt(folder: Path, family: QwenVL, shape: Shape, index: int) -> dict[str, str]:
    """A picture of coloured blocks, and a question that makes the whole prompt exactly `shape.prompt` tokens long."""
    blocks = np.random.default_rng((shape.prompt, index)).integers(0, 256, (shape.rows, shape.columns, 3), np.uint8)
    size = shape.columns * PATCH, shape.rows * PATCH
    picture = folder / f"{shape.prompt}-{index}.png"
    Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC).save(picture)

    def length(question: str) -> int:
        parts = [{"type": "image"}, {"type": "text", "text": question}]
        limits = PixelLimits(MIN_PIXELS, MAX_PIXELS)
        return family.count_tokens([{"role": "user", "content": parts}], [size], limits)

    question = f"{index}:" + FILLER * (shape.prompt - length(f"{index}:"))
    if length(question) != shape.prompt:
        raise SystemExit(f"a prompt of {shape.prompt} tokens came out with {length(question)}")
    return {"question": question, "picture": str(picture)}


def main() -> None:
    folder = Path(sys.argv[1])
    family = build_model(folder / "model")
    prompts = {
        shape.prompt: [build_prompt(folder, family, shape, index) for index in range(PROMPTS)]
        for shape in SHAPES.values()
    }
    (folder / "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")
    never_sampled = sorted({*family.banned_ids, *family.end_ids})
    (folder / "never_sampled.json").write_text(json.dumps(never_sampled), encoding="utf-8")


if __name__ == "__main__":
    main()
