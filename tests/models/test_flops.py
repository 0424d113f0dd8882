"""The FLOP floor against torch's own counter on a real, tiny Qwen2.5-VL, and against obvious sums."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from mmupt.models.flops import (
    Flops,
    GroupLengths,
    ModelShape,
    Trained,
    backward_flops,
    decode,
    head_flops,
    language_flops,
    packed_forward,
    picture_flops,
    picture_grids,
    prefill,
    repeated_forward,
    step_floor,
)

PARTS = {
    "vision": ("model.visual.patch_embed.", "model.visual.blocks."),
    "projector": ("model.visual.merger.",),
    "language": ("model.language_model.", "lm_head."),
}
GRIDS = ((1, 10, 14), (1, 4, 4))  # 5 x 7 merged patches in windows of 4: whole and ragged ones; and one whole window
PICTURE, VOCABULARY = 299, 300


def config(model_type: str = "qwen2_5_vl") -> Qwen2_5_VLConfig:
    """Grouped keys, an intermediate size that is no multiple, an untied head, two kinds of vision layers."""
    made = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 144, "num_hidden_layers": 3,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4},
        },
        vision_config={
            "depth": 3, "hidden_size": 48, "intermediate_size": 80, "num_heads": 4, "out_hidden_size": 64,
            "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112,
            "fullatt_block_indexes": [1],
        },
        image_token_id=PICTURE, video_token_id=298, vision_start_token_id=297, vision_end_token_id=296,
    )  # fmt: skip
    made.model_type = model_type
    return made


@pytest.fixture(scope="module")
def shape() -> ModelShape:
    found = ModelShape.from_config(config())
    assert found is not None
    return found


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    made = Qwen2_5_VLForConditionalGeneration(config())
    made.set_attn_implementation("eager")  # plain products, each of which the counter sees
    return made


def run(model: Any) -> tuple[torch.Tensor, int]:
    """A forward over two pictures and twenty words; its logits, and how many positions it had."""
    patches = sum(t * h * w for t, h, w in GRIDS)
    ids = torch.tensor([[PICTURE] * (patches // 4) + list(range(10, 30))])
    output = model(
        input_ids=ids,
        pixel_values=torch.randn(patches, 3 * 2 * 14 * 14),
        image_grid_thw=torch.tensor(GRIDS),
        position_ids=torch.arange(ids.shape[1]).expand(3, 1, -1),
        use_cache=False,
    )
    return output.logits, ids.shape[1]


def counted(counter: FlopCounterMode) -> Counter[str]:
    """FLOPs by kind of operation without those of rotary positions, which are left out of the floor."""
    flops = counter.get_flop_counts()
    found = Counter({str(op): n for op, n in flops["Global"].items()})
    for name, ops in flops.items():
        if name.endswith(("rotary_emb", "rotary_pos_emb")):
            found -= Counter({str(op): n for op, n in ops.items()})
    return found


def expected_forward(shape: ModelShape, tokens: int) -> Flops:
    """The unpacked forward: a mask hides half of all pairs, the products are over all of them; logits everywhere."""
    pictures = sum((picture_flops(shape.vision, grid) for grid in GRIDS), Flops())
    return pictures + language_flops(shape, tokens, tokens * tokens) + head_flops(shape, tokens)


def test_forward_is_what_torch_counts(shape: ModelShape, model: Any) -> None:
    with torch.no_grad(), FlopCounterMode(display=False, depth=10) as counter:
        _, tokens = run(model)
    found, forward = counted(counter), expected_forward(shape, tokens)
    linear = forward.vision + forward.merger_in + forward.merger_out + forward.language + forward.head
    assert found["aten.convolution"] == forward.patches
    assert found["aten.mm"] + found["aten.addmm"] == linear
    assert found["aten.bmm"] == forward.vision_attention + forward.attention
    assert sum(found.values()) == forward.total


@pytest.mark.parametrize("frozen", [parts for n in range(3) for parts in combinations(PARTS, n)])
def test_backward_is_what_torch_counts(shape: ModelShape, model: Any, frozen: tuple[str, ...]) -> None:
    prefixes = tuple(prefix for part in frozen for prefix in PARTS[part])
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not (prefixes and name.startswith(prefixes)))
    trained = Trained.of(model, PARTS)
    assert trained == replace(Trained(), **dict.fromkeys(frozen, "none"))
    logits, tokens = run(model)
    with FlopCounterMode(display=False) as counter:
        logits.sum().backward()
    assert counter.get_total_flops() == backward_flops(expected_forward(shape, tokens), trained)


def test_adapters_need_no_gradients_of_weights(shape: ModelShape) -> None:
    names = {
        "base_model.model.model.visual.blocks.0.mlp.up_proj.base_layer.weight": False,
        "base_model.model.model.language_model.layers.0.q_proj.base_layer.weight": False,
        "base_model.model.model.language_model.layers.0.q_proj.lora_A.default.weight": True,
    }
    adapted = SimpleNamespace(
        named_parameters=lambda: [(n, SimpleNamespace(requires_grad=g)) for n, g in names.items()]
    )
    trained = Trained.of(adapted, PARTS)  # type: ignore[arg-type]
    assert trained == Trained("none", "none", "adapter")
    forward = expected_forward(shape, 50)
    assert backward_flops(forward, trained) == forward.language + forward.head + 2 * forward.attention


def test_packing_counts_each_pair_that_looks(shape: ModelShape) -> None:
    """Against a mask drawn position by position: a completion sees the prompt and itself."""
    group = GroupLengths(prompt=9, completions=(4, 1, 6))
    owner = [0] * 9 + [1] * 4 + [2] + [3] * 6
    length = len(owner)
    pairs = sum(owner[j] in (0, owner[i]) for i in range(length) for j in range(i + 1))
    assert packed_forward(shape, group) == language_flops(shape, length, pairs) + head_flops(shape, 11)


def test_repeating_a_group_of_one_costs_the_same(shape: ModelShape) -> None:
    single = GroupLengths(7, (5,), GRIDS)
    assert repeated_forward(shape, single) == packed_forward(shape, single)
    three = GroupLengths(7, (5, 5, 5), GRIDS)
    assert repeated_forward(shape, three) == packed_forward(shape, single) * 3
    assert packed_forward(shape, three).patches * 3 == repeated_forward(shape, three).patches


def test_a_rollout_reads_every_token_but_the_last(shape: ModelShape) -> None:
    group = GroupLengths(9, (4, 1), GRIDS[:1])
    read = prefill(shape, group) + decode(shape, group)
    seen = sum(range(1, 10)) + (10 + 11 + 12)  # how far each position of the prompt, and each token read, looks back
    pictures = picture_flops(shape.vision, GRIDS[0])
    assert read == pictures + language_flops(shape, 9 + 3, seen) + head_flops(shape, 1 + 3)


def test_a_step_adds_up_its_groups(shape: ModelShape) -> None:
    a, b = GroupLengths(9, (4, 1), GRIDS), GroupLengths(5, (2, 2))
    floor = step_floor(shape, Trained(), sampled=[a, b], updated=[b], reference=[b, b])
    assert list(floor) == ["prefill", "decode", "reference", "forward", "backward"]
    assert floor["prefill"] == prefill(shape, a).total + prefill(shape, b).total
    assert floor["reference"] == 2 * floor["forward"] == 2 * packed_forward(shape, b).total
    assert floor["backward"] == 2 * floor["forward"]
    assert step_floor(shape, Trained(), sampled=[], updated=[b]).keys() == {"forward", "backward"}


def test_a_frozen_tower_sees_a_picture_once_a_step(shape: ModelShape) -> None:
    seen, blind = GroupLengths(9, (4, 1), GRIDS), GroupLengths(9, (4, 1))
    frozen = step_floor(shape, Trained("none", "none"), sampled=[seen], updated=[seen], old=[seen], reference=[seen])
    assert frozen["prefill"] == prefill(shape, seen).total > prefill(shape, blind).total
    assert frozen["old"] == frozen["reference"] == frozen["forward"] == packed_forward(shape, blind).total
    sft = step_floor(shape, Trained("none", "none"), sampled=[], updated=[seen])
    assert sft["forward"] == packed_forward(shape, seen).total


def test_the_seven_billion_model_costs_what_is_known(shape: ModelShape) -> None:
    """Qwen2.5-VL-7B: 6.53 G weights in the layers of the language model, 0.545 G in the head (152064 x 3584)."""
    large = replace(
        shape, layers=28, hidden=3584, intermediate=18944, heads=28, kv_heads=4, head_dim=128, vocabulary=152_064
    )
    assert language_flops(large, 1, 0).total == pytest.approx(2 * 6.53e9, rel=0.001)
    assert head_flops(large, 1).total == 2 * 152_064 * 3584


def test_an_architecture_that_is_not_known_has_no_floor() -> None:
    assert ModelShape.from_config(config("something_else")) is None


def test_grids_of_a_prompt() -> None:
    pictures = [{"image_grid_thw": torch.tensor([grid])} for grid in GRIDS]
    assert picture_grids(pictures) == GRIDS == picture_grids([{"image_grid_thw": torch.tensor(GRIDS)}])
