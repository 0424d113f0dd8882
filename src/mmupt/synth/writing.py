"""Questions about some pictures: asked for, read, filtered by their words, and then by the model's answers to them.

    pictures -> prompts that ask -> responses -> questions -> votes -> what is kept

Every step goes through all pictures of a part at once, so that the engine always has a full batch. Which other pictures
share the part changes nothing but, by float error, what is sampled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from mmupt.answers.equivalence import grade
from mmupt.data.columns import PLACEHOLDER
from mmupt.engines.base import Engine, Request, Sampling
from mmupt.errors import DataError
from mmupt.models.encoding import PromptEncoder, PromptTooLong
from mmupt.questions.reading import read_question
from mmupt.rewards.judging import unadorned
from mmupt.runtime.seeds import derive_seed
from mmupt.synth.answering import Answering
from mmupt.synth.candidates import Candidate, Written
from mmupt.synth.filters import answered_blind, judge_text, judge_vote
from mmupt.synth.settings import SynthStage
from mmupt.synth.subjects import Ask, Subject, asks
from mmupt.types import EncodedPrompt, Prompt, Vote


def question_of(subject: Subject, candidate: Candidate) -> Prompt:
    """The new question as a prompt, the subject's pictures in front."""
    return Prompt(candidate.id, PLACEHOLDER * len(subject.images) + (candidate.question or ""), subject.images)


@dataclass(frozen=True, slots=True)
class Writer:
    """`labels` are gold answers by prompt id, for `answer_from` "gold" alone."""

    stage: SynthStage
    encoder: PromptEncoder = field(repr=False)
    engine: Engine = field(repr=False)
    seed: int
    labels: Mapping[str, str] | None = field(default=None, repr=False)

    def write(self, subjects: Sequence[Subject]) -> list[Written]:
        """What was written about each subject, in order. Raises DataError for a picture or prompt that cannot be put to
        the model where `data.bad_rows` or `prompt.too_long` does not let it be passed over."""
        answers, silent = self._answers(subjects)
        asked, passed_over = self._encoded([ask for subject in subjects for ask in asks(subject, self.stage, answers)])
        responses: dict[str, list[Candidate]] = defaultdict(list)
        for candidate in self._sampled(asked):
            responses[candidate.source].append(candidate)
        passed_over.update(silent)
        written = []
        for subject in subjects:
            mine = [candidate for source in self._sources(subject) for candidate in responses[source]]
            why = {source: passed_over[source] for source in self._sources(subject) if source in passed_over}
            written.append(Written(subject, tuple(self._read(subject, mine)), why))
        return [self._limited(each) for each in self._voted(written)]

    def _sources(self, subject: Subject) -> list[str]:
        return [subject.id] if self.stage.mode == "direct" else [prompt.id for prompt in subject.questions]

    def _answers(self, subjects: Sequence[Subject]) -> tuple[dict[str, str], dict[str, str]]:
        """The answers to show, by prompt id, and why some questions have none."""
        if not self.stage.shows_answers:
            return {}, {}
        prompts = [prompt for subject in subjects for prompt in subject.questions]
        if self.labels is not None:
            return {prompt.id: self.labels[prompt.id] for prompt in prompts}, {}
        votes = self._answering.votes(prompts, "synth original")
        answers: dict[str, str] = {}
        silent: dict[str, str] = {}
        for prompt, vote in zip(prompts, votes, strict=True):
            if isinstance(vote, DataError):
                silent[prompt.id] = self._may_be_passed_over(vote)
            elif vote.winner is None:
                silent[prompt.id] = "the model has no majority answer to the original question"
            else:
                answers[prompt.id] = vote.winner.answer
        return answers, silent

    def _encoded(self, found: Sequence[Ask]) -> tuple[list[tuple[Ask, EncodedPrompt]], dict[str, str]]:
        encoder = unadorned(self.encoder)
        encoded: list[tuple[Ask, EncodedPrompt]] = []
        passed_over: dict[str, str] = {}
        for ask in found:
            try:
                encoded.append((ask, encoder(ask.prompt)))
            except DataError as error:
                passed_over[ask.source] = self._may_be_passed_over(error)
        return encoded, passed_over

    def _may_be_passed_over(self, error: DataError) -> str:
        rule = self.stage.prompt.too_long if isinstance(error, PromptTooLong) else self.stage.data.bad_rows
        if rule == "stop":
            raise error
        return str(error)

    def _sampled(self, asked: Sequence[tuple[Ask, EncodedPrompt]]) -> list[Candidate]:
        """Seeds derive from (run seed, source id, index)."""
        if not asked:
            return []
        seeds = [
            tuple(derive_seed(self.seed, "synth", ask.source, i) for i in range(self.stage.candidates))
            for ask, _ in asked
        ]
        how = self.stage.writing
        rollouts = self.engine.generate(
            [Request(encoded, own) for (_, encoded), own in zip(asked, seeds, strict=True)],
            Sampling(how.temperature, how.top_p, how.max_new_tokens),
        )
        return [
            Candidate(f"{ask.source}#{i}", ask.source, seed, rollout.text, rollout.stop, given=ask.given)
            for (ask, _), own, group in zip(asked, seeds, rollouts, strict=True)
            for i, (seed, rollout) in enumerate(zip(own, group, strict=True))
        ]

    def _read(self, subject: Subject, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Judged by their words; each is compared with those before it that have passed."""
        originals = [prompt.question.replace(PLACEHOLDER, " ").strip() for prompt in subject.questions]
        earlier: list[str] = []
        judged = []
        for candidate in candidates:
            read = read_question(candidate.response, cut_off=candidate.stop == "length")
            if read.text is None:
                judged.append(replace(candidate, dropped="unparsable", detail=read.reason or ""))
                continue
            verdict = judge_text(read.text, originals, earlier, self.stage.filters)
            if verdict is None:
                earlier.append(read.text)
                judged.append(replace(candidate, question=read.text))
            else:
                judged.append(replace(candidate, question=read.text, dropped=verdict[0], detail=verdict[1]))
        return judged

    def _voted(self, written: Sequence[Written]) -> list[Written]:
        """Judged by the answers to them."""
        open_ones = [(w.subject, candidate) for w in written for candidate in w.kept]
        prompts = [question_of(subject, candidate) for subject, candidate in open_ones]
        votes = self._answering.votes(prompts, "synth answer")
        judged = {c.id: self._judged(c, vote) for (_, c), vote in zip(open_ones, votes, strict=True)}
        looked = [
            (prompt, judged[prompt.id])
            for prompt in prompts
            if judged[prompt.id].dropped is None and prompt.images and self.stage.filters.reference == "blind"
        ]
        judged.update({c.id: c for c in self._without_pictures(looked)})
        return [replace(w, candidates=tuple(judged.get(c.id, c) for c in w.candidates)) for w in written]

    def _judged(self, candidate: Candidate, vote: Vote | DataError) -> Candidate:
        if isinstance(vote, DataError):
            reason: Literal["too_long", "unparsable"] = "too_long" if isinstance(vote, PromptTooLong) else "unparsable"
            return replace(candidate, dropped=reason, detail=str(vote))
        majority = vote.winner.answer if vote.winner is not None else None
        heard = replace(candidate, answers=vote.answers, majority=majority, share=vote.share)
        verdict = judge_vote(vote, self.stage.filters)
        return heard if verdict is None else replace(heard, dropped=verdict[0], detail=verdict[1])

    def _without_pictures(self, looked: Sequence[tuple[Prompt, Candidate]]) -> list[Candidate]:
        """The same questions again, their pictures taken away."""
        bare = [replace(prompt, question=prompt.question.replace(PLACEHOLDER, ""), images=()) for prompt, _ in looked]
        heard = []
        for (_, candidate), vote in zip(looked, self._answering.votes(bare, "synth blind"), strict=True):
            if isinstance(vote, DataError):  # what is answered with its picture can be asked without: it is shorter
                raise vote
            settings, label = self.stage.answers, candidate.majority or ""
            same = sum(a is not None and grade(a, label, tolerance=settings.tolerance) for a in vote.answers)
            found = replace(candidate, blind=same / vote.size)
            detail = answered_blind(found.blind, self.stage.filters)
            heard.append(found if detail is None else replace(found, dropped="no_reference", detail=detail))
        return heard

    def _limited(self, written: Written) -> Written:
        """No more than `keep` of a subject."""
        if not self.stage.keep:
            return written
        surplus = {candidate.id for candidate in written.kept[self.stage.keep :]}
        return replace(
            written,
            candidates=tuple(replace(c, dropped="enough") if c.id in surplus else c for c in written.candidates),
        )

    @property
    def _answering(self) -> Answering:
        return Answering(self.encoder, self.engine, self.stage, self.seed)
