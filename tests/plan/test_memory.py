"""Predicted bytes and FLOPs against those of a real model and optimiser on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mmupt.algo.packing import PackItem, pack
from mmupt.models.flops import GroupLengths, backward_flops, packed_forward, picture_grids
from mmupt.models.forward import policy_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.models.settings import LoraSettings, ModelSettings
from mmupt.models.shards import computing_dtypes
from mmupt.plan.architecture import read_architecture
from mmupt.plan.assumptions import Assumptions
from mmupt.plan.gpus import GPUS, Cluster
from mmupt.plan.memory import (
    Setting,
    activation_bytes,
    gathered_bytes,
    gradient_bytes,
    kv_bytes_per_token,
    kv_capacity_tokens,
    logits_bytes,
    memories,
    optimizer_bytes,
    start_copy_bytes,
    weight_bytes,
    whole_copy_bytes,
)
from mmupt.plan.workload import StageWork
from mmupt.train.optimizer import build_optimizer
from mmupt.train.settings import OptimizerSettings

Paper = Callable[..., tuple[Setting, StageWork]]


@pytest.fixture
def alone(tiny_folder: Path) -> Setting:
    """The tiny model in fp32 on one device, as the tests' machine has it."""
    settings = ModelSettings(path=str(tiny_folder))
    return Setting(read_architecture(str(tiny_folder)), settings, Cluster(GPUS["L40S"], 1, 8), "replica", Assumptions())


@pytest.fixture
def item(tiny: LoadedModel, encode: Callable[..., Any]) -> PackItem:
    """One group: a picture of 8 x 12 patches and six answers."""
    rng = np.random.default_rng(0)
    completions = [rng.integers(7, 200, 40).tolist() for _ in range(6)]
    return PackItem(encode(rng, "Add all dice. " * 12, [(168, 112)]), completions)


def lengths(item: PackItem) -> GroupLengths:
    grids = picture_grids(p.tensors for p in item.encoded.pictures)
    return GroupLengths(item.encoded.length, tuple(len(c) for c in item.completions), grids)


def work_of(paper: Paper, item: PackItem) -> StageWork:
    _, work = paper()
    return replace(work, usual=lengths(item), longest=lengths(item), micro_batch_tokens=16, logprob_chunk=64)


def test_weights_gradients_and_moments_are_exact(tiny: LoadedModel, item: PackItem, alone: Setting) -> None:
    optimizer = build_optimizer(tiny.model.parameters(), OptimizerSettings())
    policy_logprobs(tiny, pack([item])).logprobs_T.sum().backward()
    optimizer.step()
    parameters = list(tiny.model.parameters())
    moments = [m for s in optimizer.state.values() for name, m in s.items() if name in ("exp_avg", "exp_avg_sq")]
    assert weight_bytes(alone) == sum(p.nbytes for p in parameters)
    assert gradient_bytes(alone) == sum(p.grad.nbytes for p in parameters if p.grad is not None)
    assert optimizer_bytes(alone) == sum(m.nbytes for m in moments)


@pytest.mark.parametrize("vision", [True, False])
def test_activations_are_close(tiny: LoadedModel, item: PackItem, alone: Setting, paper: Paper, vision: bool) -> None:
    """All that autograd keeps of a packed group, each piece of memory once, against the formula, head included."""
    if not vision:
        alone = replace(alone, settings=ModelSettings(path="x", freeze=("vision", "projector")))
        for name, parameter in tiny.model.named_parameters():
            parameter.requires_grad_(".visual." not in name)
    kept: dict[int, Any] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in tiny.model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        policy_logprobs(tiny, pack([item]), chunk=10_000)
    measured = sum(storage.nbytes() for pointer, storage in kept.items() if pointer not in weights)
    work = replace(work_of(paper, item), logprob_chunk=10_000)
    # In the backward pass two more of the logits exist; what autograd keeps is one.
    logits = logits_bytes(alone, work) - 2 * 4 * lengths(item).sampled * alone.model.shape.vocabulary
    assert 0.85 < (activation_bytes(alone, work) + logits) / measured < 1.15


def test_checkpointing_keeps_inputs_and_one_layer(alone: Setting, item: PackItem, paper: Paper) -> None:
    work = work_of(paper, item)
    shape, rows = alone.model.shape, item.length
    saved = replace(alone, checkpointing=True)
    inputs = 4 * (shape.layers * rows * shape.hidden + shape.vision.layers * 96 * shape.vision.hidden)
    layer = activation_bytes(replace(saved, settings=ModelSettings(path="x", freeze=("vision", "projector"))), work)
    assert activation_bytes(saved, work) == inputs + layer - 4 * shape.layers * rows * shape.hidden
    assert activation_bytes(saved, work) < activation_bytes(alone, work)


def test_flops_of_a_packed_group(tiny: LoadedModel, item: PackItem, alone: Setting) -> None:
    """Matrix products of the real forward and backward pass; attention's own kernels on a CPU are not counted by
    torch, and tests/models/test_flops.py has them in plain products."""
    with FlopCounterMode(display=False) as counter:
        policy_logprobs(tiny, pack([item]), chunk=10_000).logprobs_T.sum().backward()
    found = {str(op): n for op, n in counter.get_flop_counts()["Global"].items()}
    forward = packed_forward(alone.model.shape, lengths(item))
    plain = replace(forward, attention=0, vision_attention=0)
    expected = plain.total + backward_flops(plain, alone.model.trained(alone.settings))
    assert found["aten.mm"] + found["aten.addmm"] == expected


class TestManyGpus:
    def test_shards_are_divided_and_copies_are_not(self, paper: Paper) -> None:
        n = read_architecture("Qwen/Qwen2.5-VL-7B-Instruct").parameters
        sharded, work = paper(gpus=64)
        whole = replace(sharded, layout="replica")
        assert weight_bytes(sharded) == 4 * n / 64 and weight_bytes(whole) == 4 * n + 4 * n / 64
        assert start_copy_bytes(sharded, work) == 4 * n / 64 and start_copy_bytes(whole, work) == 4 * n
        for setting in (sharded, whole):
            assert gradient_bytes(setting) == 4 * n / 64 and optimizer_bytes(setting) == 8 * n / 64
            one = replace(setting, cluster=replace(setting.cluster, gpus=1))
            assert weight_bytes(one) == 4 * n

    def test_gathered_layers(self, paper: Paper) -> None:
        sharded, _ = paper(gpus=64, checkpointing=True)
        model = sharded.model
        layers = 2 * model.layer_parameters + model.root_parameters
        whole = replace(sharded, layout="replica")
        for setting in (sharded, whole):
            assert gathered_bytes(setting) == (4 + 2) * layers  # fp32, and autocast's copies
        adapter = sharded.settings.model_copy(update={"lora": LoraSettings(rank=8, targets=("q_proj",))})
        blocks = model.shape.vision.layers * model.block_parameters  # frozen: gathered in one piece
        assert gathered_bytes(replace(sharded, settings=adapter)) == (4 + 2) * layers + 4 * blocks
        assert gathered_bytes(replace(whole, settings=adapter)) == 2 * layers, "the rest is there"
        assert gathered_bytes(replace(whole, checkpointing=False)) == 4 * layers + 2 * model.parameters
        assert gathered_bytes(replace(whole, cluster=replace(whole.cluster, gpus=1))) == 2 * model.parameters

    def test_what_is_whole_while_it_samples(self, paper: Paper, tiny: LoadedModel) -> None:
        """To the byte what `computing_dtypes` says of a real model, but for norms, a bias of them, and the patch
        embedding; nothing where vLLM samples."""
        setting, work = paper(gpus=64)
        parts = memories(setting, work)["rollout"].parts
        assert parts["whole copy"] == whole_copy_bytes(setting)
        assert whole_copy_bytes(setting) == 2 * (setting.model.parameters + setting.model.embedding_parameters)
        assert "whole copy" not in memories(*paper("stages.upt.rollout.engine=vllm", gpus=64))["rollout"].parts

        dtypes = computing_dtypes(tiny.model, torch.bfloat16)
        real = sum(p.numel() * dtypes[name].itemsize for name, p in tiny.model.named_parameters())
        small = sum(
            p.numel()
            for name, p in tiny.model.named_parameters()
            if "norm" in name or "ln_q" in name or "patch" in name
        )
        here = replace(setting, model=read_architecture(tiny.model.config._name_or_path))  # type: ignore[union-attr]
        assert real == whole_copy_bytes(here) + 2 * small

    def test_a_start_copy_is_held_for_whoever_asks_it(self, paper: Paper) -> None:
        vote = "stages.upt.reward.name=majority_vote"
        for overrides, held in (
            ([vote], True),
            ([vote, "stages.upt.algo.kl_coef=0.0"], False),
            (["stages.upt.reward.name=start_vote", "stages.upt.algo.kl_coef=0.0"], True),
            (["model.lora.rank=8"], False),
        ):
            setting, work = paper(*overrides)
            assert (start_copy_bytes(setting, work) > 0) is held, overrides

    def test_keys_and_values(self, paper: Paper) -> None:
        """Qwen2.5-VL-7B in bf16: 28 layers x 4 key heads x 128 x 2 x 2 bytes = 57,344 a token."""
        vllm = "stages.upt.rollout.engine=vllm"
        setting, work = paper(vllm)
        assert kv_bytes_per_token(setting) == 57_344
        assert kv_bytes_per_token(replace(setting, tensor_parallel=2)) == 57_344 / 2
        assert kv_bytes_per_token(replace(setting, tensor_parallel=8)) == 57_344 / 4  # four key heads
        weights = 2 * setting.model.parameters
        room = 0.5 * 80e9 - weights - 3e9
        assert kv_capacity_tokens(setting, work) == pytest.approx(room / 57_344)
        told, work = paper(vllm, "stages.upt.rollout.vllm.kv_cache_mib=1024")
        assert kv_capacity_tokens(told, work) == pytest.approx(2**30 / 57_344)

    def test_offload_takes_shards_off_the_gpu(self, paper: Paper) -> None:
        here, work = paper(gpus=8)
        there = memories(replace(here, offload=True), work)["update"]
        assert there.parts["weights, fp32"] == there.parts["AdamW's moments"] == there.parts["gradients"] == 0
        assert there.total < memories(here, work)["update"].total
        alone = replace(here, cluster=replace(here.cluster, gpus=1), offload=True)
        assert memories(alone, work)["update"].parts["weights, fp32"] > 0  # one process shards nothing

    def test_an_engine_that_may_not_sleep(self, paper: Paper) -> None:
        on = ["stages.upt.rollout.engine=vllm"]
        setting, sleeping = paper(*on)
        _, awake = paper(*on, "stages.upt.rollout.vllm.sleep=false")
        difference = memories(setting, awake)["update"].total - memories(setting, sleeping)["update"].total
        assert difference == pytest.approx(0.5 * 80e9)
