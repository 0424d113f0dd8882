"""The runs of benchmarks/stability.py: what is trained from what, made once, their figures kept in one small file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from mmupt.evals.compare.comparing import compare_runs
from mmupt.evals.records import read_records
from mmupt.world.mixes import MIXES
from mmupt.world.settings import MixName, WorldSettings
from mmupt.world.splits import world_split

HERE = Path(__file__).resolve().parent
RECIPES = HERE / "stability"
FIGURES = ("mean@8", "greedy", "maj@8", "pass@8")


@dataclass(frozen=True, slots=True)
class World:
    """`rows` of sft behind the start models, and the `pool` of questions without labels that they go on with."""

    rows: int
    pool: str = "world:unlabeled"


WORLDS = {"healthy": World(4000), "mixed": World(2000), "hostile": World(2000, "world:unlabeled@dice_sums")}
PROBED = {f"{rows}-rows": World(rows) for rows in (500, 800, 1100, 1400, 3000, 6000, 9000)}
"""Further starts, from hopeless to easy, for benchmarks/probe.py."""
ALL = {**WORLDS, **PROBED}

_UNGUARDED = ("stages.upt.guard.enabled=false",)
METHODS: dict[str, tuple[str, ...]] = {
    "plain": ("stages.upt.reward.name=majority_vote", *_UNGUARDED),
    "default": (),
    "default, no gate": ("stages.upt.guard.gate=false",),
    "plain, guarded": ("stages.upt.reward.name=majority_vote",),
    "start_vote": ("stages.upt.reward.name=start_vote", *_UNGUARDED),
    **{
        name: (f"stages.upt.reward.name={name}", *_UNGUARDED)
        for name in (
            "soft_vote",
            "ema_vote",
            "co_reward",
            "self_judge",
            "verified_vote",
            "novelty",
            "self_certainty",
            "token_entropy",
            "likelihood",
            "random",
        )
    },
    "combined": (
        "stages.upt.reward.name=combined",
        'stages.upt.reward.terms=[{name="soft_vote"}, {name="self_certainty"}]',
        *_UNGUARDED,
    ),
    "masked soft vote": ("stages.upt.reward.name=soft_vote", "stages.upt.algo.mask_answer=true", *_UNGUARDED),
    "ground_truth": ("stages.upt.kind=rl", *_UNGUARDED),
}
BOTH = ("plain", "default")
"""The methods that every seed is measured with."""

SKILLED = ("self_judge", "verified_vote")
"""Rewards that ask the model whether an answer is right: their starts have learned to say (a mix with skills, and half
as many rows again, since a third of them teach skills)."""


@dataclass(frozen=True, slots=True)
class Case:
    """One run: a kind of start, a seed, a method."""

    world: str
    seed: int
    method: str

    @property
    def skilled(self) -> bool:
        return self.method in SKILLED

    @property
    def rows(self) -> int:
        rows = ALL[self.world].rows
        return rows * 3 // 2 if self.skilled else rows

    @property
    def start(self) -> str:
        return f"{self.rows}{'-skills' if self.skilled else ''}-{self.seed}"

    @property
    def folder(self) -> str:
        return f"{self.world}-{self.seed}-{self.method.replace(' ', '_').replace(',', '')}"

    @property
    def settings(self) -> list[str]:
        """What start and run have in common."""
        mix = "dice_skills" if self.skilled else "dice"
        return [f"seed={self.seed}", f"world.seed={self.seed}", f"world.mix={mix}"]


def figures(folder: Path) -> dict[str, float]:
    """The last measurement of a run."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    last = summary["stages"][-1]
    return {name: float(last[name]) for name in FIGURES}


def change(start: Path, run: Path) -> tuple[float, float, float]:
    """Of mean@8, on the same questions: the difference, and its 95 % interval over questions."""
    (measured,) = compare_runs(str(start), str(run)).sets
    (figure,) = (figure for figure in measured.figures if figure.name == "mean@8")
    return figure.difference.value, figure.difference.low, figure.difference.high


def pool_vote(start: Path, case: Case) -> float:
    """maj@8 of a start on those of the test questions that are of the kinds in its pool."""
    world = WorldSettings(mix="dice_skills" if case.skilled else "dice", seed=case.seed, test_size=600)
    _, _, mix = ALL[case.world].pool.partition("@")
    kinds = {kind for _, kind in MIXES[cast(MixName, mix or world.mix)]}
    asked = {row.prompt.id for row in world_split(world, "test") if row.meta["question"] in kinds}
    (records,) = (start / "evals").glob("*.parquet")
    votes = [row["majority_correct"] for row in read_records(records) if row["id"] in asked]
    return float(sum(votes) / len(votes))


def guard_story(folder: Path) -> str:
    """What the guard did, in a few words."""
    file = folder / "guard" / "upt.json"
    if not file.exists():
        return ""
    story = json.loads(file.read_text(encoding="utf-8"))
    if story["shut"]:
        return "did not begin"
    parts = []
    if story["rolled_back_to"] is not None:
        parts.append(f"back to {story['rolled_back_to']}")
    if story["stopped_at"] is not None:
        parts.append(f"stopped at {story['stopped_at']}")
    warned = sum(event["action"] == "warn" for event in story["events"])
    return ", ".join(parts) or (f"{warned} warning{'s' if warned > 1 else ''}" if warned else "nothing seen")


@dataclass(frozen=True, slots=True)
class Result:
    """Figures before and after a run; maj@8 of the start on questions of the kinds that are learned from; of the paired
    change of mean@8 value, low and high of its 95 % interval; what the guard did; with which versions it ran."""

    before: Mapping[str, float]
    after: Mapping[str, float]
    pool_vote: float
    change: Sequence[float]
    guard: str
    versions: Mapping[str, str]


class Bench:
    """Makes what is not there yet, `jobs` processes at a time, one thread each. `kept` is a file with earlier results;
    what stands in it is not run again, wherever its run folder has gone."""

    def __init__(self, runs: Path, jobs: int, kept: Path | None = None) -> None:
        self._runs, self._jobs, self._kept = runs, jobs, kept
        entries = json.loads(kept.read_text(encoding="utf-8")) if kept is not None and kept.exists() else {}
        self._results = {key: Result(**entry) for key, entry in entries.items()}

    def make(self, cases: Sequence[Case]) -> None:
        """Every case, its start first."""
        missing = [case for case in cases if case.folder not in self._results]
        self._all([self._start(case) for case in {case.start: case for case in missing}.values()])
        self._all([self._upt(case) for case in missing])
        for case in missing:
            folder, start = self._runs / case.folder, self._runs / "starts" / case.start
            versions = json.loads((folder / "run.json").read_text(encoding="utf-8"))["versions"]
            found = Result(
                before=figures(start),
                after=figures(folder),
                pool_vote=pool_vote(start, case),
                change=change(start, folder),
                guard=guard_story(folder),
                versions=versions,
            )
            self._results[case.folder] = found
        if self._kept is not None and missing:
            entries = {key: asdict(self._results[key]) for key in sorted(self._results)}
            self._kept.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")

    def known(self, case: Case) -> bool:
        """Whether a case has been made."""
        return case.folder in self._results

    def result(self, case: Case) -> Result:
        return self._results[case.folder]

    def start(self, case: Case) -> Mapping[str, float]:
        return self.result(case).before

    def end(self, case: Case) -> Mapping[str, float]:
        return self.result(case).after

    def story(self, case: Case) -> str:
        return self.result(case).guard

    def _start(self, case: Case) -> tuple[Path, Path, list[str]]:
        settings = [*case.settings, f"world.sft_size={case.rows}"]
        return RECIPES / "start.toml", self._runs / "starts" / case.start, settings

    def _upt(self, case: Case) -> tuple[Path, Path, list[str]]:
        start = self._runs / "starts" / case.start / "checkpoints" / "sft"
        model = max(start.glob("step-*"), default=start)  # not there before the starts are made, and not asked for then
        return (
            RECIPES / "upt.toml",
            self._runs / case.folder,
            [
                *case.settings,
                f"model.path={model}",
                f"stages.upt.data.path={ALL[case.world].pool}",
                *METHODS[case.method],
            ],
        )

    def _all(self, wanted: Iterable[tuple[Path, Path, list[str]]]) -> None:
        todo = [entry for entry in wanted if self._interrupted(entry[1])]
        with ThreadPoolExecutor(self._jobs) as pool:
            for number, name in enumerate(pool.map(self._run, todo), start=1):
                print(f"{number}/{len(todo)} {name}", file=sys.stderr, flush=True)

    def _interrupted(self, folder: Path) -> bool:
        """Not there, or without its last measurement."""
        return not any((folder / "evals").glob("*.json"))

    def _run(self, entry: tuple[Path, Path, list[str]]) -> str:
        recipe, folder, settings = entry
        sets = [part for setting in (*settings, f"run_dir={folder}") for part in ("--set", setting)]
        begun = (folder / "run.json").exists()
        command = [sys.executable, "-m", "mmupt.cli", "run", str(recipe), *sets, *(["--resume"] if begun else [])]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        )
        if done.returncode:
            raise SystemExit(f"{folder.name} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return folder.name
