"""`mmupt probe`: before a label-free run, whether it is likely to help, by how much, and on which prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmupt.cli.recipe_argument import RecipeArgument
from mmupt.cli.running import Sets
from mmupt.cli.terminal import say

if TYPE_CHECKING:
    from mmupt.guard.probe.estimate import Predicted
    from mmupt.guard.probe.report import ProbeReport
    from mmupt.guard.probe.truth import Truth
    from mmupt.probing import StageProbe
    from mmupt.runtime.progress import Progress


def probe(
    recipe: RecipeArgument,
    stage: Annotated[
        str | None, typer.Option(metavar="NAME", help="The label-free stage, instead of the last upt stage.")
    ] = None,
    prompts: Annotated[int, typer.Option(min=1, help="Questions to ask, chosen by a hash of their ids.")] = 200,
    samples: Annotated[
        int | None, typer.Option(min=2, help="Answers to each, instead of the stage's rollout.group_size.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object and nothing else.")] = (
        False
    ),
    with_labels: Annotated[
        bool, typer.Option("--labels", help="Read the labels too, afterwards, and say how right the probe was.")
    ] = False,
    sets: Sets = None,
) -> None:
    """Ask the start model a few hundred questions and say, without labels, whether label-free training would help.

    The recipe's model is asked as it is; --set model.path=DIR asks another one, such as what the stages before the
    label-free one have made of it.
    """
    from mmupt.probing import choose_upt_stage, probe_stage, stage_labels
    from mmupt.recipe import load_recipe
    from mmupt.runtime.files import to_json

    loaded = load_recipe(recipe, sets or [])
    chosen = choose_upt_stage(loaded, stage)
    labels = stage_labels(loaded, chosen) if with_labels else None
    try:
        found = probe_stage(loaded, chosen, prompts=prompts, samples=samples, labels=labels)
    except KeyboardInterrupt:
        say("interrupted; nothing is left behind")
        raise typer.Exit(130) from None
    if as_json:
        typer.echo(to_json({"recipe": loaded.name, **found.as_json()}, indent=2))
    else:
        _show(found)


def _show(found: StageProbe) -> None:
    from mmupt.runtime.progress import Progress

    display, report = Progress(), found.report
    skipped = f", {found.skipped} could not be put to the model" if found.skipped else ""
    display.note("")
    display.table(
        f"{found.stage.name}: {len(report.evidence)} questions, {found.samples} answers each{skipped}",
        ["vote share", "questions", "", "estimated right", "adds"],
        [
            [
                f"{b.low:.0%} to {b.high:.0%}",
                b.prompts,
                "#" * round(20 * b.prompts / len(report.evidence)),
                _percent(b.right),
                f"{100 * b.gain:+.1f}" if b.prompts else "",
            ]
            for b in report.bins
        ],
    )
    display.note('("adds": its part of the predicted gain, in points)')
    display.note("")
    _show_signs(display, report)
    display.note("")
    estimates = report.estimates
    for name, predicted in (("one sample", estimates.sample), ("the vote", estimates.vote)):
        display.note(f"{name} is right on an estimated {_interval(predicted)} of the questions")
    display.note(f"predicted gain of a run: {_interval(estimates.gain, signed=True)}")
    display.note(f"(calibration: {report.source}; no label was read for any of this)")
    if found.truth is not None:
        display.note("")
        _show_truth(display, found.truth, report)
    display.note("")
    display.note(f"recommendation: {report.advice.verdict}")
    for reason in report.advice.reasons:
        display.note(f"  - {reason}")
    if report.advice.setting is not None:
        display.note(f"  --set {report.advice.setting}")
    if found.earlier:
        display.note(
            f"This is about {found.model}, the model the recipe starts from. {', '.join(found.earlier)} would train it "
            "first; --set model.path=DIR probes what came out of that."
        )


def _show_signs(display: Progress, report: ProbeReport) -> None:
    display.note(f"mean vote share: {report.share:.0%}; semantic entropy: {report.entropy:.2f} nats")
    display.note(
        f"unreadable answers: {report.unreadable:.0%}; votes without a winner: {report.undecided:.0%}; unanimous: "
        f"{report.unanimous:.0%}"
    )
    display.note(f"two halves of a group agree on the majority: {report.stability:.0%}")
    if report.view_kept is not None:
        display.note(
            f"another view of the picture keeps the majority: {report.view_kept:.0%} of {report.viewed} questions "
            f"({report.view:.0%} of its answers)"
        )


def _show_truth(display: Progress, truth: Truth, report: ProbeReport) -> None:
    estimates = report.estimates
    rows = [
        ["one sample", f"{estimates.sample.value:.1%}", f"{truth.sample:.1%}"],
        ["the vote", f"{estimates.vote.value:.1%}", f"{truth.vote:.1%}"],
    ]
    display.table(f"with the labels of {truth.prompts} questions", ["right", "estimated", "truly"], rows)
    display.table(
        f"were the probabilities right? Brier score {truth.brier:.3f}, saying the true rate each time "
        f"{truth.brier_constant:.3f}",
        ["said", "questions", "said, mean", "were right"],
        [[f"{b.low:.0%} to {b.high:.0%}", b.prompts, _percent(b.said), _percent(b.were)] for b in truth.reliability],
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _interval(predicted: Predicted, *, signed: bool = False) -> str:
    if signed:
        value, low, high = (f"{100 * x:+.1f}" for x in (predicted.value, predicted.low, predicted.high))
        return f"{value} points (95 %: {low} to {high})"
    return f"{predicted.value:.0%} (95 %: {predicted.low:.0%} to {predicted.high:.0%})"
