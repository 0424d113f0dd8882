"""How far can `mmupt probe` be trusted? For pairs of a start model and data: what it predicts without labels, what
labels say, and what a finished run from that start gained.

    python benchmarks/probe.py pairs.json --table table.json            # probes the pairs that table.json lacks
    python benchmarks/probe.py pairs.json --table table.json --fit      # and prints a calibration fitted on all of them

`pairs.json` is a list of {"name", "start", "world", "run", "family"}: the start's folder (a model's, or a run's, whose
last model is meant), settings of the offline world (those that differ from the recipe's), the run folder of a finished
run from that start (or none), and what it shares with other pairs (its name, unless told). The gain is the last mean@k
of the run less the first, or, where the run did not measure its start, less the last of the start's own run.

Two predictions are compared with the truth: by the calibration in use (which may have seen these pairs), and by one
fitted on the pairs of all other families. Each pair is probed before its labels are read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mmupt.errors import MmuptError
from mmupt.guard.probe.calibration import CALIBRATION, Calibration
from mmupt.guard.probe.evidence import Evidence
from mmupt.guard.probe.fitting import Pair, fit, held_out, rank_correlation
from mmupt.guard.probe.report import probe_report
from mmupt.guard.probe.truth import Known, known
from mmupt.probing import choose_upt_stage, probe_stage, stage_labels
from mmupt.recipe import load_recipe
from mmupt.recipe.overrides import assignment
from mmupt.runtime.checkpoints import latest_checkpoint
from mmupt.runtime.files import to_json, write_json
from mmupt.runtime.layout import RunLayout


@dataclass(frozen=True)
class Wanted:
    """An entry of the file of pairs."""

    name: str
    start: str
    world: Mapping[str, str | int | float]
    run: str | None = None
    family: str = ""


def measure(wanted: Wanted, recipe: str, prompts: int, samples: int | None) -> Pair:
    """The probe of a pair, then its labels."""
    world = [assignment(f"world.{key}", value) for key, value in wanted.world.items()]  # type: ignore[arg-type]
    loaded = load_recipe(recipe, [assignment("model.path", _model(Path(wanted.start))), *world])
    stage = choose_upt_stage(loaded, None)
    asked = probe_stage(loaded, stage, prompts=prompts, samples=samples).asked
    labels = stage_labels(loaded, stage)
    truths = [known(probed, labels[probed.prompt.id], stage.answers) for probed in asked]
    return Pair(wanted.name, [probed.evidence for probed in asked], truths)


def with_run(pair: Pair, wanted: Wanted) -> Pair:
    """The pair with what its entry says today: its family, and the gain of its run where there is one."""
    gain = _gain(Path(wanted.run), Path(wanted.start)) if wanted.run is not None else pair.gain
    return replace(pair, gain=gain, family=wanted.family or pair.family)


def _model(start: Path) -> str:
    if not (start / "summary.json").exists():
        return str(start)
    layout = RunLayout(start)
    last = _measurements(start)[-1]["stage"]
    checkpoint = latest_checkpoint(layout.checkpoints(str(last)))
    if checkpoint is None:
        raise SystemExit(f"{start}: no checkpoint of its last measured stage, {last}")
    return str(checkpoint)


def _gain(run: Path, start: Path) -> float:
    """The change of mean@k on the first set that was measured."""
    measured = _measurements(run)
    after = measured[-1]
    same_set = [entry for entry in measured if entry["set"] == after["set"]]
    if len(same_set) > 1:
        before = same_set[0]
    elif (start / "summary.json").exists():
        before = _measurements(start)[-1]
    else:
        raise SystemExit(f"{run}: one measurement only; set evaluation.start = true, or let `start` be a run folder")
    figure = f"mean@{after['k']}"
    if (before["set"], before["n"]) != (after["set"], after["n"]) or figure not in before:
        raise SystemExit(f"{run} and {start} were not measured on the same questions with the same number of samples")
    return float(after[figure] - before[figure])


def _measurements(run: Path) -> list[dict[str, Any]]:
    stages: list[dict[str, Any]] = json.loads((run / "summary.json").read_text(encoding="utf-8"))["stages"]
    if not stages:
        raise SystemExit(f"{run}: nothing was measured")
    return stages


def to_row(pair: Pair) -> dict[str, Any]:
    """A pair as the table keeps it."""
    return {
        "evidence": [asdict(e) for e in pair.evidence],
        "known": [asdict(k) for k in pair.known],
        "gain": pair.gain,
        "family": pair.family,
    }


def from_row(name: str, row: Mapping[str, Any]) -> Pair:
    evidence = [Evidence(**entry) for entry in row["evidence"]]
    return Pair(name, evidence, [Known(**entry) for entry in row["known"]], row["gain"], row["family"])


def judge(pair: Pair, calibration: Calibration) -> dict[str, Any]:
    """What a calibration says of a pair, beside the truth."""
    report = probe_report(pair.evidence, calibration)
    gain = report.estimates.gain
    right = [k.vote for k in pair.known]
    squares = [(float(p) - y) ** 2 for p, y in zip(report.estimates.right_N, right, strict=True)]
    return {
        "advice": report.advice.verdict,
        "gain": gain.value,
        "low": gain.low,
        "high": gain.high,
        "sample": report.estimates.sample.value,
        "vote": report.estimates.vote.value,
        "brier": sum(squares) / len(squares),
        "sign_right": None if pair.gain is None else (gain.value > 0) == (pair.gain > 0),
        "advice_right": None if pair.gain is None else (report.advice.verdict != "don't") == (pair.gain > 0),
        "inside": None if pair.gain is None else gain.low <= pair.gain <= gain.high,
    }


def overall(pairs: Sequence[Pair], judged: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Signs, ranks and intervals over the pairs with a run; ranks against what the vote would give over all pairs."""
    run = [(pair, entry) for pair, entry in zip(pairs, judged, strict=True) if pair.gain is not None]
    room = rank_correlation([entry["gain"] for entry in judged], [pair.vote - pair.sample for pair in pairs])
    found: dict[str, Any] = {"pairs": len(pairs), "with_run": len(run), "rank_correlation_with_room": room}
    if run:
        found |= {key: sum(entry[key] for _, entry in run) for key in ("sign_right", "advice_right", "inside")}
        found["rank_correlation"] = rank_correlation([e["gain"] for _, e in run], [pair.gain or 0.0 for pair, _ in run])
        found["mean_miss"] = sum(abs(e["gain"] - (pair.gain or 0.0)) for pair, e in run) / len(run)
    return found


def _show(title: str, pairs: Sequence[Pair], judged: Sequence[Mapping[str, Any]], total: Mapping[str, Any]) -> None:
    print(title)
    print(
        "pair                  sample est/true  vote est/true  Brier  predicted (95 %)            true   sign  advice"
    )
    for pair, entry in zip(pairs, judged, strict=True):
        true = "" if pair.gain is None else f"{100 * pair.gain:+5.1f}"
        sign = {None: "", True: "right", False: "WRONG"}[entry["sign_right"]]
        predicted = f"{100 * entry['gain']:+5.1f} ({100 * entry['low']:+5.1f} to {100 * entry['high']:+5.1f})"
        print(
            f"{pair.name:<20}  {entry['sample']:.3f} / {pair.sample:.3f}    {entry['vote']:.3f} / {pair.vote:.3f}  "
            f"{entry['brier']:.3f}  {predicted:<26}  {true:>5}  {sign:<5}  {entry['advice']}"
        )
    print(f"rank correlation with vote - sample, {total['pairs']} pairs: {total['rank_correlation_with_room']:.2f}")
    if total["with_run"]:
        print(
            f"of {total['with_run']} runs: sign right {total['sign_right']}, recommendation right "
            f"{total['advice_right']}, inside the interval {total['inside']}; rank correlation "
            f"{total['rank_correlation']:.2f}, mean miss {100 * total['mean_miss']:.1f} points"
        )
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--table", type=Path, help="where measured pairs are kept; those in it are not measured again")
    parser.add_argument("--recipe", default="demo", help="whose upt stage is probed")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--samples", type=int, help="instead of the stage's rollout.group_size")
    parser.add_argument("--fit", action="store_true", help="print a calibration fitted on all pairs")
    parser.add_argument("--source", default="", help="what the fitted calibration says it was fitted on")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    wanted = [Wanted(**entry) for entry in json.loads(arguments.pairs.read_text(encoding="utf-8"))]
    if not wanted or len({entry.name for entry in wanted}) < len(wanted):
        raise SystemExit(f"{arguments.pairs}: needs at least one pair, and a name of its own for each")
    table: dict[str, Any] = {}
    if arguments.table is not None and arguments.table.exists():
        table = json.loads(arguments.table.read_text(encoding="utf-8"))
    pairs = []
    for entry in wanted:
        if entry.name in table:
            pair = from_row(entry.name, table[entry.name])
        else:
            print(f"probing {entry.name}", file=sys.stderr)
            pair = measure(entry, arguments.recipe, arguments.prompts, arguments.samples)
        pairs.append(with_run(pair, entry))
        table[entry.name] = to_row(pairs[-1])
        if arguments.table is not None:
            write_json(arguments.table, table)

    source = arguments.source or f"{len(pairs)} pairs of model and data in the offline world"
    in_use = [judge(pair, CALIBRATION) for pair in pairs]
    found: dict[str, Any] = {"in_use": {"each": in_use, **overall(pairs, in_use)}}
    if len({pair.kin for pair in pairs}) > 1:
        unseen = [judge(pair, calibration) for pair, calibration in zip(pairs, held_out(pairs, source), strict=True)]
        found["held_out"] = {"each": unseen, **overall(pairs, unseen)}
    fitted = fit(pairs, source) if arguments.fit else None
    if arguments.json:
        truths = {pair.name: {"sample": pair.sample, "vote": pair.vote, "gain": pair.gain} for pair in pairs}
        calibration = asdict(fitted) if fitted is not None else None
        print(to_json({"true": truths, **found, "calibration": calibration}, indent=2))
        return
    titles = {"in_use": f"calibration in use ({CALIBRATION.source})", "held_out": "fitted without the pair's family"}
    for name, result in found.items():
        _show(titles[name], pairs, result["each"], result)
    if fitted is not None:
        print(fitted)


if __name__ == "__main__":
    try:
        main()
    except MmuptError as error:
        sys.exit(f"error: {error}")
