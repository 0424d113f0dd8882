"""What the numbers of a run mean, in plain words. Every sentence rests on a threshold that stands here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from mmupt.report.comparison import paired_change, verdict
from mmupt.report.guard import Story, step_name, what_it_did, what_it_watched
from mmupt.report.reading import RunData, Stage, number

Level = Literal["bad", "watch", "good", "info"]

FEW_READABLE = 0.2  # below this share of readable answers next to nothing can be learned
MANY_UNREADABLE = 0.3
MANY_TRUNCATED = 0.2
MANY_FLAT = 0.7  # share of groups in which all rewards are equal
UNANIMOUS = 0.95  # mean majority share, together with next to no semantic entropy
ONE_ANSWER = 0.5  # share of one and the same answer among all votes of a step ...
ONE_ANSWER_RISE = 0.25  # ... when it was this much smaller in the first step
REWARD_RISE = 0.05
LENGTH_FACTOR = 2.0


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to know; `text` is plain text that may hold names from the recipe."""

    level: Level
    title: str
    text: str


def what_to_know(run: RunData) -> list[Note]:
    """The gravest first; one reassuring note where there is nothing to say."""
    notes = [*_stopped(run), *(note for stage in run.stages for note in _of_training(stage))]
    notes += [*_of_results(run)]
    if run.stages and not any(note.level in ("bad", "watch") for note in notes):
        text = "Answers could be read, votes were neither split beyond use nor unanimous, and nothing got worse."
        notes.append(Note("good", "No warning signs", text))
    return sorted(notes, key=lambda note: ("bad", "watch", "good", "info").index(note.level))


def _stopped(run: RunData) -> Iterator[Note]:
    if run.unfinished:
        text = f"Not done yet: {'; '.join(run.unfinished)}. It goes on from its last checkpoint when it is resumed."
        yield Note("watch", "The run is not finished", text)


def _of_training(stage: Stage) -> Iterator[Note]:
    yield from _not_finite(stage)
    if stage.kind not in ("rl", "upt"):
        return
    story = Story.of(stage)
    yield from _guarded(stage, story)
    yield from _unreadable(stage)
    truncated, flat = _mean(stage, "truncated"), _mean(stage, "zero_signal_groups")
    if truncated is not None and truncated >= MANY_TRUNCATED:
        limit = stage.settings.get("rollout", {}).get("max_new_tokens")
        text = f"{truncated:.0%} of the responses were cut off before they ended, and what comes last is the answer. "
        text += f"Raise rollout.max_new_tokens{f' (now {limit})' if limit else ''}."
        yield Note("watch", f"{stage.name}: many responses were cut off", text)
    if flat is not None and flat >= MANY_FLAT:
        text = f"In {flat:.0%} of the groups all rewards were equal, and such a group teaches nothing. "
        text += "The questions are too easy or too hard for this model, or the temperature is too low."
        yield Note("watch", f"{stage.name}: most groups carry no signal", text)
    told = {event.signal for event in story.events} if story is not None else set()
    if stage.kind == "upt":
        yield from _agreement(stage, story)
    before, after = _ends(stage, "length")
    if not told & {"longer", "shorter"} and before and after and not 1 / LENGTH_FACTOR < after / before < LENGTH_FACTOR:
        text = f"The mean length went from {before:.0f} to {after:.0f} tokens. Read some responses below."
        change = "longer" if after > before else "shorter"
        yield Note("watch", f"{stage.name}: responses became much {change}", text)


def _guarded(stage: Stage, story: Story | None) -> Iterator[Note]:
    """What the guard saw and did, in its own words: it compares with the run's own start, and acts on it."""
    name = stage.name
    if story is None:
        if stage.kind == "upt" and stage.settings.get("guard", {}).get("enabled") is False:
            yield Note("info", f"{name}: no guard", "It was switched off ([stages.guard] enabled = false).")
        return
    event = story.decisive
    if event is None:
        text = f"It {what_it_did(story)}. {what_it_watched(story)}"
        yield Note("good", f"{name}: nothing for the guard to do", text)
        return
    level: Level
    if story.shut:
        level, title = "bad", "the guard did not let training begin"
    elif "stop" in event.done:
        level, title = ("bad" if story.handed_on is None else "watch"), f"the guard stopped it in step {event.step}"
    elif "rollback" in event.done:
        level, title = "watch", "the guard went back to an earlier model"
    elif event.done == ("warn",):
        level, title = ("info" if story.only_told else "watch"), "the guard has warned"
    else:
        level, title = "watch", "the guard has intervened"
    text = f"{event.text[:1].upper()}{event.text[1:]}."
    if story.handed_on is not None:
        text += f" The model handed on is that of {step_name(story.handed_on)}."
    yield Note(level, f"{name}: {title}", text)


def _not_finite(stage: Stage) -> Iterator[Note]:
    for key in ("loss", "grad_norm", "kl"):
        steps = [step for step, value in stage.series(key) if not math.isfinite(value)]
        if steps:
            text = f"{key} was not a finite number in {len(steps)} of {len(stage.records)} steps, "
            text += f"first in step {steps[0]:.0f}. Lower optimizer.lr, or train in float32."
            yield Note("bad", f"{stage.name}: {key} is not finite", text)


def _unreadable(stage: Stage) -> Iterator[Note]:
    share = _mean(stage, "unreadable")
    if share is None or share <= MANY_UNREADABLE:
        return
    held = f"{share:.0%} of the responses"
    if stage.tally is not None:
        held = f"{stage.tally.unreadable:,} of {stage.tally.responses:,} responses"
    mode = str(stage.settings.get("answers", {}).get("extract", "boxed"))
    form = {"boxed": r"\boxed{...} that could be read", "lenient": "answer that could be read"}.get(
        mode, f"<{mode.removeprefix('tag:')}> that could be read"
    )
    if 1 - share < FEW_READABLE:
        text = f"{held} held no {form}, so {'nothing' if share > 0.99 else 'next to nothing'} could be learned; "
        text += "accuracy near zero is expected. Let an sft stage teach the form first, ask for it in prompt.suffix, "
        text += "or set answers.extract to what the model writes."
        yield Note("bad", f"{stage.name}: almost no answer could be read", text)
    else:
        text = f"{held} held no {form}. They do not vote and earn nothing."
        yield Note("watch", f"{stage.name}: many answers could not be read", text)


def _agreement(stage: Stage, story: Story | None) -> Iterator[Note]:
    """Signs that the model agrees with itself whatever is asked; see arXiv 2505.21444 on how such rewards collapse.
    A guard that has spoken knows better, for it has measured what here is guessed."""
    if story is not None and story.decisive is not None:
        return
    (_, share), (_, entropy) = _ends(stage, "share"), _ends(stage, "semantic_entropy")
    if share is not None and entropy is not None and share >= UNANIMOUS and entropy < 0.1:
        text = (
            f"In the last steps {share:.0%} of each group gave the same answer. The vote's reward is then high whether "
        )
        text += "or not the answers are right, and there is little left to learn from it."
        yield Note("watch", f"{stage.name}: votes have become unanimous", text)
    tally = stage.tally
    if story is not None or tally is None or tally.first_top is None or tally.last_top is None:
        return
    if tally.last_top >= ONE_ANSWER and tally.last_top - tally.first_top >= ONE_ANSWER_RISE:
        text = f"One and the same answer won {tally.last_top:.0%} of the votes in the last step, {tally.first_top:.0%} "
        text += "in the first. That is how a collapse begins: stop earlier or lower optimizer.lr."
        yield Note("bad", f"{stage.name}: one answer is taking over", text)


def _of_results(run: RunData) -> Iterator[Note]:
    stages = {stage.name: stage for stage in run.stages}
    for results in run.results_by_set().values():
        for index, row in enumerate(results):
            unreadable = number(row.get("unreadable"))
            if unreadable is None or 1 - unreadable >= FEW_READABLE:
                continue
            text = f"{unreadable:.0%} of its answers could not be read and count as wrong."
            if index == 0 and len(results) > 1:
                yield Note("info", f"{row.get('name')}: does not yet answer in the form asked for", text)
            else:
                yield Note("bad", f"{row.get('name')}: the measurement reads almost no answer", text)
        for before, after in pairwise(results):
            yield from _change(run, before, after, stages.get(str(after.get("stage", after.get("name")))))


def _change(run: RunData, before: dict[str, Any], after: dict[str, Any], stage: Stage | None) -> Iterator[Note]:
    name, key = after.get("name"), f"mean@{after.get('k')}"
    old, new = number(before.get(key)), number(after.get(key))
    if old is None or new is None:
        return
    judged, change = verdict(run, before, after, key), paired_change(run, before, after)
    text = f"Mean accuracy went from {100 * old:.1f} % to {100 * new:.1f} %"
    if change is not None:
        text += f", question by question by {100 * change.value:+.1f} points (95 % interval {100 * change.low:+.1f} to "
        text += f"{100 * change.high:+.1f})"
    if judged > 0:
        yield Note("good", f"{name}: better than before", f"{text}.")
    elif judged < 0:
        text += ". Chance is an unlikely reason; go back to the checkpoint before, or lower optimizer.lr."
        yield Note("bad", f"{name}: worse than before", text)
    else:
        text += ". That may be chance; more questions in [evaluation] would tell."
        yield Note("info", f"{name}: no clear change", text)
    first, last = _ends(stage, "reward") if stage is not None and _is_of_last_steps(stage) else (None, None)
    if first is not None and last is not None and last - first >= REWARD_RISE and new <= old:
        text = f"The reward rose from {first:.2f} to {last:.2f} while accuracy did not: "
        text += "without labels the reward measures agreement, not truth."
        yield Note("watch", f"{name}: more agreement, no more accuracy", text)
    if verdict(run, before, after, f"pass@{after.get('k')}") < 0:
        text = "Fewer questions have at least one right answer among the samples: the model has become narrower."
        yield Note("watch", f"{name}: less variety", text)


def _is_of_last_steps(stage: Stage) -> bool:
    """Whether an upt stage handed on the model that its last steps made, and not one the guard went back to."""
    story = Story.of(stage)
    return stage.kind == "upt" and (story is None or story.handed_on is None)


def _mean(stage: Stage, key: str) -> float | None:
    values = [value for _, value in stage.series(key) if math.isfinite(value)]
    return sum(values) / len(values) if values else None


def _ends(stage: Stage, key: str) -> tuple[float | None, float | None]:
    """Means over the first and over the last tenth of the steps, (None, None) below two steps."""
    values = [value for _, value in stage.series(key) if math.isfinite(value)]
    if len(values) < 2:
        return None, None
    tenth = max(1, len(values) // 10)
    return sum(values[:tenth]) / tenth, sum(values[-tenth:]) / tenth
