"""What is run: shipped recipes `mini/...` in the offline world, each from the model that another run has made.

A run is made for several seeds where the tables rest on it (`main`), else for fewer. A seed draws a world, a start and
everything that follows of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """`recipe` with `sets` (`key=value`), from the last model of run `start` (None: the recipe names its own).

    `minutes` is a guess for one idle core, `main` whether it is made for every seed. `curves` keeps what figure 2
    shows, `pictures` hands the run a folder of pictures, its rows without their questions.
    """

    name: str
    recipe: str
    minutes: float
    start: str | None = "start"
    sets: tuple[str, ...] = ()
    main: bool = False
    curves: bool = False
    pictures: str | None = None


_WEAK = ("world.sft_size=3000",)
_FAMILIES = ("world.mix=dice_charts_icons",)
_LONG = ("stages.upt.steps=150", "stages.upt.optimizer.lr=1e-4")
_GUARDED = ("stages.upt.guard.enabled=true",)

_ALL = (
    Run("start", "mini/start", 4, start=None, main=True),
    Run("upt", "mini/upt", 4, main=True, curves=True),
    Run("grpo", "mini/grpo", 3, main=True),
    Run("direct", "mini/direct", 5, main=True),
    Run("in-context", "mini/in-context", 5, main=True),
    Run("upt-default", "mini/upt-default", 4),
    # Table 5 once more, so long and fast that plain voting is known to collapse (docs/stability.md).
    Run("upt-long", "mini/upt", 8, sets=_LONG, main=True),
    Run("lmsi", "mini/lmsi", 4),
    Run("srlm", "mini/srlm", 4),
    Run("genixer", "mini/genixer", 6),
    Run("stic", "mini/stic", 4),
    Run("rejection-sft", "mini/rejection-sft", 4),
    # Table 3: a start that has learned less, and one that has been trained by reinforcement already.
    Run("weak", "mini/start", 2.5, start=None, sets=_WEAK, main=True),
    Run("upt-weak", "mini/upt", 4, start="weak"),
    Run("upt-after-grpo", "mini/upt", 4, start="grpo"),
    # Table 4: what the weak start is mostly wrong about; then as long and fast as above.
    Run("hard", "mini/hard", 3, start="weak", main=True),
    Run("hard-guarded", "mini/hard", 4, start="weak", sets=_GUARDED, main=True),
    Run("hard-long", "mini/hard", 6, start="weak", sets=_LONG),
    Run("hard-long-guarded", "mini/hard", 8, start="weak", sets=(*_LONG, *_GUARDED)),
    # Table 6: a start that has learned other families of pictures too, of which label-free training sees none.
    Run(
        "families",
        "mini/start",
        8,
        start=None,
        sets=(*_FAMILIES, "world.sft_size=8000", "prompt.max_pixels=50176"),
    ),
    Run("upt-families", "mini/upt", 4, start="families", sets=_FAMILIES),
    *(
        Run(
            f"{model}-{family}",
            "mini/measure",
            2,
            start=model,
            sets=(*_FAMILIES, f"evaluation.data.path=world:test@{family}"),
        )
        for model in ("families", "upt-families")
        for family in ("charts", "icons")
    ),
    Run("loop", "mini/loop", 10, main=True, pictures="stages.synth.data.path"),
)
RUNS: Mapping[str, Run] = {run.name: run for run in _ALL}


@dataclass(frozen=True, slots=True)
class Case:
    """One run with one seed."""

    run: Run
    seed: int

    @property
    def key(self) -> str:
        """How figures and folders call it.

        >>> Case(RUNS["upt"], 2).key
        'seed-2/upt'
        """
        return f"seed-{self.seed}/{self.run.name}"

    @property
    def start(self) -> Case | None:
        """The case whose model this one begins with."""
        return None if self.run.start is None else Case(RUNS[self.run.start], self.seed)

    @property
    def sets(self) -> tuple[str, ...]:
        """What it changes in its recipe, but for the folders."""
        return (f"seed={self.seed}", f"world.seed={self.seed}", *self.run.sets)


def cases(names: Iterable[str], seeds: int, other_seeds: int) -> list[Case]:
    """The cases of these runs and of all they begin with, starts first: `seeds` of a run that is `main`, `other_seeds`
    of another. A start has all the seeds that something begins with it."""
    found: dict[str, Case] = {}

    def add(case: Case) -> None:
        if case.start is not None:
            add(case.start)
        found.setdefault(case.key, case)

    for name in names:
        run = RUNS[name]
        for seed in range(seeds if run.main else other_seeds):
            add(Case(run, seed))
    return list(found.values())


def waves(wanted: Sequence[Case]) -> list[list[Case]]:
    """The cases in groups, each of which begins with what is in earlier ones."""
    depths = [_depth(case) for case in wanted]
    return [
        [case for case, depth in zip(wanted, depths, strict=True) if depth == level] for level in sorted(set(depths))
    ]


def _depth(case: Case) -> int:
    return 0 if case.start is None else 1 + _depth(case.start)
