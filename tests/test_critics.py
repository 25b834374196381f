"""Critics that plugins may use."""

from __future__ import annotations

import torch

from rainkit.critics import ConditionalCritic


def test_the_conditional_critic_gives_one_logit_for_any_size() -> None:
    critic = ConditionalCritic()
    assert sum(p.numel() for p in critic.parameters()) == 2_761_025
    for size in ((16, 16), (33, 70)):
        pictures = torch.rand(2, 3, *size)
        assert critic(pictures, pictures).shape == (2, 1)


def test_it_looks_at_both_pictures() -> None:
    torch.manual_seed(0)
    critic = ConditionalCritic().eval()
    candidate, rainy, other = torch.rand(3, 1, 3, 32, 32)
    judged = critic(candidate, rainy)
    assert not torch.equal(judged, critic(other, rainy))
    assert not torch.equal(judged, critic(candidate, other))
