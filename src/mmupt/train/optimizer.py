"""AdamW, its learning rate as a function of the step, and the one place where weights change."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from mmupt.errors import TrainingError
from mmupt.models.sharding import whole
from mmupt.runtime.processes import agreed
from mmupt.train.settings import OptimizerSettings


def build_optimizer(parameters: Iterable[nn.Parameter], settings: OptimizerSettings) -> torch.optim.AdamW:
    """AdamW over `parameters`, weight decay on all of them as in the authors' code."""
    return torch.optim.AdamW(
        parameters,
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def learning_rate(settings: OptimizerSettings, update: int, total: int) -> float:
    """The rate of update `update` (from 0) of `total`: a linear warm-up, then the schedule down to
    `final_lr_fraction` of the peak."""
    if update < settings.warmup_steps:
        return settings.lr * (update + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.lr
    done = (update - settings.warmup_steps) / max(1, total - settings.warmup_steps)
    left = 1.0 - done if settings.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return settings.lr * (settings.final_lr_fraction + (1.0 - settings.final_lr_fraction) * left)


def apply_gradients(
    optimizer: torch.optim.AdamW, settings: OptimizerSettings, lr: float, loss: float, blame: Iterable[str]
) -> float:
    """Clip, step, clear; returns the gradient norm before clipping. Where parameters are sharded, the norm is that of
    the whole gradient, and the call is collective.

    A parameter without a gradient gets one of zeros: an update in which nothing was forwarded (all advantages zero)
    still decays momentum and weights as AdamW does. TrainingError, before any weight is touched, where loss or
    gradient is not finite; `blame` names the prompts in this update, and is not read otherwise.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    norm = float(whole(torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)))
    if not (math.isfinite(loss) and math.isfinite(norm)):
        optimizer.zero_grad(set_to_none=True)
        ids = ", ".join(list(blame)[:8])
        stopped = TrainingError(
            f"loss {loss} with gradient norm {norm}: no step was taken and the last checkpoint stands. Prompts in this "
            f"update: {ids}. Lower optimizer.lr, or leave out a prompt that breaks the model, then resume"
        )
        raise agreed(stopped)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm
