"""The FLOP floor: the arithmetic a step cannot do without, counted from the model's sizes and the lengths alone.

A linear layer costs 2 x weights FLOPs a token; attention costs 4 x head_dim x heads FLOPs a pair of positions that look
at each other (scores, then values). What is small beside these (norms, softmax, rotary positions, an adapter's own
matrices, the optimiser) is left out, and so is all that a run does only to save memory (gradient checkpointing).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from mmupt.runtime.phases import Phase

if TYPE_CHECKING:
    from torch import Tensor, nn

Grid = tuple[int, int, int]
"""A picture's patches: frames, rows, columns."""
Gradients = Literal["weights", "adapter", "none"]
"""What of a part is trained: its own weights, an adapter beside them, or nothing."""


@dataclass(frozen=True, slots=True)
class VisionShape:
    """Qwen2.5-VL's tower: blocks that attend within windows, some within the whole frame, then a merger of
    merge x merge patches. `patch_values` numbers enter per patch; `window` is a window's side in merged patches."""

    layers: int
    full_layers: int
    hidden: int
    intermediate: int
    patch_values: int
    merge: int
    window: int
    out_hidden: int


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes that decide what a forward costs."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    vision: VisionShape

    @classmethod
    def from_config(cls, config: Any) -> ModelShape | None:
        """From a Hugging Face config; None for an architecture whose costs are not written down here."""
        read = _SHAPES.get(config.model_type)
        return read(config) if read is not None else None


def _qwen2_5_vl(config: Any) -> ModelShape:
    text, vision = config.text_config, config.vision_config
    return ModelShape(
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        heads=text.num_attention_heads,
        kv_heads=text.num_key_value_heads,
        head_dim=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
        vocabulary=text.vocab_size,
        vision=VisionShape(
            layers=vision.depth,
            full_layers=len({i for i in vision.fullatt_block_indexes if i < vision.depth}),
            hidden=vision.hidden_size,
            intermediate=vision.intermediate_size,
            patch_values=vision.in_channels * vision.temporal_patch_size * vision.patch_size**2,
            merge=vision.spatial_merge_size,
            window=vision.window_size // vision.spatial_merge_size // vision.patch_size,
            out_hidden=vision.out_hidden_size,
        ),
    )


_SHAPES: dict[str, Callable[[Any], ModelShape]] = {"qwen2_5_vl": _qwen2_5_vl}


@dataclass(frozen=True, slots=True)
class Flops:
    """FLOPs of a forward by where they arise, from the bottom of the model to its top."""

    patches: int = 0  # pixels to hidden states, the tower's lowest layer
    vision: int = 0
    vision_attention: int = 0
    merger_in: int = 0
    merger_out: int = 0
    language: int = 0
    attention: int = 0
    head: int = 0

    def __add__(self, other: Flops) -> Flops:
        return Flops(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __mul__(self, times: int) -> Flops:
        return Flops(*(getattr(self, f.name) * times for f in fields(self)))

    @property
    def total(self) -> int:
        return sum(getattr(self, f.name) for f in fields(self))


@dataclass(frozen=True, slots=True)
class GroupLengths:
    """A group in numbers: P prompt tokens, R tokens of each completion, the grids of its pictures."""

    prompt: int
    completions: tuple[int, ...]
    pictures: tuple[Grid, ...] = ()

    @property
    def sampled(self) -> int:
        return sum(self.completions)


@dataclass(frozen=True, slots=True)
class Trained:
    """Which parts of the model gradients are wanted for."""

    vision: Gradients = "weights"
    projector: Gradients = "weights"
    language: Gradients = "weights"

    @classmethod
    def of(cls, model: nn.Module, parts: Mapping[str, tuple[str, ...]]) -> Trained:
        """As `model` stands; `parts` are its family's parameter-name prefixes."""
        found: dict[str, Gradients] = {}
        for name, parameter in model.named_parameters():
            name = name.removeprefix("base_model.model.")  # peft's wrapper
            for part, prefixes in parts.items():
                if parameter.requires_grad and name.startswith(prefixes):
                    found[part] = "adapter" if ".lora_" in name else "weights"
        return cls(*(found.get(part, "none") for part in ("vision", "projector", "language")))


def picture_flops(shape: VisionShape, grid: Grid) -> Flops:
    """One picture through the tower and the merger."""
    frames, rows, columns = grid
    patches = frames * rows * columns
    merged = shape.merge**2
    block = 4 * shape.hidden**2 + 3 * shape.hidden * shape.intermediate
    windows = [
        (high * wide * merged) ** 2
        for high in _cut(rows // shape.merge, shape.window)
        for wide in _cut(columns // shape.merge, shape.window)
    ]
    full_pairs, window_pairs = frames * (rows * columns) ** 2, frames * sum(windows)
    pairs = shape.full_layers * full_pairs + (shape.layers - shape.full_layers) * window_pairs
    inside = shape.hidden * merged
    return Flops(
        patches=2 * shape.patch_values * shape.hidden * patches,
        vision=2 * shape.layers * block * patches,
        vision_attention=4 * shape.hidden * pairs,
        merger_in=2 * inside * inside * (patches // merged),
        merger_out=2 * inside * shape.out_hidden * (patches // merged),
    )


def language_flops(shape: ModelShape, tokens: int, pairs: int) -> Flops:
    """`tokens` positions through the language model, of which `pairs` pairs look at each other."""
    attention_weights = shape.hidden * shape.head_dim * (2 * shape.heads + 2 * shape.kv_heads)
    weights = attention_weights + 3 * shape.hidden * shape.intermediate
    return Flops(
        language=2 * shape.layers * weights * tokens,
        attention=4 * shape.layers * shape.heads * shape.head_dim * pairs,
    )


def head_flops(shape: ModelShape, tokens: int) -> Flops:
    """`tokens` positions through the LM head."""
    return Flops(head=2 * shape.hidden * shape.vocabulary * tokens)


def packed_forward(shape: ModelShape, group: GroupLengths) -> Flops:
    """A group in one row: pictures and prompt once, each completion behind it, the head over completion tokens only."""
    prompt = group.prompt
    pairs = _causal(prompt) + sum(n * prompt + _causal(n) for n in group.completions)
    row = language_flops(shape, prompt + group.sampled, pairs) + head_flops(shape, group.sampled)
    return _pictures(shape, group) + row


def repeated_forward(shape: ModelShape, group: GroupLengths) -> Flops:
    """The same group without sharing: pictures and prompt again for each completion, G (P + R) tokens."""
    rows = (language_flops(shape, group.prompt + n, _causal(group.prompt + n)) for n in group.completions)
    return sum(rows, _pictures(shape, group) * len(group.completions) + head_flops(shape, group.sampled))


def prefill(shape: ModelShape, group: GroupLengths) -> Flops:
    """Pictures and prompt once for all completions, and the distribution of their first tokens."""
    text = language_flops(shape, group.prompt, _causal(group.prompt)) + head_flops(shape, 1)
    return _pictures(shape, group) + text


def decode(shape: ModelShape, group: GroupLengths) -> Flops:
    """The completions token by token: each sampled token but the last is read once and yields the next."""
    read = sum(n - 1 for n in group.completions)
    pairs = sum((n - 1) * group.prompt + _causal(n - 1) for n in group.completions)
    return language_flops(shape, read, pairs) + head_flops(shape, read)


def backward_flops(forward: Flops, trained: Trained) -> int:
    """FLOPs of the backward pass behind `forward`.

    A linear layer costs its forward once for the gradient of its weights, if they are trained, and once for that of
    its input, if anything below it is trained; attention costs its forward twice. So all weights trained is twice the
    forward, but for the lowest layer, and a frozen tower at the bottom costs nothing.
    """
    parts = (trained.vision, trained.projector, trained.language)
    vision, projector, language = (int(part == "weights") for part in parts)
    inside_vision = int(trained.vision != "none")
    below_merger = int(inside_vision or projector)  # the merger's own norm stands below its layers
    inside_merger = int(below_merger or trained.projector != "none")
    below_language = int(inside_merger or trained.language != "none")
    return (
        forward.patches * vision
        + forward.vision * (vision + inside_vision)
        + forward.vision_attention * 2 * inside_vision
        + forward.merger_in * (projector + below_merger)
        + forward.merger_out * (projector + inside_merger)
        + (forward.language + forward.head) * (language + below_language)
        + forward.attention * 2 * below_language
    )


def step_floor(
    shape: ModelShape,
    trained: Trained,
    *,
    sampled: Sequence[GroupLengths],
    updated: Sequence[GroupLengths],
    old: Sequence[GroupLengths] = (),
    reference: Sequence[GroupLengths] = (),
) -> dict[Phase, int]:
    """FLOPs of a step by phase. `sampled` are the groups that were rolled out (none in sft), `updated` those that
    took part in the update, `old` and `reference` those whose log-probs were needed besides.

    What a frozen tower sees in a picture does not change: then the rollouts pay for it and the passes after them do
    not. (Features kept from an earlier step, which need not even that, are not known here.)
    """

    def total(cost: Callable[[ModelShape, GroupLengths], Flops], groups: Iterable[GroupLengths]) -> Flops:
        return sum((cost(shape, group) for group in groups), Flops())

    if sampled and trained.vision == trained.projector == "none":
        updated, old, reference = ([replace(g, pictures=()) for g in groups] for groups in (updated, old, reference))
    forward = total(packed_forward, updated)
    floor: dict[Phase, int] = {
        "prefill": total(prefill, sampled).total,
        "decode": total(decode, sampled).total,
        "old": total(packed_forward, old).total,
        "reference": total(packed_forward, reference).total,
        "forward": forward.total,
        "backward": backward_flops(forward, trained),
    }
    return {phase: flops for phase, flops in floor.items() if flops}


def picture_grids(pictures: Iterable[Mapping[str, Tensor]]) -> tuple[Grid, ...]:
    """The grids in the vision tensors of a Qwen-VL prompt."""
    return tuple((t, h, w) for tensors in pictures for t, h, w in tensors["image_grid_thw"].tolist())


def _pictures(shape: ModelShape, group: GroupLengths) -> Flops:
    return sum((picture_flops(shape.vision, grid) for grid in group.pictures), Flops())


def _causal(n: int) -> int:
    """Pairs among n positions each of which looks at itself and at all before it."""
    return n * (n + 1) // 2


def _cut(length: int, piece: int) -> list[int]:
    """Lengths of the pieces, the last one perhaps shorter: _cut(10, 4) is [4, 4, 2]."""
    return [min(piece, length - start) for start in range(0, length, piece)]
