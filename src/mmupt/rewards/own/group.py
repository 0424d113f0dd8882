"""What a reward function of a user's is handed: one group, without a place for a label."""

from __future__ import annotations

from dataclasses import dataclass

from mmupt.types import Prompt, RolloutGroup, Vote


@dataclass(frozen=True, slots=True)
class SampledGroup:
    r"""The G responses to one prompt. Everything is in the order of the responses.

    `answers` has None where none could be read; `vote` is the group's vote under the stage's settings; `lengths` are
    tokens; `cut_off` says which responses ended at the length limit; `logprobs` are those of the sampled tokens.

        prompt      Prompt(id="q7", question="<image>How many?", images=(...,), choices=None)
        responses   (r"... \boxed{3}", r"... \boxed{3.0}", "I do not know.")
        answers     ("3", "3.0", None)
        vote        clusters ("3": 0, 1), share 2/3
    """

    prompt: Prompt
    responses: tuple[str, ...]
    answers: tuple[str | None, ...]
    vote: Vote
    lengths: tuple[int, ...]
    cut_off: tuple[bool, ...]
    logprobs: tuple[tuple[float, ...], ...]

    @property
    def size(self) -> int:
        """G."""
        return len(self.responses)

    @staticmethod
    def of(group: RolloutGroup, vote: Vote) -> SampledGroup:
        rollouts = group.rollouts
        return SampledGroup(
            prompt=group.prompt,
            responses=tuple(rollout.text for rollout in rollouts),
            answers=vote.answers,
            vote=vote,
            lengths=tuple(len(rollout.token_ids) for rollout in rollouts),
            cut_off=tuple(rollout.stop == "length" for rollout in rollouts),
            logprobs=tuple(rollout.logprobs for rollout in rollouts),
        )
