"""Drawing tokens, against the plain inverse-transform formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mmupt.engines.base import Sampling
from mmupt.engines.sampling import draw, uniform_streams

NOBODY = torch.empty(0, dtype=torch.long)


def plain(logits: Tensor, uniform: float, banned: Tensor, temperature: float, top_p: float) -> int:
    """One row: sort, cut, add up in float64, look where u falls; ids keep their order where nothing is cut."""
    logits = logits.double() / temperature
    logits[banned] = -torch.inf
    mass = logits.softmax(-1)
    ids = torch.arange(len(mass))
    if top_p < 1:
        mass, ids = mass.sort(descending=True, stable=True)
        mass = torch.where(mass.cumsum(-1) - mass < top_p, mass, 0.0)
    above = mass.cumsum(-1) > uniform * mass.sum()
    return int(ids[above.nonzero()[0, 0]])


@pytest.mark.parametrize("vocabulary", [7, 256, 257, 1000, 5000])
@pytest.mark.parametrize("top_p", [1.0, 0.9])
@pytest.mark.parametrize("spread", [0.1, 4.0])
def test_draws_are_the_plain_formulas(vocabulary: int, top_p: float, spread: float) -> None:
    """Small vocabularies and large ones, sharp distributions and flat ones (whose set exceeds the candidates)."""
    generator = torch.Generator().manual_seed(vocabulary)
    logits = torch.randn(40, vocabulary, generator=generator) * spread
    uniform = uniform_streams(range(40), 1)[:, 0]
    banned = torch.tensor([0, 3, vocabulary - 1])
    token, logprob = draw(logits, uniform, banned, Sampling(0.7, top_p, 1))
    expected = [plain(row, float(u), banned, 0.7, top_p) for row, u in zip(logits, uniform, strict=True)]
    assert token.tolist() == expected
    torch.testing.assert_close(logprob, (logits / 0.7).log_softmax(-1).gather(-1, token[:, None])[:, 0])


def test_equal_masses_are_drawn_by_id() -> None:
    """Candidates that tie with ids left out of them: the whole vocabulary decides."""
    logits = torch.zeros(8, 4000)
    uniform = torch.linspace(0.0, 0.99, 8, dtype=torch.float64)
    token, _ = draw(logits, uniform, NOBODY, Sampling(1.0, 0.2, 1))
    assert token.tolist() == [int(u * 800) for u in uniform]


def test_draws_follow_the_distribution() -> None:
    """Frequencies against probabilities, with a banned id and top-p, over 20,000 draws."""
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 3.0])
    uniform = uniform_streams(range(20_000), 1)[:, 0]
    sampling = Sampling(temperature=0.5, top_p=0.99, max_new_tokens=1)
    token, logprob = draw(logits.expand(20_000, -1), uniform, torch.tensor([4]), sampling)
    p = (logits / 0.5).softmax(-1)
    kept = torch.tensor([p[0], p[1], p[2], 0.0, 0.0])  # 0, 1, 2 carry 0.997 of the allowed mass; 0, 1 only 0.980
    frequency = torch.bincount(token, minlength=5) / 20_000
    assert (frequency - kept / kept.sum()).abs().max() < 0.01
    torch.testing.assert_close(logprob, p.log()[token])


@pytest.mark.parametrize("vocabulary", [4, 1000])
@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_a_uniform_next_to_one_still_draws_a_token_with_mass(vocabulary: int, top_p: float) -> None:
    logits = torch.full((1, vocabulary), -torch.inf)
    logits[0, :2] = 0.0
    token, _ = draw(logits, torch.tensor([np.nextafter(1.0, 0.0)]), NOBODY, Sampling(1.0, top_p, 1))
    assert int(token) == 1


def test_a_banned_id_may_hold_nearly_all_mass() -> None:
    logits = torch.tensor([[200.0, 1.0, 0.0]])
    token, logprob = draw(logits, torch.tensor([0.5], dtype=torch.float64), torch.tensor([0]), Sampling(1.0, 1.0, 1))
    assert int(token) == 1
    torch.testing.assert_close(logprob, torch.tensor([-199.0]))


def test_the_callers_logits_stay_as_they_are() -> None:
    logits = torch.randn(3, 9)
    before = logits.clone()
    draw(logits, torch.full((3,), 0.5, dtype=torch.float64), torch.tensor([2]), Sampling(1.0, 1.0, 1))
    assert torch.equal(logits, before)
