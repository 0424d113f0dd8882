"""DPO's update against pairs forwarded response by response, whatever the cut; and a stage that learns."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from mmupt.algo.packing import PackItem
from mmupt.engines.base import Request, Sampling
from mmupt.engines.hf import HFEngine
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.models.lora import attach_adapter
from mmupt.models.settings import LoraSettings
from mmupt.models.start import StartModel
from mmupt.runtime.metrics import MetricsLog, read_metrics
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.progress import Progress
from mmupt.runtime.run_folder import RunFolder
from mmupt.train.context import StageContext
from mmupt.train.dpo import accumulate_gradients, train_dpo
from mmupt.train.optimizer import apply_gradients, build_optimizer
from mmupt.train.policy import Policy
from mmupt.train.settings import DpoStage
from mmupt.types import PreferencePair
from mmupt.world.settings import WorldSettings
from mmupt.world.splits import world_split

Pairs = Callable[[int], list[PackItem]]
PREFERENCE = {"beta": 0.4, "label_smoothing": 0.1, "weight": 0.8, "sft_weight": 0.5}


def stage_with(**changes: Any) -> DpoStage:
    prompt = {"suffix": "", "min_pixels": 3136, "max_pixels": 3136}
    values: dict[str, Any] = {"kind": "dpo", "name": "dpo", "data": {"path": "x"}, "prompt": prompt}
    return DpoStage(**{**values, "preference": PREFERENCE, **changes})


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def flat_gradient(model: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def update(
    loaded: LoadedModel, stage: DpoStage, pairs: list[PackItem], reference: StartModel
) -> tuple[Tensor, dict[str, float]]:
    loaded.model.zero_grad()
    stats = accumulate_gradients(stage, Policy(loaded), pairs, reference, PhaseClock())
    return flat_gradient(loaded.model), stats


@pytest.fixture
def random_pairs(random_items: Callable[[int], list[PackItem]]) -> Pairs:
    """Pairs over two pictures, one picture and none, with ragged lengths."""
    return lambda seed: [PackItem(item.encoded, item.completions[:2]) for item in random_items(seed)]


def test_gradient_and_metrics_equal_every_response_forwarded_alone(
    tiny: LoadedModel, plain: Any, random_pairs: Pairs, perturbed: Callable[[], nn.Module]
) -> None:
    """Transformers' own forward of each response with its prompt and pictures, and the loss written out."""
    pairs = random_pairs(0)
    ours, stats = update(tiny, stage_with(), pairs, StartModel(tiny, perturbed))

    reference = type(plain)(perturbed())
    losses, margins, right = [], [], 0
    for item in pairs:
        alone = [PackItem(item.encoded, [completion]) for completion in item.completions]
        new = [plain.logprobs([one]).sum() for one in alone]
        with torch.no_grad():
            old = [reference.logprobs([one]).sum() for one in alone]
        margin = 0.4 * ((new[0] - old[0]) - (new[1] - old[1]))
        preference = -0.9 * logsigmoid(margin) - 0.1 * logsigmoid(-margin)
        losses.append(0.8 * preference - 0.5 * new[0] / len(item.completions[0]))
        margins.append(float(margin.detach()))
        right += margins[-1] > 0
    loss = sum(losses) / len(losses)
    loss.backward()
    assert relative(ours, flat_gradient(plain.model)) < 1e-5
    assert stats["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
    assert stats["reward/margin"] == pytest.approx(sum(margins) / len(margins), rel=1e-4)
    assert stats["reward/chosen"] - stats["reward/rejected"] == pytest.approx(stats["reward/margin"], rel=1e-4)
    assert stats["reward/accuracy"] == pytest.approx(right / len(margins))


def test_the_cut_into_micro_batches_changes_nothing(
    tiny: LoadedModel, random_pairs: Pairs, perturbed: Callable[[], nn.Module]
) -> None:
    pairs, reference = random_pairs(1) + random_pairs(2), StartModel(tiny, perturbed)
    whole, stats = update(tiny, stage_with(), pairs, reference)
    for changes in ({"micro_batch_tokens": 16}, {"micro_batch_tokens": 120}, {"logprob_chunk": 3}):
        gradient, same = update(tiny, stage_with(**changes), pairs, reference)
        assert relative(gradient, whole) < 1e-5
        assert same == pytest.approx(stats, rel=1e-4, abs=1e-6)
    gradient, _ = update(tiny, stage_with(), [pairs[i] for i in (4, 2, 0, 5, 1, 3)], reference)
    assert relative(gradient, whole) < 1e-5


def test_prompt_and_pictures_are_forwarded_once_for_both_responses(
    tiny: LoadedModel, random_pairs: Pairs, perturbed: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    positions: list[int] = []
    pictures: list[int] = []
    hidden, features = tiny.family.hidden, tiny.family.features
    monkeypatch.setattr(
        tiny.family, "hidden", lambda m, ids, *rest: (positions.append(len(ids)), hidden(m, ids, *rest))[1]
    )
    monkeypatch.setattr(tiny.family, "features", lambda m, some: (pictures.append(len(some)), features(m, some))[1])
    pairs = random_pairs(3)
    update(tiny, stage_with(), pairs, StartModel(tiny, perturbed))
    assert positions == [sum(item.length for item in pairs)] * 2, "one row for the reference, the same for the policy"
    assert sum(pictures) == 6, "each of the three pictures once for the reference and once for the policy"


def test_under_lora_the_reference_is_the_model_with_the_adapter_off(tiny: LoadedModel, random_pairs: Pairs) -> None:
    pairs, second, stage = random_pairs(4), copy.deepcopy(tiny.model), stage_with(optimizer={"lr": 1e-2})
    adapted = attach_adapter(tiny, LoraSettings(rank=4), seed=0)
    switched_off = StartModel(adapted, _never_read)
    _, stats = update(adapted, stage, pairs, switched_off)
    assert stats["reward/chosen"] == stats["reward/rejected"] == 0.0, "a fresh adapter adds nothing"
    apply_gradients(build_optimizer(Policy(adapted).trained.values(), stage.optimizer), stage.optimizer, 1e-2, 0.0, ())
    gradient, stats = update(adapted, stage, pairs, switched_off)
    expected, same = update(adapted, stage, pairs, StartModel(tiny, lambda: second))
    assert stats["reward/margin"] != 0.0
    assert relative(gradient, expected) < 1e-5
    assert stats == pytest.approx(same, rel=1e-4, abs=1e-6)


def _never_read() -> nn.Module:
    raise AssertionError("under LoRA there is no second copy to read")


@pytest.fixture
def context(tmp_path: Path) -> Iterator[StageContext]:
    with (
        RunFolder.create(tmp_path / "run", "", seed=0) as run,
        MetricsLog(run.metrics) as metrics,
        Progress() as progress,
    ):
        yield StageContext(run, metrics, progress, "dpo", 0)


def own_samples(tiny: LoadedModel, stage: DpoStage, count: int) -> list[PreferencePair]:
    """SPIN (arXiv 2401.01335): what the data say is chosen, what the model says rejected."""
    encoder = PromptEncoder(tiny.family, stage.prompt)
    rows = world_split(WorldSettings(sft_size=count), "sft")
    requests = [Request(encoder(row.prompt), (i,)) for i, row in enumerate(rows)]
    sampled = HFEngine(tiny, 8).generate(requests, Sampling(temperature=1.0, top_p=1.0, max_new_tokens=16))
    return [
        PreferencePair(row.prompt, row.solution or "", rollouts[0].text + ".")
        for row, rollouts in zip(rows, sampled, strict=True)
    ]


@pytest.mark.parametrize("lora", [False, True])
def test_data_against_own_samples_lowers_the_loss(tiny: LoadedModel, context: StageContext, lora: bool) -> None:
    stage = stage_with(epochs=3, batch_size=8, preference={}, optimizer={"lr": 1e-2 if lora else 1e-3})
    pairs = own_samples(tiny, stage, 24)
    start = copy.deepcopy(tiny.model)
    model = attach_adapter(tiny, LoraSettings(rank=8), seed=0) if lora else tiny
    reference = StartModel(model, _never_read if lora else lambda: start)
    assert train_dpo(stage, Policy(model), pairs, reference, context) == 9
    records = read_metrics(context.run.metrics)
    first, last = records[0], records[-1]
    assert first["loss"] == pytest.approx(math.log(2)) and first["reward/margin"] == first["reward/accuracy"] == 0.0
    assert last["loss"] < 0.3 and last["reward/margin"] > 1.0 and last["reward/accuracy"] == 1.0
    assert last["skipped_prompts"] == 0 and last["tokens"] > 0 and last["seconds_reference"] > 0
