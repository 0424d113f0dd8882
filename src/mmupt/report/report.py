"""`report.html`: what a run did, on one page that needs nothing but itself."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mmupt.report.advice import what_to_know
from mmupt.report.changed import changed_most
from mmupt.report.cost import costs, device_of, duration
from mmupt.report.curves import charts
from mmupt.report.guard import Story, what_it_did
from mmupt.report.guard_page import guard_view, marks
from mmupt.report.made import made_rows
from mmupt.report.opening import opening
from mmupt.report.profile import Profile, in_percent, in_units, in_whole, read_profile
from mmupt.report.reading import RunData, Stage, number, read_run
from mmupt.report.results import result_tables
from mmupt.report.views import clean, group_view, group_views
from mmupt.runtime.files import write_text

_KINDS = {
    "sft": "supervised fine-tuning",
    "rl": "reinforcement learning with labels",
    "upt": "learning without labels",
    "dpo": "learning from preferences",
    "synth": "writing questions",
}


def write_report(run: Path) -> Path:
    """Writes `report.html` into the run folder `run`, atomically, and returns its path.

    Reads the folder only, at any moment of a run: what is missing or damaged is said on the page. Raises RunFolderError
    where there is no such folder.
    """
    data = read_run(Path(run))
    # Everything is escaped, whatever a template's name ends in; an unknown name in the template is an error.
    environment = Environment(
        loader=PackageLoader("mmupt.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("template.html.j2").render(_page(data))
    write_text(data.layout.report, html)
    return data.layout.report


def lines_to_tell(run: Path) -> list[str]:
    """What the end of a run says in the terminal: a line for each stage's guard, then the warnings of the report, the
    gravest first."""
    data = read_run(Path(run))
    stories = [story for stage in data.stages if (story := Story.of(stage)) is not None]
    guards = [f"{story.stage}: the guard {what_it_did(story)}" for story in stories]
    return guards + [f"{note.title}: {note.text}" for note in what_to_know(data) if note.level in ("bad", "watch")]


def _page(data: RunData) -> dict[str, Any]:
    tables = result_tables(data)
    # Before `problems`, to which reading may add.
    stages, made = [_stage(data, stage) for stage in data.stages], made_rows(data)
    notes = [(note.level, clean(note.title, 300), clean(note.text, 2000)) for note in what_to_know(data)]
    return {
        "name": clean(data.summary.get("name") or data.recipe.get("name") or data.layout.root.resolve().name),
        "description": clean(data.recipe.get("description") or "", 500),
        "facts": _facts(data),
        "problems": [clean(problem, 500) for problem in dict.fromkeys(data.problems)],
        "notes": notes,
        "tables": tables,
        "made": made,
        "stages": stages,
        "profiles": [
            _profile(stage, profile) for stage in data.stages if (profile := read_profile(stage.records)) is not None
        ],
        "costs": [
            (clean(cost.stage), f"{cost.steps:,}", duration(cost.seconds) or "–", f"{cost.tokens:,}")
            for cost in costs(data)
        ],
        "recipe": clean(data.recipe_text, 200_000),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _stage(data: RunData, stage: Stage) -> dict[str, Any]:
    story = Story.of(stage)
    return {
        "name": clean(stage.name),
        "kind": _KINDS.get(stage.kind, clean(stage.kind)),
        "steps": len(stage.records),
        "seconds": duration(sum(value for _, value in stage.series("seconds"))),
        "opening": opening(stage),
        "charts": charts(stage, marks(story)),
        "left_out": _left_out(stage),
        "guard": guard_view(story) if story is not None else None,
        "groups": group_views(data, stage),
        "changed": [
            {
                "distance": in_percent(change.distance),
                "sides": [
                    (f"step {step}", group_view(row, stage.kind))
                    for step, row in ((change.first_step, change.first), (change.last_step, change.last))
                ],
            }
            for change in changed_most(data, stage)
        ],
    }


def _left_out(stage: Stage) -> str:
    """ "share above the band 12.0 %, unanimous 3.1 %": what part of all groups was not learned from, and why."""
    prefix, steps = "left_out/", len(stage.records)
    keys = sorted({key for record in stage.records for key in record if key.startswith(prefix)})
    shares = {key: sum(value for _, value in stage.series(key) if math.isfinite(value)) / steps for key in keys}
    reasons = sorted(shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{clean(key.removeprefix(prefix))} {in_percent(share)}" for key, share in reasons)


def _profile(stage: Stage, profile: Profile) -> dict[str, Any]:
    """The profile of a stage as text, phases with their share as a width in per cent."""
    rows = [
        {
            "phase": cost.phase,
            "seconds": f"{cost.seconds:.3f}",
            "share": min(100.0, round(100 * cost.share, 1)),
            "tokens_per_second": in_whole(cost.tokens_per_second),
            "floor": in_percent(cost.floor_fraction),
        }
        for cost in profile.phases
    ]
    said = [f"Largest costs: {profile.largest_named}."] if profile.largest else []
    if profile.floor_fraction is not None and profile.ceiling is not None:
        said.append(
            f"{in_percent(profile.floor_fraction)} of the FLOP floor: the arithmetic a step cannot do without would "
            f"take {profile.floor_fraction * profile.seconds:.3g} of {profile.seconds:.3g} s at the "
            f"{in_units(profile.ceiling, 'FLOP/s')} this device multiplies matrices at."
        )
    peaks = {"Peak memory": profile.peak_memory, "on the GPU": profile.peak_cuda_memory}
    if shown := [f"{what} {in_units(peak, 'B')}" for what, peak in peaks.items() if peak is not None]:
        said.append(f"{', '.join(shown)}.")
    return {
        "name": clean(stage.name),
        "steps": profile.steps,
        "seconds": f"{profile.seconds:.3g}",
        "tokens_per_second": in_whole(profile.tokens_per_second),
        "rows": rows,
        "said": " ".join(said),
    }


def _facts(data: RunData) -> list[tuple[str, str]]:
    versions, model = data.about.get("versions"), data.recipe.get("model")
    facts = {
        "model": model.get("path") if isinstance(model, dict) else None,
        "seed": data.about.get("seed", data.summary.get("seed")),
        "begun": str(data.about.get("created", "")).replace("T", " ").replace("+00:00", " UTC"),
        "took": duration(number(data.summary.get("seconds")) or 0.0),
        **(versions if isinstance(versions, dict) else {}),
        "device": device_of(data),
        "platform": data.about.get("platform"),
    }
    return [(clean(key), clean(value)) for key, value in facts.items() if value not in (None, "")]
