"""Of every family: a model that was built without weights and given them is the model that was read, and one with its
matrices in the forward's precision computes what the fp32 model does under autocast, bit for bit."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mmupt.algo.packing import pack
from mmupt.engines.base import Request, Sampling
from mmupt.engines.hf import HFEngine
from mmupt.models.forward import policy_logprobs
from mmupt.models.loading import read_model
from mmupt.models.settings import ModelSettings
from mmupt.models.shards import computing_dtypes, hang

CPU = torch.device("cpu")


def test_built_empty_and_filled_it_is_the_same_model(tiny_family: Any) -> None:
    settings = ModelSettings(path=str(tiny_family.folder))
    read = read_model(settings.path, settings, CPU)
    filled = read_model(settings.path, settings, CPU, empty=True)
    assert all(p.is_meta for p in filled.model.parameters()), "nothing was read"
    weights = dict(read.model.named_parameters())
    assert weights.keys() == dict(filled.model.named_parameters()).keys()
    hang(filled.model, lambda name, p: weights[name].detach())
    buffers = dict(read.model.named_buffers())
    assert buffers.keys() == dict(filled.model.named_buffers()).keys()
    for path, module in filled.model.named_modules():
        for name, _ in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffers[f"{path}.{name}".lstrip(".")])
    batch = pack(tiny_family.items(read, seed=0))
    expected, found = (policy_logprobs(x, batch, entropy=True) for x in (read, filled))
    assert torch.equal(expected.logprobs_T, found.logprobs_T)
    assert {n: p.requires_grad for n, p in read.model.named_parameters()} == {
        n: p.requires_grad for n, p in filled.model.named_parameters()
    }


@torch.no_grad()
def test_matrices_in_the_forwards_precision_change_nothing(tiny_family: Any) -> None:
    """Log-probs, entropies and sampled rollouts, with pictures."""
    fp32, cast = tiny_family.load(dtype="bfloat16"), tiny_family.load(dtype="bfloat16")
    dtypes = computing_dtypes(cast.model, cast.dtype)
    hang(cast.model, lambda name, p: p.to(dtypes[name]))
    whole = sum(p.numel() for p in cast.model.parameters())
    matrices = {p for m in cast.model.modules() if isinstance(m, nn.Linear) for p in m.parameters()}
    assert sum(p.numel() for p in cast.model.parameters() if p.dtype == torch.bfloat16) > 0.3 * whole
    assert any(p.dtype == torch.bfloat16 for p in matrices)

    items = tiny_family.items(fp32, seed=1)
    for entropy in (False, True):
        expected, found = (policy_logprobs(x, pack(items), entropy=entropy, certainty=entropy) for x in (fp32, cast))
        assert torch.equal(expected.logprobs_T, found.logprobs_T)
    assert torch.equal(expected.entropy_T, found.entropy_T)  # type: ignore[arg-type]
    requests = [Request(item.encoded, (3, 4)) for item in items]
    sampling = Sampling(1.0, 1.0, 8)
    assert HFEngine(fp32).generate(requests, sampling) == HFEngine(cast).generate(requests, sampling)
