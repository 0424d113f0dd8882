"""Seconds of a step by phase, and what bounds each: arithmetic, a memory's bandwidth, the network, or how far work can
be divided.

FLOPs are counted by models/flops.py, the same that a run's FLOP floor is made of. A phase that computes and
communicates at once takes

    max(compute, communication) + (1 - overlap) min(compute, communication)

and one that reads memory while it computes the larger of the two (a roofline).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmupt.models.flops import Flops, GroupLengths, backward_flops, decode, packed_forward, prefill
from mmupt.plan.memory import (
    Setting,
    decoded_parameters,
    groups_on_an_engine,
    groups_per_row,
    kv_bytes_per_token,
    kv_capacity_tokens,
    optimizer_bytes,
    weight_bytes,
    whole_copy_bytes,
)
from mmupt.plan.workload import StageWork

_FP32 = 4
_TENSORS_A_LAYER = 12  # seven weights, three biases, two norms; a block of the tower has as many


@dataclass(frozen=True, slots=True)
class PhaseTime:
    """`bound` says in a few words what would have to be better for the phase to be faster."""

    phase: str
    seconds: float
    bound: str


def phase_times(setting: Setting, work: StageWork) -> list[PhaseTime]:
    """A step of the stage, in the order of its phases; those that do not happen are left out."""
    phases = [
        *_rollout(setting, work),
        _vote(setting, work),
        _pass(setting, work, "old", work.old),
        _pass(setting, work, "reference", 1.0 if work.reference else 0.0),
        *_update(setting, work),
        _optimiser(setting, work),
        _handover(setting, work),
        _checkpoint(setting, work),
    ]
    return [phase for phase in phases if phase.seconds > 0]


def ring_seconds(setting: Setting, num_bytes: float) -> float:
    """An all-gather to, or a reduce-scatter of, `num_bytes` on every GPU, as NCCL's own cost model has it for rings.

    Of a ring of s GPUs each sends (s - 1) / s of the bytes. Inside a node a link carries them; between nodes of g GPUs,
    whose g network cards are in g rings, a node sends them once, through all its cards. Whichever is slower bounds it.
    On top of that a ring has s - 1 steps one after another, of which as many as there are nodes, less one, cross the
    network: with s this latency grows and the shard a step carries shrinks.
    """
    cluster, assumed = setting.cluster, setting.assumptions
    s, nodes = cluster.gpus, cluster.nodes
    if s == 1 or num_bytes == 0:
        return 0.0
    link = cluster.gpu.link_gb_s
    if nodes > 1:
        link = min(link, (assumed.network_gb_s or cluster.gpu.network_gb_s) * cluster.gpus_per_node)
    sent = num_bytes * (s - 1) / s
    latency_us = (s - nodes) * assumed.hop_us + (nodes - 1) * assumed.network_hop_us
    return sent / (link * 1e9 * assumed.comm_efficiency) + latency_us * 1e-6


def busiest_groups(setting: Setting, groups: int) -> int:
    """Of the process that has most: a group travels whole, so s processes share `groups` at ceil(groups / s)."""
    return -(-groups // setting.processes)


def rows_of(work: StageWork, groups: int) -> int:
    """Packed rows of `groups`, by the mean lengths: forward and backward passes one after another."""
    fits = max(1, work.micro_batch_tokens // (work.usual.prompt + work.usual.sampled))
    return -(-groups // max(fits, groups_per_row(work)))


def train_seconds(setting: Setting, flops: float, layers: float) -> float:
    """Arithmetic at the assumed utilisation, or the launching of so many layers, whichever is longer."""
    arithmetic = flops / (setting.cluster.gpu.tflops * 1e12 * setting.assumptions.mfu)
    return max(arithmetic, layers * setting.assumptions.layer_us * 1e-6)


def decode_seconds(
    setting: Setting, work: StageWork, groups: Sequence[GroupLengths], longest: int
) -> tuple[float, str]:
    """One engine decodes `groups`, the longest response having `longest` tokens.

    A step gives every running response a token. It reads the weights m of all layers and the head (b m / tp; the HF
    engine casts its fp32 weights at every step, which is 4 m read, 2 m written and 2 m read) and the keys and values of
    all that is running. As many run as the engine admits and as keys and values fit, so with Q responses of mean length
    R the number of steps is

        longest where all run at once (Q R / running = R), else Q R / running + longest - R: the last run out alone.

    Arithmetic and reading overlap; what a step costs beside them does not. Between tp cards a layer adds up its halves
    twice, each time there and back: four hops of latency.
    """
    assert work.rollout is not None
    gpu, assumed, shape = setting.cluster.gpu, setting.assumptions, setting.model.shape
    responses = sum(len(group.completions) for group in groups)
    tokens = sum(group.sampled for group in groups)
    if not responses:
        return 0.0, ""
    mean = tokens / responses
    prompt = sum(group.prompt for group in groups) / len(groups)
    size = responses / len(groups)
    admitted = min(responses, work.rollout.prompts_at_once * work.rollout.group_size)
    room = kv_capacity_tokens(setting, work) / (prompt / size + mean)
    running = min(admitted, room) if room >= size else admitted  # less than a group does not fit: as if it did
    steps = max(longest, tokens / running + longest - mean)
    is_hf = work.rollout.engine == "hf"
    weights = decoded_parameters(setting.model)
    read = setting.width * weights / setting.tensor_parallel
    if is_hf and setting.is_whole:  # fp32, cast for each step; what is made whole to sample is in its precision
        read = weights * (_FP32 if setting.width == _FP32 else 2 * _FP32)
    keys = tokens * (prompt / (size if is_hf else 1.0) + mean / 2) * kv_bytes_per_token(setting)
    memory = (steps * read + keys) / (gpu.memory_gb_s * 1e9 * assumed.decode_bandwidth)
    flops = sum((decode(shape, group) for group in groups), Flops()).total / setting.tensor_parallel
    compute = flops / (gpu.tflops * 1e12 * assumed.decode_mfu)
    beside = assumed.decode_overhead_ms * 1e-3 if not is_hf else assumed.hf_overhead_ms * 1e-3 * shape.layers
    if setting.tensor_parallel > 1:
        beside += 2 * shape.layers * 2 * assumed.hop_us * 1e-6
    seconds = max(memory, compute) + steps * beside
    if steps * beside > seconds / 2:
        return seconds, "what a decoding step costs beside arithmetic"
    return seconds, "arithmetic" if compute > memory else "bandwidth of GPU memory"


def _rollout(setting: Setting, work: StageWork) -> list[PhaseTime]:
    """Own rollouts, and those of teacher and guard as so many further groups. Each engine has whole groups."""
    if work.rollout is None:
        return []
    mine = groups_on_an_engine(setting, work)
    engines = max(1, setting.processes // setting.tensor_parallel)
    more = (work.taught + work.watched) / work.group_size / engines
    shape, assumed, gpu = setting.model.shape, setting.assumptions, setting.cluster.gpu
    reading = prefill(shape, work.usual).total * (mine + more) / setting.tensor_parallel
    limit = "prompts a step: an engine has one" if mine == 1 and engines > work.groups / 2 else "arithmetic"
    own, bound = decode_seconds(setting, work, [work.usual] * mine, work.longest.completions[0])
    if mine == 1 and engines > work.groups:
        bound = "the longest response; engines are idle"
    others = 0.0
    if more:
        count = max(1, round(more))
        others, _ = decode_seconds(setting, work, [work.usual] * count, work.longest.completions[0])
        others *= more / count
    phases = [
        PhaseTime("prefill", reading / (gpu.tflops * 1e12 * assumed.prefill_mfu), limit),
        PhaseTime("decode", own, bound),
    ]
    return [*phases, PhaseTime("teacher, guard", others, bound)] if others else phases


def _vote(setting: Setting, work: StageWork) -> PhaseTime:
    """Every process has all groups and scores all of them."""
    responses = work.groups * work.group_size + work.taught + work.watched if work.rollout is not None else 0.0
    return PhaseTime("vote", responses * setting.assumptions.vote_ms * 1e-3, "one process reads all answers")


def _pass(setting: Setting, work: StageWork, phase: str, share: float) -> PhaseTime:
    """Log-probs without gradient of `share` of the groups: a forward; where nothing is whole each row gathers 4 n."""
    groups = busiest_groups(setting, round(work.groups * share))
    flops = groups * packed_forward(setting.model.shape, work.usual).total
    fetched = 0.0 if setting.is_whole else rows_of(work, groups) * _gather_seconds(setting, setting.model.parameters)
    layers = rows_of(work, groups) * _num_layers(setting)
    return _together(setting, phase, train_seconds(setting, flops, layers), fetched)


def _update(setting: Setting, work: StageWork) -> list[PhaseTime]:
    """Forward and backward of every group. A row gathers the trained weights for each of the two, where nothing is
    whole all weights, and adds up gradients in fp32 (4 t); offloaded shards come from main memory for each. With
    checkpointing the backward pass computes each layer's forward again."""
    groups = busiest_groups(setting, work.groups_per_update) * work.updates
    rows = rows_of(work, groups // work.updates) * work.updates
    model = setting.model
    forward = packed_forward(model.shape, work.usual)
    back = backward_flops(forward, model.trained(setting.settings))
    again = (forward.total - forward.head) if setting.checkpointing else 0
    moved = setting.trained if setting.is_whole else model.parameters
    gather = rows * _gather_seconds(setting, moved) if setting.is_split else 0.0
    reduce = rows * _reduce_seconds(setting) if setting.is_split else 0.0
    shards = _FP32 * moved / setting.processes / (setting.assumptions.pcie_gb_s * 1e9)
    offload = 2 * rows * shards if setting.offload and setting.is_split else 0.0
    layers = rows * _num_layers(setting)
    ahead = train_seconds(setting, groups * forward.total, layers)
    behind = train_seconds(setting, groups * (back + again), layers * (3 if setting.checkpointing else 2))
    return [
        _together(setting, "forward", ahead, gather + offload / 2, work),
        _together(setting, "backward", behind, gather + reduce + offload / 2, work),
    ]


def _num_layers(setting: Setting) -> int:
    return setting.model.shape.layers + setting.model.shape.vision.layers


def _gather_seconds(setting: Setting, parameters: int) -> float:
    """All layers, one after another."""
    whole = ring_seconds(setting, setting.gathered_width * parameters)
    return whole + _num_layers(setting) * _latency(setting)


def _reduce_seconds(setting: Setting) -> float:
    return ring_seconds(setting, _FP32 * setting.trained) + _num_layers(setting) * _latency(setting)


def _latency(setting: Setting) -> float:
    cluster, assumed = setting.cluster, setting.assumptions
    hops = (cluster.gpus - cluster.nodes) * assumed.hop_us + (cluster.nodes - 1) * assumed.network_hop_us
    return hops * 1e-6


def _together(setting: Setting, phase: str, compute: float, sent: float, work: StageWork | None = None) -> PhaseTime:
    short, long = sorted((compute, sent))
    if sent > compute:
        bound = "all-gather and reduce-scatter" + (", latency of long rings" if _is_latency(setting) else "")
    else:
        idle = work is not None and setting.processes > work.groups_per_update
        bound = "groups an update: processes are idle" if idle else "arithmetic"
    return PhaseTime(phase, long + (1.0 - setting.assumptions.overlap) * short, bound)


def _is_latency(setting: Setting) -> bool:
    """Whether a layer's all-gather waits longer for hops than for bytes."""
    layer = setting.gathered_width * setting.model.layer_parameters
    return _latency(setting) > ring_seconds(setting, layer) / 2


def _optimiser(setting: Setting, work: StageWork) -> PhaseTime:
    """AdamW reads weight, gradient and two moments and writes all but the gradient: 28 bytes a number, after 4 for the
    norm of the gradient; t / s numbers a process. Offloaded shards stay in main memory, which all processes of a node
    share."""
    gpu, assumed = setting.cluster.gpu, setting.assumptions
    num_bytes = 32 * setting.trained / setting.processes * work.updates
    if setting.offload and setting.is_split:
        on_a_node = min(setting.cluster.gpus, setting.cluster.gpus_per_node)
        return PhaseTime("optimiser", num_bytes * on_a_node / (assumed.host_gb_s * 1e9), "bandwidth of main memory")
    return PhaseTime(
        "optimiser", num_bytes / (gpu.memory_gb_s * 1e9 * assumed.memory_bandwidth), "bandwidth of GPU memory"
    )


def _handover(setting: Setting, work: StageWork) -> PhaseTime:
    """New weights to the engine, once a step. Every trained number is gathered by every process, tensor after tensor:
    4 t bytes into the plain model; where nothing is whole 4 n for an engine with weights of its own, and b n for a
    copy to sample with. This does not shrink with s."""
    if not setting.is_split:
        if work.rollout is None or work.rollout.engine != "vllm":
            return PhaseTime("hand-over", 0.0, "")
        seconds = (_FP32 + setting.width) * setting.model.parameters / (setting.cluster.gpu.memory_gb_s * 1e9)
        return PhaseTime("hand-over", seconds, "bandwidth of GPU memory")
    num_bytes = float(_FP32 * setting.trained)
    if not setting.is_whole:
        if work.rollout is None:
            return PhaseTime("hand-over", 0.0, "")
        num_bytes = whole_copy_bytes(setting) if work.rollout.engine == "hf" else _FP32 * setting.model.parameters
    seconds = ring_seconds(setting, num_bytes) + _TENSORS_A_LAYER * _num_layers(setting) * _latency(setting)
    return PhaseTime("hand-over", seconds, "gathering every weight on every GPU")


def _checkpoint(setting: Setting, work: StageWork) -> PhaseTime:
    """Weights in fp32 and both moments, through one file system, once in `checkpoint_every` steps."""
    one = replace(setting, cluster=replace(setting.cluster, gpus=1))
    num_bytes = weight_bytes(one) + optimizer_bytes(one)
    seconds = num_bytes / (setting.assumptions.storage_gb_s * 1e9) / work.checkpoint_every
    return PhaseTime("checkpoint", seconds, "the file system")
