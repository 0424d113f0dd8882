"""The optimiser's state in a checkpoint that several processes write: each its own part, through
`torch.distributed.checkpoint`, which puts the parts together again for any number of processes.

The parts are safetensors files (`HuggingFaceStorageWriter`): torch's own format has a pickle in it. AdamW's step
counts, one a parameter, lie beside them as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from mmupt.errors import ConfigError, RunFolderError
from mmupt.runtime.files import refusal, write_json

SHARDS = "optimizer"
"""The folder's name in a checkpoint."""
_MOMENTS = ("exp_avg", "exp_avg_sq")
_STEPS = "steps.json"


def write_shards(
    folder: Path, trained: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, *, main: bool
) -> None:
    """What this process holds of AdamW's state for the parameters `trained`, by their names. Collective.
    Raises OSError where the disk of one process refuses."""
    writer = _io("HuggingFaceStorageWriter")
    state: dict[str, Tensor] = {}
    steps: dict[str, float] = {}
    for name, parameter in trained.items():
        moments = optimizer.state.get(parameter, {})
        if moments:
            state |= {f"{name}.{moment}": moments[moment] for moment in _MOMENTS}
            steps[name] = float(moments["step"])
    folder.mkdir(exist_ok=True)  # whoever comes first
    if state:
        try:
            save(state, storage_writer=writer(str(folder), save_distributed=True))
        except CheckpointException as error:  # no Exception of Python's; all processes raise it
            rank, (cause, _) = min(error.failures.items())
            raise OSError(f"rank {rank}: {(isinstance(cause, Exception) and refusal(cause)) or cause}") from error
    if main:
        write_json(folder / _STEPS, steps)


def read_shards(folder: Path, trained: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The same as a state dict of `optimizer`, whose parameters are `trained` in this order: the parts of it that this
    process holds, which is all of it where they are not sharded. Collective. Raises RunFolderError where parts are
    missing or damaged."""
    reader = _io("HuggingFaceStorageReader")
    try:
        steps: dict[str, float] = json.loads((folder / _STEPS).read_text(encoding="utf-8"))
        state: dict[str, Tensor] = {
            f"{name}.{moment}": torch.zeros_like(trained[name].detach()) for name in steps for moment in _MOMENTS
        }
        if state:
            load(state, storage_reader=reader(str(folder)))
    except (OSError, ValueError, KeyError, RuntimeError, CheckpointException) as error:
        raise RunFolderError(
            f"{folder}: the optimiser's state cannot be read ({error}); go on from an older checkpoint"
        ) from error
    names = list(trained)
    return {
        **optimizer.state_dict(),
        "state": {
            names.index(name): {
                "step": torch.tensor(step),
                **{moment: state[f"{name}.{moment}"] for moment in _MOMENTS},
            }
            for name, step in steps.items()
        },
    }


def _io(name: str) -> Any:
    try:
        return getattr(dcp, name)
    except AttributeError:
        raise ConfigError(
            f"torch {torch.__version__} cannot write the checkpoints of several processes; install torch 2.13"
        ) from None
