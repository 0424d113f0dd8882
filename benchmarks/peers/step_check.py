"""Our gradients against the slow, obvious way: transformers' own model, each rollout forwarded alone, prompt, picture
and all, the loss written out. Called with a task as JSON; answers on standard output.

One prompt's group. Under a KL term the reference is the policy with noise on its weights: of two equal policies the
term has no gradient.
"""

from __future__ import annotations

import sys

import torch
from PIL import Image
from step_mmupt import load, sample, score, stage_of
from step_task import Task, answer
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmupt.models.start import StartModel
from mmupt.runtime.phases import PhaseClock
from mmupt.train.optimizer import build_optimizer
from mmupt.train.policy import Policy
from mmupt.train.update import ScoredGroup, update_policy

NOISE = 0.02  # of the reference's weights, relative to the spread of each tensor


def add_noise(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            spread = NOISE * parameter.std(correction=0)
            parameter += spread * torch.randn(parameter.shape, generator=generator)
    return model.requires_grad_(False).eval()


def plain_model(task: Task) -> nn.Module:
    return AutoModelForImageTextToText.from_pretrained(task.model, dtype=torch.float32, attn_implementation="sdpa")


class Naive:
    """A prompt with its picture, as transformers wants it."""

    def __init__(self, task: Task, prompt_ids: Tensor) -> None:
        processor = Qwen2VLImageProcessorPil.from_pretrained(task.model)
        picture = Image.open(task.questions()[0]["picture"]).convert("RGB")
        self.pixels = processor(images=[picture], return_tensors="pt")
        self.prompt_ids = prompt_ids

    def logprobs(self, model: nn.Module, completion: Tensor) -> Tensor:
        """f32[tokens of the completion]"""
        ids = torch.cat([self.prompt_ids, completion])[None]
        is_picture = (ids == model.config.image_token_id).int()
        logits = model(input_ids=ids, mm_token_type_ids=is_picture, use_cache=False, **self.pixels).logits
        logits = logits[0, len(self.prompt_ids) - 1 : -1]
        return logits.log_softmax(-1).gather(-1, completion[:, None])[:, 0]


def naive(task: Task, scored: ScoredGroup) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Gradients, and the log-probs of each rollout."""
    policy, reference = plain_model(task), add_noise(plain_model(task))
    rows = Naive(task, scored.group.encoded.token_ids)
    found = []
    for rollout, advantage in zip(scored.group.rollouts, scored.advantages_G, strict=True):
        completion = torch.tensor(rollout.token_ids)
        logprobs = rows.logprobs(policy, completion)
        loss = -advantage * torch.exp(logprobs - logprobs.detach())
        if task.beta:
            with torch.no_grad():
                theirs = rows.logprobs(reference, completion)
            loss = loss + task.beta * (torch.exp(theirs - logprobs) - (theirs - logprobs) - 1)
        (loss.sum() / scored.tokens).backward()
        found.append(logprobs.detach())
    return {n: p.grad for n, p in policy.named_parameters() if p.grad is not None}, found


def ours(task: Task) -> tuple[ScoredGroup, dict[str, Tensor], float]:
    """The group, the gradients as the optimiser sees them, and how far packed log-probs are from the sampled ones."""
    stage, loaded = stage_of(task), load(task)
    policy = Policy(loaded)
    unclipped = stage.optimizer.model_copy(update={"max_grad_norm": 1e9})
    stage = stage.model_copy(update={"optimizer": unclipped})
    scored = score(stage, sample(task, stage, loaded, 0)[:1])
    reference = StartModel(loaded, lambda: add_noise(load(task).model)) if task.beta else None
    optimizer = build_optimizer(policy.trained.values(), stage.optimizer)
    gradients: dict[str, Tensor] = {}

    def keep(*_: object) -> None:
        gradients.update({n: p.grad.clone() for n, p in loaded.model.named_parameters() if p.grad is not None})

    optimizer.register_step_pre_hook(keep)
    stats = update_policy(stage, policy, optimizer, scored, reference, [stage.optimizer.lr], PhaseClock())
    return scored[0], gradients, stats.means()["mismatch_max"]


def main() -> None:
    task = Task.from_argument(sys.argv[1])
    torch.set_num_threads(task.threads)
    scored, gradients, mismatch = ours(task)
    expected, logprobs = naive(task, scored)
    if gradients.keys() != expected.keys():
        raise SystemExit(f"parameters with a gradient differ: {sorted(gradients.keys() ^ expected.keys())}")
    largest = max(float(e.abs().max()) for e in expected.values())
    difference = max(float((gradients[n] - e).abs().max()) for n, e in expected.items())
    pairs = zip(scored.group.rollouts, logprobs, strict=True)
    engine = max(float((torch.tensor(rollout.logprobs) - row).abs().max()) for rollout, row in pairs)
    answer({"gradient": difference / largest, "engine_logprob": engine, "packed_logprob": mismatch})


if __name__ == "__main__":
    main()
