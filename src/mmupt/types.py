"""The carriers: what flows from a data set to a gradient, each a small frozen record.

Dimension suffixes: G rollouts of a group, P prompt tokens, L positions of a packed row, T completion tokens of a packed
row (all rollouts, end to end), R rollouts of a packed row.

Nothing here imports torch at run time, so that settings, answers and the command line stay light.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class ImageSource:
    """A picture not yet decoded: a file's path, or the bytes of an encoded picture (PNG, JPEG, ...).

    >>> ImageSource(path="images/33.png").label
    'images/33.png'
    """

    path: str | None = None
    data: bytes | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """How messages name the picture."""
        return self.path if self.path is not None else f"<{len(self.data or b'')} bytes in the row>"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question with its pictures. It has no field for an answer: a label-free stage cannot read what it is not given.

    `question` holds one `<image>` for each entry of `images`, where that picture stands in the text.

    >>> Prompt(id="world-7", question="<image>Add all dice.", images=(ImageSource(path="7.png"),)).choices is None
    True
    """

    id: str
    question: str
    images: tuple[ImageSource, ...] = ()
    choices: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class LabeledPrompt:
    """A prompt with what only `sft`, `rl` and evaluation may see.

    `solution` is a worked chain that ends in the answer (the target of SFT); `unit` belongs to the answer; `meta` is
    carried through to breakdowns and reports.
    """

    prompt: Prompt
    answer: str
    unit: str | None = None
    solution: str | None = None
    meta: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two responses to a prompt, of which `chosen` is to become likelier than `rejected`. Both are plain text as the
    model would write it, whole and without the token that ends a turn. `meta` is carried through.

    >>> PreferencePair(Prompt(id="q1", question="2+2?"), chosen="It is 4.", rejected="It is 5.").prompt.id
    'q1'
    """

    prompt: Prompt
    chosen: str
    rejected: str
    meta: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as the vision tower reads it. `key` names its content: two pictures of one key are the same picture,
    and are processed once where they meet. `tensors` are opaque to everybody but the family."""

    key: str
    tensors: Mapping[str, Tensor] = field(repr=False)


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A prompt as the model reads it, made by the model's family.

    `token_ids` i64[P] has every picture's placeholder already expanded; `positions_3P` i64[3, P] are the rotary
    positions (temporal, height, width; three equal rows for text-only families); a completion's token k stands at
    `next_position + k`. `pictures` are in the order in which their placeholders stand in the text. `blocks` are
    stretches (start, end) of the prompt whose tokens see each other both ways, as a picture's do in Gemma 3.
    """

    token_ids: Tensor
    positions_3P: Tensor
    next_position: int
    pictures: tuple[Picture, ...] = ()
    blocks: tuple[tuple[int, int], ...] = ()

    @property
    def length(self) -> int:
        """P, the number of prompt tokens."""
        return int(self.token_ids.shape[0])


StopReason = Literal["end", "length"]
Role = Literal["answer", "view", "verification"]
"""What a group's rollouts do: answer the question; answer it on another view of its picture; check an answer to it."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled response. `token_ids` includes the end token when `stop` is "end"; `logprobs` has one entry a token:
    log-probability under the sampling policy at the sampling temperature, before top-p and before banned ids."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    stop: StopReason


@dataclass(frozen=True, slots=True)
class RolloutGroup:
    """The G rollouts of one prompt, which travel together from sampling to the gradient.

    `visit` counts how often the prompt has come up in this stage (0 the first time); `policy_version` counts the
    optimiser steps the sampling policy had seen. A group whose `role` is not "answer" was sampled by a reward beside
    the group of the same visit that is; where its prompt is another one, `about` is the id of that group's prompt.
    """

    prompt: Prompt
    encoded: EncodedPrompt
    rollouts: tuple[Rollout, ...]
    visit: int = 0
    policy_version: int = 0
    role: Role = "answer"
    about: str | None = None

    @property
    def size(self) -> int:
        """G."""
        return len(self.rollouts)

    @property
    def belongs_to(self) -> str:
        """The id of the prompt that all this is about: with the visit, it joins a group and its companions."""
        return self.prompt.id if self.about is None else self.about


@dataclass(frozen=True, slots=True)
class Cluster:
    """Equivalent answers of a group: `answer` is the form to show, `members` the indices of rollouts that gave it."""

    answer: str
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Vote:
    """The outcome of a group's vote.

    `clusters` are sorted by size, largest first, then by first member. `majority` is the index of the winning cluster,
    or None where nobody could be read, the vote is tied under a policy without a winner, or the quorum was missed.
    Shares are of the whole group of size G, so that unreadable answers count against everybody.

    Five answers "3", "3.0", None, "4", "3" -> clusters ("3": 0, 1, 4), ("4": 3); majority 0; share 0.6.
    """

    size: int
    answers: tuple[str | None, ...]
    clusters: tuple[Cluster, ...]
    majority: int | None
    tie: bool

    @property
    def winner(self) -> Cluster | None:
        return None if self.majority is None else self.clusters[self.majority]

    @property
    def share(self) -> float:
        """Share of the largest cluster among all G rollouts, 0.0 where no answer could be read."""
        return len(self.clusters[0].members) / self.size if self.clusters else 0.0

    @property
    def num_answers(self) -> int:
        """How many of the G rollouts gave an answer that could be read."""
        return sum(len(c.members) for c in self.clusters)


@dataclass(frozen=True, slots=True)
class GroupScore:
    """What a group earned: `rewards` has one finite number a rollout; `components` names parts of it for metrics.

    `advantages` stand here where the reward has normalised its parts itself. `set_aside` says, in a word or two, why
    nothing should be learned from this group at all.
    """

    rewards: tuple[float, ...]
    vote: Vote
    components: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    advantages: tuple[float, ...] | None = None
    set_aside: str | None = None


@dataclass(frozen=True, slots=True)
class GroupSpan:
    """Where a group lies in a packed row: `prompt` positions from `start` on, then its completions end to end. `blocks`
    are the prompt's stretches whose tokens see each other both ways, counted from the prompt's beginning.

    GroupSpan(start=100, prompt=20, completions=(5, 7)) is a prompt at 100..119, completions at 120..124 and 125..131.
    """

    start: int
    prompt: int
    completions: tuple[int, ...]
    blocks: tuple[tuple[int, int], ...] = ()

    @property
    def first_completion(self) -> int:
        """The position behind the prompt."""
        return self.start + self.prompt

    @property
    def end(self) -> int:
        """The position behind the group."""
        return self.first_completion + sum(self.completions)

    @property
    def longest(self) -> int:
        """Tokens of the prompt with its longest completion: as far as anybody in the group can look back."""
        return self.prompt + max(self.completions, default=0)


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Whole groups in one row without padding, `[prompt | completion 1 | ... | completion G | prompt | ...]`: each
    prompt and its pictures once.

    input_ids_L         i64[L]
    positions_3L        i64[3, L]     restart behind the prompt for each completion
    spans               the groups, one behind the other, which together cover the row
    predictor_T         i64[T]        the position whose hidden state predicts the token
    target_T            i64[T]        the completion token
    rollout_T           i64[T]        which of the R rollouts the token belongs to, from 0
    pictures            those of all groups in row order; one that several groups share stands there several times

    A completion's first token is predicted by the last position of the prompt, which its siblings share.
    """

    input_ids_L: Tensor
    positions_3L: Tensor
    spans: tuple[GroupSpan, ...]
    predictor_T: Tensor
    target_T: Tensor
    rollout_T: Tensor
    num_rollouts: int
    pictures: tuple[Picture, ...]
