"""What would make a stage fit, or faster. Every sentence has been calculated: nothing is said that the same arithmetic
does not bear out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mmupt.plan.memory import Setting, groups_per_row
from mmupt.plan.stage import MOST_GPUS, StagePlan, fits, smallest_that_fits
from mmupt.plan.times import phase_times
from mmupt.plan.workload import StageWork


def advice_for(plan: StagePlan) -> Iterator[str]:
    """Most important first."""
    if not plan.fits:
        yield from _to_fit(plan)
    else:
        yield from _to_be_faster(plan)
    row = plan.work.longest.prompt + plan.work.longest.sampled
    if row > plan.work.micro_batch_tokens:
        yield (
            f"a group of {row:,} positions is longer than micro_batch_tokens = {plan.work.micro_batch_tokens:,} and "
            "travels alone all the same: a smaller value saves no memory, a shorter max_new_tokens or group_size does"
        )


def _to_fit(plan: StagePlan) -> Iterator[str]:
    setting, work = plan.setting, plan.work
    phase, worst = max(plan.memories.items(), key=lambda item: item[1].total)
    part = max(worst.parts, key=lambda name: worst.parts[name])
    yield (
        f"does not fit: {worst.total / 1e9:,.1f} GB are needed ({phase}) and {worst.limit / 1e9:,.1f} GB are there; "
        f"the largest part is {part} ({worst.parts[part] / 1e9:,.1f} GB)"
    )
    if plan.smallest is not None and plan.smallest > setting.cluster.gpus:
        yield f"as it is set it fits on {plan.smallest:,} GPUs of this kind and more"
    elif plan.smallest is None:
        yield f"as it is set it fits on no number of these GPUs up to {MOST_GPUS:,}"
    for what, changed, changed_work in _changes(setting, work):
        if fits(changed, changed_work):
            yield f"it fits here with {what}"
            return
    for what, changed, changed_work in _changes(setting, work):
        if count := smallest_that_fits(changed, changed_work):
            yield f"with {what} it fits on {count:,} GPUs and more"
            return


def _changes(setting: Setting, work: StageWork) -> Iterator[tuple[str, Setting, StageWork]]:
    """Ways to save memory, the cheap ones first, and then together."""
    layouts = [setting.layout]
    if setting.is_split and setting.layout == "replica":
        layouts.append("sharded")
    whole_node = min(setting.cluster.gpus, setting.cluster.gpus_per_node)
    is_vllm = work.rollout is not None and work.rollout.engine == "vllm"
    wider = [n for n in (2, 4, 8) if is_vllm and n > setting.tensor_parallel and whole_node % n == 0]
    for layout in layouts:
        for cards in (setting.tensor_parallel, *wider):
            for checkpointing, offload in ((False, False), (True, False), (False, True), (True, True)):
                changed = replace(
                    setting,
                    layout=layout,
                    tensor_parallel=cards,
                    checkpointing=checkpointing or setting.checkpointing,
                    offload=offload or setting.offload,
                )
                if changed != setting:
                    yield _named(setting, changed), changed, work
                if (less := _with_engine_share(changed, work)) is not None and less.rollout is not None:
                    share = f"rollout.vllm.gpu_memory_fraction = {less.rollout.vllm.gpu_memory_fraction:g}"
                    named = f"{_named(setting, changed)} and {share}" if changed != setting else share
                    yield named, changed, less


def _named(before: Setting, after: Setting) -> str:
    """What differs, as the user would write it."""
    changes = []
    if after.layout != before.layout:
        changes.append(f'processes.layout = "{after.layout}"')
    if after.checkpointing and not before.checkpointing:
        changes.append("model.gradient_checkpointing = true")
    if after.offload and not before.offload:
        changes.append("processes.cpu_offload = true")
    if after.tensor_parallel != before.tensor_parallel:
        changes.append(f"rollout.vllm.tensor_parallel = {after.tensor_parallel}")
    return ", ".join(changes)


def _with_engine_share(setting: Setting, work: StageWork) -> StageWork | None:
    """With the largest share of a card for vLLM that the rest leaves it, where that is another one than it has."""
    if work.rollout is None or work.rollout.engine != "vllm":
        return None
    for percent in range(90, 5, -5):
        rollout = work.rollout.model_copy(
            update={"vllm": work.rollout.vllm.model_copy(update={"gpu_memory_fraction": percent / 100})}
        )
        other = replace(work, rollout=rollout)
        if percent / 100 != work.rollout.vllm.gpu_memory_fraction and fits(setting, other):
            return other
    return None


def _to_be_faster(plan: StagePlan) -> Iterator[str]:
    setting, work, seconds = plan.setting, plan.work, plan.seconds
    limit = plan.limit
    yield f"{limit.phase} takes {100 * limit.seconds / seconds:.0f} % of a step, bound by {limit.bound}"
    if setting.cluster.gpus > work.groups_per_update:
        yield (
            f"an update has {work.groups_per_update} groups, and a group is never cut: "
            f"{setting.cluster.gpus - work.groups_per_update} of {setting.cluster.gpus} processes have nothing to "
            "learn from; raise prompts_per_step, or lower updates_per_step"
        )
    if plan.enough < setting.cluster.gpus:
        yield f"{plan.enough:,} GPU{'s' if plan.enough > 1 else ''} would be as fast to within a tenth"
    if setting.checkpointing:
        yield from _faster("model.gradient_checkpointing = false", seconds, replace(setting, checkpointing=False), work)
    if setting.offload:
        yield from _faster("no offload", seconds, replace(setting, offload=False), work)
    if work.rollout is not None and work.rollout.engine == "hf":
        vllm = replace(work, rollout=work.rollout.model_copy(update={"engine": "vllm"}))
        if (room := vllm if fits(setting, vllm) else _with_engine_share(setting, vllm)) is not None:
            yield from _faster('rollout.engine = "vllm"', seconds, setting, room)
    if work.reference and "reference" in {phase.phase for phase in plan.phases}:
        reference = next(phase.seconds for phase in plan.phases if phase.phase == "reference")
        if reference > 0.1 * seconds:
            yield f"the KL term costs {reference:.3g} s a step for its reference; algo.kl_coef = 0 needs none"
    if groups_per_row(work) == 1 and setting.is_split and "all-gather" in limit.bound:
        yield "each row gathers the weights once more: a larger micro_batch_tokens takes more groups a row"


def _faster(what: str, seconds: float, setting: Setting, work: StageWork) -> Iterator[str]:
    """Nothing where it does not fit, or saves less than a fiftieth."""
    then = sum(phase.seconds for phase in phase_times(setting, work))
    if fits(setting, work) and then < 0.98 * seconds:
        yield f"{what} fits: {then:.3g} s a step instead of {seconds:.3g} s"
