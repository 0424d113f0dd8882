"""Times against obvious sums, and against a decoder simulated step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mmupt.models.flops import GroupLengths, decode, packed_forward, step_floor
from mmupt.plan.assumptions import Assumptions
from mmupt.plan.memory import Setting, decoded_parameters, kv_bytes_per_token
from mmupt.plan.times import busiest_groups, decode_seconds, phase_times, ring_seconds, rows_of
from mmupt.plan.workload import Given, StageWork

Paper = Callable[..., tuple[Setting, StageWork]]
FREE = Assumptions(hop_us=1e-9, network_hop_us=1e-9, comm_efficiency=1.0, overlap=1.0, layer_us=1e-9)


def by_phase(setting: Setting, work: StageWork) -> dict[str, float]:
    return {phase.phase: phase.seconds for phase in phase_times(setting, work)}


def on(setting: Setting, gpus: int, **changes: Any) -> Setting:
    return replace(setting, cluster=replace(setting.cluster, gpus=gpus), **changes)


class TestRing:
    def test_bytes_over_the_slower_wire(self, paper: Paper) -> None:
        setting, _ = paper(assumptions=FREE)
        assert ring_seconds(on(setting, 1), 1e9) == 0
        assert ring_seconds(on(setting, 8), 450e9) == pytest.approx(7 / 8)  # NVLink
        assert ring_seconds(on(setting, 64), 400e9) == pytest.approx(63 / 64)  # eight cards of 50 GB/s
        slow = replace(FREE, network_gb_s=5.0)
        assert ring_seconds(on(setting, 64, assumptions=slow), 40e9) == pytest.approx(63 / 64)

    def test_hops(self, paper: Paper) -> None:
        """A ring over 64 GPUs in 8 nodes has 63 steps, 7 of which cross the network."""
        setting, _ = paper(assumptions=replace(FREE, hop_us=2.0, network_hop_us=10.0))
        assert ring_seconds(on(setting, 64), 1e-9) == pytest.approx((56 * 2 + 7 * 10) * 1e-6)
        assert ring_seconds(on(setting, 8), 1e-9) == pytest.approx(7 * 2e-6)

    def test_more_gpus_are_never_faster(self, paper: Paper) -> None:
        setting, _ = paper()
        times = [ring_seconds(on(setting, n), 1e10) for n in (8, 16, 64, 512, 4096)]
        assert times == sorted(times)


class TestDecoding:
    def simulated(self, setting: Setting, responses: int, running: int, prompt: int, tokens: int) -> float:
        """Every step by itself: whoever runs gets a token, whoever is done makes room."""
        gpu, assumed = setting.cluster.gpu, setting.assumptions
        left, seconds = responses, 0.0
        active: list[int] = []
        while left or active:
            while left and len(active) < running:
                active.append(0)
                left -= 1
            keys = sum(prompt + n for n in active) * kv_bytes_per_token(setting)
            seconds += (2 * decoded_parameters(setting.model) + keys) / (
                gpu.memory_gb_s * 1e9 * assumed.decode_bandwidth
            )
            seconds += assumed.decode_overhead_ms * 1e-3
            active = [n + 1 for n in active if n + 1 < tokens]
        return seconds

    @pytest.mark.parametrize("prompts_at_once", [1, 4, 16])
    def test_as_a_simulation(self, paper: Paper, prompts_at_once: int) -> None:
        setting, work = paper(
            "stages.upt.rollout.engine=vllm", f"stages.upt.rollout.prompts_at_once={prompts_at_once}",
            "stages.upt.rollout.max_new_tokens=64", assumptions=Assumptions(decode_mfu=1.0),
        )  # fmt: skip
        groups = [GroupLengths(500, (64,) * 10)] * 16
        seconds, _ = decode_seconds(setting, work, groups, longest=64)
        expected = self.simulated(setting, 160, prompts_at_once * 10, 500, 64)
        assert seconds == pytest.approx(expected, rel=0.01)

    def test_the_last_responses_run_out_alone(self, paper: Paper) -> None:
        setting, work = paper("stages.upt.rollout.engine=vllm")
        groups = [GroupLengths(500, (100,) * 10)]
        short, long = (decode_seconds(setting, work, groups, longest=n)[0] for n in (100, 1000))
        assert long > 8 * short

    def test_arithmetic_bounds_it_where_many_run(self, paper: Paper) -> None:
        setting, work = paper(
            "stages.upt.rollout.engine=vllm", "stages.upt.rollout.prompts_at_once=400",
            assumptions=Assumptions(decode_overhead_ms=1e-6, decode_mfu=0.01),
        )  # fmt: skip
        group = GroupLengths(100, (50,) * 10)
        seconds, bound = decode_seconds(setting, work, [group] * 100, longest=50)
        assert bound == "arithmetic"
        assert seconds == pytest.approx(100 * decode(setting.model.shape, group).total / (989e12 * 0.01), rel=1e-3)

    def test_what_is_made_whole_to_sample_is_gathered_once(self, paper: Paper) -> None:
        """In bf16 half as many bytes as the fp32 that a replica is brought up to date with, and an embedding's more;
        for vLLM twice as many."""
        n, embedding = (f(paper(gpus=64)[0].model) for f in (lambda m: m.parameters, lambda m: m.embedding_parameters))
        free = {"assumptions": Assumptions(hop_us=1e-9, network_hop_us=1e-9)}
        for engine, ratio in (("hf", (n + embedding) / (2 * n)), ("vllm", 1.0)):
            sharded, work = paper(f"stages.upt.rollout.engine={engine}", gpus=64, **free)
            seconds = {
                layout: by_phase(replace(sharded, layout=layout), work)["hand-over"]
                for layout in ("sharded", "replica")
            }
            assert seconds["sharded"] == pytest.approx(ratio * seconds["replica"], rel=1e-6), engine


class TestUpdate:
    def test_arithmetic_of_a_step_is_the_floor_over_the_assumed_utilisation(self, paper: Paper) -> None:
        setting, work = paper(gpus=1, checkpointing=False, assumptions=FREE)
        floor = step_floor(
            setting.model.shape, setting.model.trained(setting.settings), sampled=[work.usual] * 512,
            updated=[work.usual] * 512, old=[work.usual] * 384, reference=[work.usual] * 512,
        )  # fmt: skip
        found = by_phase(setting, work)
        for phase in ("old", "reference", "forward", "backward"):
            assert found[phase] == pytest.approx(floor[phase] / (989e12 * 0.35)), phase  # type: ignore[index]
        assert found["prefill"] == pytest.approx(floor["prefill"] / (989e12 * 0.4))

    def test_checkpointing_computes_the_layers_again(self, paper: Paper) -> None:
        setting, work = paper(gpus=1, assumptions=FREE)
        forward = packed_forward(setting.model.shape, work.usual)
        difference = (
            by_phase(setting, work)["backward"] - by_phase(replace(setting, checkpointing=False), work)["backward"]
        )
        assert difference == pytest.approx(512 * (forward.total - forward.head) / (989e12 * 0.35))

    def test_a_group_is_never_cut(self, paper: Paper) -> None:
        setting, work = paper()
        assert [busiest_groups(on(setting, n), 128) for n in (1, 8, 64, 100, 128, 4096)] == [128, 16, 2, 2, 1, 1]
        at = [by_phase(on(setting, n, assumptions=FREE), work)["backward"] for n in (64, 128, 512)]
        assert at[0] == pytest.approx(2 * at[1]) and at[1] == pytest.approx(at[2])
        bounds = {p.phase: p.bound for p in phase_times(on(setting, 512, assumptions=FREE), work)}
        assert bounds["forward"] == "groups an update: processes are idle"

    def test_rows(self, paper: Paper) -> None:
        _, work = paper("stages.upt.micro_batch_tokens=70000")  # 22,528 positions a group: three fit
        assert [rows_of(work, n) for n in (1, 3, 4, 16)] == [1, 1, 2, 6]
        _, short = paper("stages.upt.micro_batch_tokens=70000", given=Given(1000, 100))
        assert rows_of(short, 35) == 1

    def test_communication_hides_behind_arithmetic_as_far_as_assumed(self, paper: Paper) -> None:
        setting, work = paper(gpus=64, model="72B")
        hidden, shown, alone = (
            by_phase(replace(setting, assumptions=replace(setting.assumptions, overlap=o)), work)["backward"]
            for o in (1.0, 0.0, 0.5)
        )
        assert hidden < alone < shown and alone == pytest.approx((hidden + shown) / 2)

    def test_long_rings_end_the_scaling(self, paper: Paper) -> None:
        setting, work = paper(model="72B", given=Given(1200, 300))
        bounds = {p.phase: p.bound for p in phase_times(on(setting, 4096), work)}
        assert bounds["backward"] == "all-gather and reduce-scatter, latency of long rings"


def test_the_hand_over_does_not_shrink(paper: Paper) -> None:
    setting, work = paper("stages.upt.rollout.engine=vllm", model="72B")
    times = [by_phase(on(setting, n), work)["hand-over"] for n in (16, 64, 512, 4096)]
    assert times == sorted(times) and times[0] > 2 * 73.4e9 / (400e9 * 0.8) * 0.9


def test_optimiser_and_checkpoint(paper: Paper) -> None:
    setting, work = paper(gpus=64)
    n, found = setting.model.parameters, by_phase(setting, work)
    assert found["optimiser"] == pytest.approx(4 * 32 * n / 64 / (3350e9 * 0.7))
    assert found["checkpoint"] == pytest.approx(12 * n / 5e9 / 20)
    assert found["vote"] == pytest.approx(5120 * 0.0005)


def test_a_phase_that_does_not_happen_is_left_out(paper: Paper) -> None:
    setting, work = paper("stages.upt.algo.kl_coef=0.0", "stages.upt.updates_per_step=1")
    assert by_phase(setting, work).keys() == {
        "prefill", "decode", "vote", "forward", "backward", "optimiser", "hand-over", "checkpoint"
    }  # fmt: skip


def test_small_models_are_bound_by_launching(paper: Paper) -> None:
    setting, work = paper(given=Given(10, 2), assumptions=Assumptions(layer_us=1000.0, overlap=1.0))
    assert by_phase(on(setting, 1), work)["forward"] >= 60e-3
