"""Bytes of a GPU, by what they hold.

Numbers: n parameters, of which t are trained; s processes, one a GPU. The layouts are those of `processes.layout`.
"replica": each process has the whole model in fp32, which samples and is asked for log-probs, and beside it a shard of
what is trained, gathered layer by layer in fp32 for the update (FSDP2). "sharded": shards of all weights and nothing
whole, but for a copy in the forward's precision while the HF engine samples. One process has the model itself and
shards nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmupt.models.settings import ModelSettings
from mmupt.plan.architecture import Architecture
from mmupt.plan.assumptions import Assumptions
from mmupt.plan.gpus import Cluster
from mmupt.plan.workload import StageWork
from mmupt.runtime.settings import Layout

_FP32, _BF16 = 4, 2


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything that decides memory and time beside the stage: `offload` keeps shards of weights, gradients and
    moments in main memory; `checkpointing` recomputes each layer in the backward pass."""

    model: Architecture
    settings: ModelSettings
    cluster: Cluster
    layout: Layout
    assumptions: Assumptions
    tensor_parallel: int = 1
    checkpointing: bool = False
    offload: bool = False

    @property
    def processes(self) -> int:
        return self.cluster.gpus

    @property
    def is_split(self) -> bool:
        return self.processes > 1

    @property
    def is_whole(self) -> bool:
        """Whether each process has the whole model."""
        return self.layout == "replica" or not self.is_split

    @property
    def width(self) -> int:
        """Bytes of a number in a forward."""
        return _FP32 if self.settings.dtype == "float32" else _BF16

    @property
    def gathered_width(self) -> int:
        """Bytes a gathered parameter travels with: FSDP2 without a mixed-precision policy gathers fp32."""
        return _FP32

    @property
    def stream_width(self) -> int:
        """Bytes of a number between layers: fp32 under autocast, since embeddings are."""
        return _FP32

    @property
    def trained(self) -> int:
        return self.model.trained_parameters(self.settings)


@dataclass(frozen=True, slots=True)
class PhaseMemory:
    """What a GPU holds in one phase, by name, in bytes; `limit` is what it has for that."""

    parts: Mapping[str, float]
    limit: float

    @property
    def total(self) -> float:
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        return self.total <= self.limit


def weight_bytes(setting: Setting) -> float:
    """4 n for a whole fp32 model (an adapter's own numbers on top), plus a shard 4 t / s beside it where the trained
    weights are split; 4 n / s where nothing is whole."""
    adapter = setting.trained if setting.settings.lora is not None else 0
    total = setting.model.parameters + adapter
    if not setting.is_split:
        return _FP32 * total
    if setting.layout == "replica":
        return _FP32 * (total + setting.trained / setting.processes)
    return _FP32 * total / setting.processes


def gradient_bytes(setting: Setting) -> float:
    """fp32, sharded like the weights: 4 t / s."""
    return _FP32 * setting.trained / setting.processes


def optimizer_bytes(setting: Setting) -> float:
    """AdamW's two moments in fp32: 8 t / s. (Its step counts, four bytes a tensor, are left out.)"""
    return 2 * _FP32 * setting.trained / setting.processes


def start_copy_bytes(setting: Setting, work: StageWork) -> float:
    """The model as the stage found it, in fp32, where a KL term or a teacher asks it: 4 n, or 4 n / s where nothing is
    whole. None under LoRA: it is the model with the adapter switched off."""
    if not work.start_copy:
        return 0.0
    return _FP32 * setting.model.parameters / (1 if setting.is_whole else setting.processes)


def gathered_bytes(setting: Setting) -> float:
    """Whole layers that exist for a moment in an update. Split: the layer in use and the one behind it, which is
    fetched meanwhile, and all that is in no layer (embedding, head, merger). Of a replica frozen weights are there
    already.

    Under autocast a product keeps the bf16 copy of its weight for the backward pass: 2 n, unless checkpointing lets go
    of it with the layer. (A single process keeps them all the same, in autocast's own cache.)
    """
    model, is_bf16 = setting.model, setting.width == _BF16
    if not setting.is_split:
        return float(_BF16 * model.parameters * is_bf16)
    layers = _layers(setting)
    copies = is_bf16 * _BF16 * (layers if setting.checkpointing else model.parameters)
    there = setting.is_whole and setting.settings.lora is not None
    return float(copies + (0 if there else _FP32 * (layers + _frozen_tower(setting))))


def _layers(setting: Setting) -> int:
    """The two largest layers, and what is in none."""
    model = setting.model
    largest = max(model.layer_parameters, model.block_parameters if model.reads_pictures else 0)
    return 2 * largest + model.root_parameters


def _frozen_tower(setting: Setting) -> int:
    """Blocks of a tower that is frozen: where nothing is whole they are gathered with what is in no layer."""
    model = setting.model
    if setting.is_whole or not model.reads_pictures or model.trained(setting.settings).vision != "none":
        return 0
    return model.shape.vision.layers * model.block_parameters


def whole_copy_bytes(setting: Setting) -> float:
    """The model made whole to sample, where each process has a shard: 4 n in fp32; in bf16 2 n, and as much again for
    the embedding, which autocast does not cast. (Norms stay fp32 too, and are left out.)"""
    model = setting.model
    if setting.width == _FP32:
        return float(_FP32 * model.parameters)
    return float(_BF16 * (model.parameters + model.embedding_parameters))


def reduced_bytes(setting: Setting) -> float:
    """Gradients that are not added up over the processes yet: a layer's and those of all that is in no layer, in the
    width they are gathered in, and once more in fp32 for the layer on its way."""
    if not setting.is_split or setting.settings.lora is not None:
        return 0.0
    model = setting.model
    return setting.gathered_width * (model.layer_parameters + model.root_parameters) + _FP32 * model.layer_parameters


def activation_bytes(setting: Setting, work: StageWork) -> float:
    """What the backward pass of the longest packed row needs.

    A row has L positions: as many whole groups as fit into `micro_batch_tokens`, one at least. A layer of the language
    model keeps for each of them: two norms (input in fp32, normalised, scaled), query and output H d, key and value
    K d, and four times F in the MLP (gate, its activation, up, their product). A block of the tower keeps the same for
    each patch, with q, k and v also in one piece. With checkpointing a layer keeps its input, and one layer at a time
    exists whole.
    """
    s, v = setting.model.shape, setting.model.shape.vision
    positions, patches = row_sizes(work)
    layer, block = _layer_bytes(setting, work)
    if setting.model.trained(setting.settings).vision == "none":
        block = 0.0  # nothing below the merger has a gradient that anybody waits for
    if setting.checkpointing:
        inputs = s.layers * positions * s.hidden + (v.layers * patches * v.hidden if block else 0)
        return setting.stream_width * inputs + max(layer, block)
    return s.layers * layer + v.layers * block


def _layer_bytes(setting: Setting, work: StageWork) -> tuple[float, float]:
    """Of a layer of the language model, and of a block of the tower, over the whole row."""
    s, v, b = setting.model.shape, setting.model.shape.vision, setting.width
    positions, patches = row_sizes(work)
    norms = 2 * (_FP32 + setting.stream_width + b)
    attention = 2 * s.heads * s.head_dim + 2 * s.kv_heads * s.head_dim
    layer = positions * (norms * s.hidden + b * (attention + 4 * s.intermediate))
    block = patches * (norms * v.hidden + b * (6 * v.hidden + 4 * v.intermediate))
    return layer, block


def logits_bytes(setting: Setting, work: StageWork) -> float:
    """A chunk of rows of logits: fp32 logits, their gradient, and one more of their size on the way, and once in the
    forward's width. Behind the last layer each completion token has a norm's three pieces and its own hidden state."""
    s = setting.model.shape
    completions = work.longest.sampled * groups_per_row(work)
    rows = min(work.logprob_chunk, completions)
    positions, _ = row_sizes(work)
    norm = positions * (_FP32 + setting.stream_width + setting.width)
    behind = s.hidden * (norm + completions * setting.stream_width)
    return rows * s.vocabulary * (3 * _FP32 + (_BF16 if setting.width == _BF16 else 0)) + behind


def row_sizes(work: StageWork) -> tuple[int, int]:
    """Positions of the longest packed row, and patches of its pictures."""
    groups = groups_per_row(work)
    patches = sum(frames * rows * columns for frames, rows, columns in work.longest.pictures)
    return groups * (work.longest.prompt + work.longest.sampled), groups * patches


def groups_per_row(work: StageWork) -> int:
    """A group is never cut."""
    return max(1, work.micro_batch_tokens // (work.longest.prompt + work.longest.sampled))


def kv_bytes_per_token(setting: Setting) -> float:
    """Keys and values of all layers in the engine's width: 2 layers K d b, shared by the cards of an engine as far as
    there are key heads."""
    s = setting.model.shape
    spread = min(setting.tensor_parallel, s.kv_heads)
    return 2 * s.layers * s.kv_heads * s.head_dim * setting.width / spread


def engine_weight_bytes(setting: Setting) -> float:
    """vLLM's own weights: b n / tp."""
    return setting.width * setting.model.parameters / setting.tensor_parallel


def decoded_parameters(model: Architecture) -> int:
    """What a decoding step multiplies with: layers and head of the language model. (Of the embedding it reads rows.)"""
    return model.shape.layers * model.layer_parameters + model.embedding_parameters


def engine_budget_bytes(setting: Setting, work: StageWork) -> float:
    """What vLLM takes while it is awake: its share of the card; 0 for the HF engine."""
    if work.rollout is None or work.rollout.engine != "vllm":
        return 0.0
    return work.rollout.vllm.gpu_memory_fraction * setting.cluster.gpu.memory_bytes


def kv_capacity_tokens(setting: Setting, work: StageWork) -> float:
    """Tokens whose keys and values fit: vLLM's share without weights and overhead, or what it is told to take; for the
    HF engine what is left beside the trainer."""
    if work.rollout is None:
        return 0.0
    if work.rollout.engine == "vllm":
        told = work.rollout.vllm.kv_cache_mib
        room = engine_budget_bytes(setting, work) - engine_weight_bytes(setting) - setting.assumptions.engine_gb * 1e9
        return max(0.0, room if told is None else min(room, told * 2**20)) / kv_bytes_per_token(setting)
    resting = sum(resting_parts(setting, work).values()) + _while_sampling(setting)
    return max(0.0, _limit(setting) - resting) / kv_bytes_per_token(setting)


def resting_parts(setting: Setting, work: StageWork) -> dict[str, float]:
    """What is there in every phase."""
    sharded = 0.0 if setting.offload else 1.0
    whole = _FP32 * setting.model.parameters if setting.is_whole else 0.0
    shards = max(0.0, weight_bytes(setting) - whole) * (sharded if setting.is_split else 1.0)
    return {
        "CUDA, NCCL": setting.assumptions.runtime_gb * 1e9,
        "weights, fp32": whole + shards,
        "AdamW's moments": optimizer_bytes(setting) * (sharded if setting.is_split else 1.0),
        "start model": start_copy_bytes(setting, work) * (1.0 if setting.is_whole else sharded),
    }


def update_memory(setting: Setting, work: StageWork) -> PhaseMemory:
    """At the peak of a backward pass, the engine asleep (or not, where it may not sleep)."""
    offloaded = setting.offload and setting.is_split
    parts = resting_parts(setting, work) | {
        "gradients": 0.0 if offloaded else gradient_bytes(setting),
        "layers, whole for a moment": gathered_bytes(setting),
        "gradients on their way": reduced_bytes(setting),
        "activations": activation_bytes(setting, work),
        "logits": logits_bytes(setting, work),
    }
    if work.rollout is not None and work.rollout.engine == "vllm" and not work.rollout.vllm.sleep:
        parts["vLLM, awake"] = engine_budget_bytes(setting, work)
    return PhaseMemory(parts, _limit(setting))


def logprob_memory(setting: Setting, work: StageWork) -> PhaseMemory | None:
    """While old or reference log-probs are computed, gradients of an update's earlier rows being there; None where none
    are needed. A layer's tensors come and go; a whole model's weights are cast to bf16 for the forward."""
    if not work.reference and not work.old:
        return None
    offloaded = setting.offload and setting.is_split
    parts = resting_parts(setting, work) | {
        "gradients": 0.0 if offloaded else gradient_bytes(setting),
        "layers, whole for a moment": _cast_copy(setting)
        if setting.is_whole
        else _layers(setting) * (_FP32 + (_BF16 if setting.width == _BF16 else 0)) + _FP32 * _frozen_tower(setting),
        "activations": max(_layer_bytes(setting, work)),
        "logits": logits_bytes(setting, work),
    }
    if work.rollout is not None and work.rollout.engine == "vllm" and not work.rollout.vllm.sleep:
        parts["vLLM, awake"] = engine_budget_bytes(setting, work)
    return PhaseMemory(parts, _limit(setting))


def memories(setting: Setting, work: StageWork) -> dict[str, PhaseMemory]:
    """Every phase of a step that holds something of its own."""
    found = {
        "rollout": rollout_memory(setting, work),
        "log-probs": logprob_memory(setting, work),
        "update": update_memory(setting, work),
    }
    return {phase: memory for phase, memory in found.items() if memory is not None}


def rollout_memory(setting: Setting, work: StageWork) -> PhaseMemory | None:
    """While answers are sampled; None for a stage that samples none. Keys and values take what is left to them, and one
    group at least."""
    if work.rollout is None:
        return None
    parts = resting_parts(setting, work)
    one_group = kv_bytes_per_token(setting) * (work.longest.prompt + work.longest.sampled)
    if work.rollout.engine == "vllm":
        weights, overhead = engine_weight_bytes(setting), setting.assumptions.engine_gb * 1e9
        cache = max(one_group, engine_budget_bytes(setting, work) - weights - overhead)
        if work.rollout.vllm.kv_cache_mib is not None:
            cache = min(cache, max(one_group, work.rollout.vllm.kv_cache_mib * 2**20))
        parts |= {"vLLM's weights": weights, "vLLM's own": overhead, "keys and values": cache}
    else:
        groups = min(work.rollout.prompts_at_once, groups_on_an_engine(setting, work))
        parts["layers, whole for a moment" if setting.is_whole else "whole copy"] = _while_sampling(setting)
        parts["keys and values"] = groups * one_group
    return PhaseMemory(parts, _limit(setting))


def groups_on_an_engine(setting: Setting, work: StageWork) -> int:
    engines = max(1, setting.processes // setting.tensor_parallel)
    return -(-work.groups // engines)


def _while_sampling(setting: Setting) -> float:
    return _cast_copy(setting) if setting.is_whole else whole_copy_bytes(setting)


def _cast_copy(setting: Setting) -> float:
    """Of a forward without gradient under autocast: every weight once more in bf16, as long as it takes."""
    return _BF16 * setting.model.parameters if setting.width == _BF16 and setting.is_whole else 0.0


def _limit(setting: Setting) -> float:
    return setting.assumptions.usable * setting.cluster.gpu.memory_bytes
