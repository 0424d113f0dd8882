"""Self-rewarding language models (arXiv 2401.10020): of the own answers, the one with the highest score against the one
with the lowest; none where they score alike."""

from __future__ import annotations

from mmupt.selftrain.heard import Heard
from mmupt.selftrain.prefer.base import Preference, Preferences, PreferRule, different, nothing


class BestOverWorst(PreferRule):
    """One pair a prompt, where the two scores differ by more than `margin`. Among equals the first stands for all."""

    name = "judge"

    def __init__(self, margin: float) -> None:
        self._margin = margin

    def prefer(self, heard: Heard) -> Preferences:
        assert heard.scores is not None, "the stage judges for this rule"
        scored = [(s, i) for i, s in enumerate(heard.scores) if s is not None and heard.whole(i)]
        if len(scored) < 2:
            return nothing("fewer than two answers with a score")
        best = max(scored, key=lambda pair: (pair[0], -pair[1]))
        worst = min(scored)
        if best[0] - worst[0] <= self._margin:
            return nothing("all score alike")
        chosen, rejected = (heard.responses[i].text.strip() for _, i in (best, worst))
        return different([Preference(chosen, rejected, {"best": best[0], "worst": worst[0]})])
