"""The loss on one batch against TRL 1.16's GRPOTrainer: same model, same rollouts, pictures included.

TRL pads and repeats prompt and picture for each completion; ours packs the group. The old and reference log-probs are
drawn at random around the policy's, wide enough that both clip bounds are active.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mmupt.algo.losses import Totals, grpo_loss, token_weights
from mmupt.algo.packing import PackItem, pack
from mmupt.algo.settings import AlgoSettings
from mmupt.models.forward import policy_logprobs
from mmupt.models.loading import LoadedModel

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("trl") is None, reason="TRL, the yardstick, is not installed (pip install mmupt[dev])"
)

TEMPERATURE = 0.7
MAX_NEW_TOKENS = 16
AGGREGATION = {"grpo": "sequence_mean", "dapo": "token_mean", "dr_grpo": "constant"}


def trl_inputs(
    tiny: LoadedModel, items: list[PackItem], old_T: Tensor, reference_T: Tensor, advantages_R: Tensor
) -> dict[str, Any]:
    """The dict that TRL's trainer hands to its own loss: prompts padded left, completions right, one row a rollout."""
    rows = [(item.encoded, list(c)) for item in items for c in item.completions]
    longest_prompt = max(p.length for p, _ in rows)
    longest = max(len(c) for _, c in rows)
    n = len(rows)
    prompt_ids = torch.zeros(n, longest_prompt, dtype=torch.long)
    prompt_mask = torch.zeros_like(prompt_ids)
    completion_ids = torch.zeros(n, longest, dtype=torch.long)
    completion_mask = torch.zeros_like(completion_ids)
    old, reference = torch.zeros(n, longest), torch.zeros(n, longest)
    at = 0
    for r, (prompt, completion) in enumerate(rows):
        prompt_ids[r, longest_prompt - prompt.length :] = prompt.token_ids
        prompt_mask[r, longest_prompt - prompt.length :] = 1
        completion_ids[r, : len(completion)] = torch.tensor(completion)
        completion_mask[r, : len(completion)] = 1
        old[r, : len(completion)] = old_T[at : at + len(completion)]
        reference[r, : len(completion)] = reference_T[at : at + len(completion)]
        at += len(completion)
    types = (torch.cat([prompt_ids, completion_ids], 1) == tiny.family.image_id).long()  # type: ignore[attr-defined]
    return {
        "prompt_ids": prompt_ids,
        "prompt_mask": prompt_mask,
        "completion_ids": completion_ids,
        "completion_mask": completion_mask,
        "old_per_token_logps": old,
        "ref_per_token_logps": reference,
        "advantages": advantages_R,
        "num_items_in_batch": torch.tensor(at),
        "mm_token_type_ids": types,
        "num_images": [len(p.pictures) for p, _ in rows],
        **{
            name: torch.cat([picture.tensors[name] for p, _ in rows for picture in p.pictures])
            for name in ("pixel_values", "image_grid_thw")
        },
    }


def trl_trainer(tiny: LoadedModel, folder: Path, loss_type: str, beta: float, kl_importance: bool) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    config = GRPOConfig(
        output_dir=str(folder),
        loss_type=loss_type,
        beta=beta,
        epsilon=0.2,
        epsilon_high=0.3,
        delta=3.0,
        temperature=TEMPERATURE,
        max_completion_length=MAX_NEW_TOKENS,
        per_device_train_batch_size=4,
        num_generations=4,
        steps_per_generation=1,
        use_bias_correction_kl=kl_importance,
        use_cpu=True,
        bf16=False,
        report_to=[],
    )
    trainer = GRPOTrainer(
        model=tiny.model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        train_dataset=Dataset.from_dict({"prompt": ["a", "b", "c", "d"]}),
        processing_class=tiny.family.tokenizer,
    )
    trainer.current_gradient_accumulation_steps = 1
    return trainer


@pytest.mark.parametrize(("beta", "kl_importance"), [(0.0, False), (0.01, False), (0.01, True)])
@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "dr_grpo"])
def test_loss_and_gradients_equal_trls(
    tiny: LoadedModel,
    random_items: Callable[[int], list[PackItem]],
    tmp_path: Path,
    loss_type: str,
    beta: float,
    kl_importance: bool,
) -> None:
    items = random_items(5)[:2]  # TRL's batch holds pictures in every row or in none
    batch = pack(items)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        now_T = policy_logprobs(tiny, batch, temperature=TEMPERATURE).logprobs_T
    old_T = now_T + 0.7 * torch.randn(now_T.shape, generator=rng)
    reference_T = now_T + 0.5 * torch.randn(now_T.shape, generator=rng)
    advantages_R = torch.randn(batch.num_rollouts, generator=rng)

    settings = AlgoSettings(kl_coef=beta, kl_importance=kl_importance, dual_clip=3.0)
    totals = Totals(tokens=len(now_T), rollouts=batch.num_rollouts, max_new_tokens=MAX_NEW_TOKENS)
    terms = grpo_loss(
        policy_logprobs(tiny, batch, temperature=TEMPERATURE).logprobs_T,
        old_T,
        advantages_R[batch.rollout_T],
        token_weights(AGGREGATION[loss_type], batch.rollout_T, batch.num_rollouts, totals),
        settings,
        reference_T=reference_T if beta else None,
    )
    terms.loss.backward()  # type: ignore[no-untyped-call]
    ours = {n: p.grad.clone() for n, p in tiny.model.named_parameters() if p.grad is not None}
    tiny.model.zero_grad()
    assert 0 < int(terms.clipped_tokens) < len(now_T), "clipping must be active, and not everywhere"

    trainer = trl_trainer(tiny, tmp_path, loss_type, beta, kl_importance)
    tiny.model.train()
    theirs = trainer._compute_loss(tiny.model, trl_inputs(tiny, items, old_T, reference_T, advantages_R))
    theirs.backward()

    assert abs(float(terms.loss.detach()) - float(theirs.detach())) < 1e-5
    difference = sum((ours[n] - p.grad).square().sum() for n, p in tiny.model.named_parameters() if n in ours)
    size = sum(g.square().sum() for g in ours.values())
    assert float((difference / size).sqrt()) < 1e-4  # fp32 through two different summation orders
