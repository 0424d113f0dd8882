"""The loss on one batch against TRL 1.16's DPOTrainer: same model, same reference, same pairs.

Text alone goes through the trainer as a user drives it: its own tokenisation, collator and loss. Pairs with pictures
go through its loss, forward passes included, on a batch that is built here: its collator needs a processor, which
needs torchvision. TRL pads, and forwards prompt and picture for each response; ours packs the pair.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmupt.algo.packing import PackItem, pack
from mmupt.algo.preference import preference_loss
from mmupt.algo.settings import PreferenceSettings
from mmupt.data.settings import PromptSettings
from mmupt.models.encoding import PromptEncoder
from mmupt.models.forward import no_grad_logprobs, policy_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.train.targets import TargetEncoder
from mmupt.types import PreferencePair, Prompt

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("trl") is None, reason="TRL, the yardstick, is not installed (pip install mmupt[dev])"
)

TEXTS = [
    ("Add all dice.", "3 5 1 2: 3+5=8, +1=9, +2=11 \\boxed{11}", "Largest die?"),
    ("Largest die?", "\\boxed{5}", "3+5=8, +1=9 How many red dice?"),
    ("How many red dice?", "Add all dice. \\boxed{2}", "11"),
]


def reference_of(tiny: LoadedModel) -> nn.Module:
    """The model with noise on its weights, far enough away that no two log-ratios are alike."""
    reference = copy.deepcopy(tiny.model).requires_grad_(False).eval()
    rng = torch.Generator().manual_seed(0)
    for parameter in reference.parameters():
        parameter.add_(0.02 * torch.randn(parameter.shape, generator=rng))
    return reference


def ours(
    tiny: LoadedModel, reference: nn.Module, items: list[PackItem], settings: PreferenceSettings
) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients."""
    batch = pack(items)
    reference_T = no_grad_logprobs(tiny, batch, temperature=1.0, chunk=1024, model=reference)
    lengths = [len(c) for item in items for c in item.completions]
    terms = preference_loss(policy_logprobs(tiny, batch).logprobs_T, reference_T, lengths, settings, len(items))
    terms.loss.backward()
    gradients = {n: p.grad.clone() for n, p in tiny.model.named_parameters() if p.grad is not None}
    tiny.model.zero_grad()
    assert float((terms.chosen_reward_N - terms.rejected_reward_N).abs().min()) > 1e-3, "there is something to compare"
    return float(terms.loss.detach()), gradients


def trl_trainer(tiny: LoadedModel, reference: nn.Module, folder: Path, **settings: Any) -> Any:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    tokenizer = tiny.family.tokenizer
    prompts = [
        tokenizer.apply_chat_template([{"role": "user", "content": p}], tokenize=False, add_generation_prompt=True)
        for p, _, _ in TEXTS
    ]
    rows = {"prompt": prompts, "chosen": [c for _, c, _ in TEXTS], "rejected": [r for _, _, r in TEXTS]}
    config = DPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=len(TEXTS),
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        use_cpu=True,
        bf16=False,
        report_to=[],
        **settings,
    )
    return DPOTrainer(
        model=tiny.model,
        ref_model=reference,
        args=config,
        train_dataset=Dataset.from_dict(rows),
        processing_class=tokenizer,
    )


def trl_inputs(tiny: LoadedModel, items: list[PackItem]) -> dict[str, torch.Tensor]:
    """The dict that TRL's trainer hands to its own loss: all chosen responses, then all rejected ones, padded right."""
    rows = [(item.encoded, list(item.completions[side])) for side in (0, 1) for item in items]
    longest = max(p.length + len(c) for p, c in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    seen, completion = torch.zeros_like(ids), torch.zeros_like(ids)
    for r, (prompt, response) in enumerate(rows):
        end = prompt.length + len(response)
        ids[r, :end] = torch.cat([prompt.token_ids, torch.tensor(response)])
        seen[r, :end] = 1
        completion[r, prompt.length : end] = 1
    pictures = [picture for p, _ in rows for picture in p.pictures]
    names = ("pixel_values", "image_grid_thw")
    return {
        "input_ids": ids,
        "attention_mask": seen,
        "completion_mask": completion,
        "mm_token_type_ids": (ids == tiny.family.image_id).long(),  # type: ignore[attr-defined]
        **{name: torch.cat([picture.tensors[name] for picture in pictures]) for name in names},
    }


def compare(
    tiny: LoadedModel, trainer: Any, inputs: dict[str, torch.Tensor], loss: float, gradients: dict[str, torch.Tensor]
) -> None:
    tiny.model.train()
    theirs = trainer.compute_loss(tiny.model, inputs)
    theirs.backward()
    assert abs(loss - float(theirs.detach())) < 1e-5
    difference = sum((gradients[n] - p.grad).square().sum() for n, p in tiny.model.named_parameters() if n in gradients)
    size = sum(g.square().sum() for g in gradients.values())
    assert float((difference / size).sqrt()) < 1e-4  # fp32 through two different summation orders


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_text_through_the_whole_trainer(tiny: LoadedModel, tmp_path: Path, beta: float) -> None:
    encoder, target = PromptEncoder(tiny.family, PromptSettings(suffix="")), TargetEncoder.of(tiny.family)
    pairs = [PreferencePair(Prompt(p, p), chosen, rejected) for p, chosen, rejected in TEXTS]
    items = [PackItem(encoder(pair.prompt), target(pair)) for pair in pairs]
    reference = reference_of(tiny)
    loss, gradients = ours(tiny, reference, items, PreferenceSettings(beta=beta))

    trainer = trl_trainer(tiny, reference, tmp_path, beta=beta)
    inputs = next(iter(trainer.get_train_dataloader()))
    rows = {
        tuple(ids[mask.bool()].tolist())
        for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
    }
    mine = {(*item.encoded.token_ids.tolist(), *c) for item in items for c in item.completions}
    assert rows == mine, "the same tokens, the one that ends a turn included"
    compare(tiny, trainer, inputs, loss, gradients)


@pytest.mark.parametrize(
    ("settings", "theirs"),
    [
        (PreferenceSettings(), {}),
        # What TRL 1.16 calls "aot" has the conservative labels that its "sigmoid" has not; of one pair it is DPO.
        (PreferenceSettings(label_smoothing=0.2), {"loss_type": ["aot"], "label_smoothing": 0.2}),
        # Its "sft" is a mean over all tokens of the batch, ours over pairs as in the papers; of one pair both are one.
        (
            PreferenceSettings(weight=0.8, sft_weight=1.0),
            {"loss_type": ["sigmoid", "sft"], "loss_weights": [0.8, 1.0]},
        ),
    ],
    ids=["dpo", "conservative", "with sft"],
)
def test_pictures_through_the_trainers_loss(
    tiny: LoadedModel,
    random_items: Callable[[int], list[PackItem]],
    tmp_path: Path,
    settings: PreferenceSettings,
    theirs: dict[str, Any],
) -> None:
    with_pictures = [PackItem(item.encoded, item.completions[:2]) for item in random_items(5)[:2]]
    items = with_pictures[:1] if theirs else with_pictures  # two pairs, of two pictures and of one
    reference = reference_of(tiny)
    loss, gradients = ours(tiny, reference, items, settings)
    trainer = trl_trainer(tiny, reference, tmp_path, beta=settings.beta, **theirs)
    compare(tiny, trainer, trl_inputs(tiny, items), loss, gradients)
