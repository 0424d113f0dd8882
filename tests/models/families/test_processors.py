"""Token ids and pixels against transformers' own processors, which put text and pictures together.

Those that hold a video processor cannot be made without torchvision; here they are made around their constructor, so
that what they do with a picture and its text is theirs all the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.gemma3.processing_gemma3 import Gemma3Processor
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor

from mmupt.models.families.base import PixelLimits

WIDE = PixelLimits(28 * 28, 10**7)  # nothing is bounded but by the processor itself


def around_constructor(kind: Any, family: Any, tokens: dict[str, str], **attributes: Any) -> Any:
    """Without a video processor; `tokens` by the names that the processor has for them."""
    processor = object.__new__(kind)
    named = {f"{name}_id": family.tokenizer.convert_tokens_to_ids(token) for name, token in tokens.items()}
    for name, value in {**tokens, **named, **attributes}.items():
        setattr(processor, name, value)
    processor.image_processor, processor.tokenizer = family.image_processor, family.tokenizer
    processor.video_processor = processor.feature_extractor = None
    processor.chat_template, processor.video_token = None, "<not there>"
    processor.get_attributes = lambda: ["image_processor", "tokenizer"]
    return processor


def qwen(family: Any) -> Any:
    return around_constructor(Qwen2VLProcessor, family, {"image_token": "<|image_pad|>"})


def internvl(family: Any) -> Any:
    import re

    tokens = {"image_token": "<IMG_CONTEXT>", "start_image_token": "<img>", "end_image_token": "</img>"}
    pattern = re.compile("(?P<image><IMG_CONTEXT>)|(?P<video><not there>)")
    return around_constructor(InternVLProcessor, family, tokens, image_seq_length=4, multimodal_pattern=pattern)


def llava(family: Any) -> Any:
    return around_constructor(
        LlavaOnevisionProcessor,
        family,
        {"image_token": "<image>"},
        num_image_tokens=9,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_2",
    )


def smolvlm(family: Any) -> Any:
    tokens = {
        "image_token": "<image>",
        "fake_image_token": "<fake_token_around_image>",
        "global_image_token": "<global-img>",
    }
    return around_constructor(SmolVLMProcessor, family, tokens, image_seq_len=4)


def gemma(family: Any) -> Any:
    tokens = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    for name, token in tokens.items():
        setattr(family.tokenizer, name, token)
        setattr(family.tokenizer, f"{name}_id", family.tokenizer.convert_tokens_to_ids(token))
    return Gemma3Processor(family.image_processor, family.tokenizer, image_seq_length=4)


def idefics(family: Any) -> Any:
    return Idefics3Processor(family.image_processor, family.tokenizer, image_seq_len=4)


PROCESSORS = {
    "qwen2_vl": qwen,
    "qwen2_5_vl": qwen,
    "qwen3_vl": qwen,
    "internvl": internvl,
    "llava_onevision": llava,
    "idefics3": idefics,
    "smolvlm": smolvlm,
    "gemma3": gemma,
}


@pytest.mark.parametrize("sizes", [[(90, 60)], [(150, 40)], [(56, 56), (84, 120)]])
def test_ids_and_pixels_are_the_processors(tiny_family: Any, sizes: list[tuple[int, int]]) -> None:
    if not tiny_family.build.pictures:
        pytest.skip("reads no pictures")
    family = tiny_family.load().family
    images = tiny_family.images(np.random.default_rng(1), sizes)
    said = tiny_family.messages("\n\nAdd all dice.", len(images))
    ours = family.encode(said, [family.picture(image, WIDE) for image in images])

    text = family.tokenizer.apply_chat_template(
        said, chat_template=family.template, tokenize=False, add_generation_prompt=True
    )
    size = {"shortest_edge": WIDE.smallest, "longest_edge": WIDE.largest}
    more = {"size": size} if tiny_family.name.startswith("qwen") else {}
    made = PROCESSORS[tiny_family.name](family)(
        text=[text], images=[images], add_special_tokens=False, return_tensors="pt", **more
    )
    assert ours.token_ids.tolist() == made["input_ids"][0].tolist()
    expected = made["pixel_values"]
    pixels = torch.cat([picture.tensors["pixel_values"] for picture in ours.pictures])
    assert torch.equal(pixels, expected.reshape(pixels.shape))
    assert int((ours.token_ids == family.image_id).sum()) == sum(
        len(features) for features in family.features(tiny_family.load().model, ours.pictures)
    )
