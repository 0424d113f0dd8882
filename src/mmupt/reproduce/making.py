"""Makes the runs that are missing: a process each, some at a time, on one thread each. Kept results are never made
again, interrupted runs go on where they stopped, failed ones are kept as failed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from mmupt.errors import MmuptError
from mmupt.recipe import load_recipe
from mmupt.recipe.overrides import assignment
from mmupt.reproduce.kept import Kept, Result, fingerprint
from mmupt.reproduce.reading import last_model, read_result
from mmupt.reproduce.runs import Case, waves
from mmupt.runtime.files import write_text
from mmupt.runtime.layout import RunLayout
from mmupt.world.splits import world_prompts

_INTERRUPTED = (130, 143, -signal.SIGINT, -signal.SIGTERM)
"""Exit codes of a run that somebody has ended."""
_TOLD = 600  # characters of what a failed run has said last


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be made, starts first; what of the wanted is there; what has failed before and is not tried again."""

    todo: tuple[Case, ...]
    there: tuple[Case, ...]
    failed: tuple[Case, ...]

    @property
    def minutes(self) -> float:
        """A guess for one idle core."""
        return sum(case.run.minutes for case in self.todo)


class Maker:
    """Makes runs under `runs`, `jobs` at a time, and puts what they have shown into `kept`. `command` is what runs a
    recipe (`... run RECIPE --set ...`), `read` what reads a finished run; both are for tests to replace."""

    def __init__(
        self,
        runs: Path,
        kept: Kept,
        jobs: int,
        say: Callable[[str], None],
        *,
        command: Sequence[str] = (sys.executable, "-m", "mmupt.cli"),
        read: Callable[[Case, Path], Result] = read_result,
    ) -> None:
        self._runs, self._kept, self._jobs, self._say = runs, kept, jobs, say
        self._command, self._read = command, read
        self._running: set[subprocess.Popen[str]] = set()

    def plan(self, wanted: Sequence[Case], *, retry: bool = False) -> Plan:
        """Of the cases `wanted`, which hold all that they begin with. A start whose model is gone is made again where
        something that is missing begins with it; what begins with a failed run has to wait for it."""
        failed = {} if retry else {case.key: case for case in wanted if self._has_failed(case)}
        there = [case for case in wanted if self._kept.result(case) is not None and not self._has_failed(case)]
        known = {case.key for case in there}
        todo = {case.key for case in wanted if case.key not in known and not _rests_on(case, failed)}
        for case in wanted:
            start = case.start if case.key in todo else None
            while start is not None and last_model(self.folder(start)) is None:
                todo.add(start.key)
                start = start.start
        return Plan(
            tuple(case for case in wanted if case.key in todo),
            tuple(case for case in there if case.key not in todo),
            tuple(failed.values()),
        )

    def make(self, todo: Sequence[Case]) -> None:
        """Every case of a plan. Raises KeyboardInterrupt where somebody wants an end; what is done by then is kept."""
        done = 0
        for wave in waves(todo):
            with ThreadPoolExecutor(self._jobs) as pool:
                try:
                    asked = {pool.submit(self._make, case): case for case in wave}
                    for future in as_completed(asked):
                        told, done = future.result(), done + 1
                        self._say(f"{done}/{len(todo)} {asked[future].key}: {told}")
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    for process in list(self._running):
                        process.send_signal(signal.SIGINT)  # a run can be killed at any time, and goes on later
                    raise

    def folder(self, case: Case) -> Path:
        """The run folder of a case."""
        return self._runs / case.key

    def _has_failed(self, case: Case) -> bool:
        found = self._kept.result(case)
        return found is not None and found.failed is not None

    def _make(self, case: Case) -> str:
        """Runs one case; what became of it, in a few words."""
        if case.start is not None and last_model(self.folder(case.start)) is None:
            return f"not made, because there is no model of {case.start.key}"
        code, told = self._run(self.arguments(case))
        if code in _INTERRUPTED:
            raise KeyboardInterrupt
        folder = self.folder(case)
        try:
            result = None if code else self._read(case, folder)
        except MmuptError as error:
            return self._fail(case, str(error))
        if result is None:
            return self._fail(case, told[-_TOLD:])
        self._kept.put(case, result)
        return f"done in {result.seconds / 60:.1f} minutes"

    def _run(self, arguments: Sequence[str]) -> tuple[int, str]:
        """The exit code of a process on one thread, and what it said."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        with subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as process:
            self._running.add(process)
            told, _ = process.communicate()
        self._running.discard(process)
        return process.returncode, told.strip()

    def _fail(self, case: Case, message: str) -> str:
        self._kept.put(case, Result(fingerprint(case), {}, failed=message))
        return f"FAILED: {message.splitlines()[-1] if message else 'without a word'}"

    def arguments(self, case: Case) -> list[str]:
        """The command that makes a case, or goes on with it. A folder of another recipe is overwritten."""
        folder = self.folder(case)
        sets = [*case.sets, assignment("run_dir", str(folder))]
        if case.start is not None:
            model = last_model(self.folder(case.start))
            assert model is not None, "a run begins when its start is made"
            sets.append(assignment("model.path", str(model)))
        if case.run.pictures is not None:
            sets.append(assignment(case.run.pictures, str(self._pictures(case))))
        said, mark = fingerprint(case), folder.with_name(f"{folder.name}.recipe")
        begun = RunLayout(folder).run.exists()
        same = mark.exists() and mark.read_text(encoding="utf-8").strip() == said
        write_text(mark, said + "\n")
        options = [] if not begun else ["--resume"] if same else ["--overwrite"]
        return [*self._command, "run", case.run.recipe, *(p for s in sets for p in ("--set", s)), *options]

    def _pictures(self, case: Case) -> Path:
        """A folder with the pictures of the seed's unlabeled questions and nothing else."""
        folder = self._runs / f"seed-{case.seed}" / "pictures"
        if not folder.exists():
            partial = folder.with_name("pictures.tmp")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            world = load_recipe(case.run.recipe, case.sets).world
            prompts = world_prompts(world, "unlabeled", "dice")
            distinct = dict.fromkeys(image.data for prompt in prompts for image in prompt.images)
            for number, data in enumerate(distinct):
                assert data is not None, "the world draws its pictures"
                (partial / f"{number:04d}.png").write_bytes(data)
            partial.rename(folder)
        return folder


def _rests_on(case: Case, failed: dict[str, Case]) -> bool:
    """Whether a case, or what it begins with, has failed."""
    return case.key in failed or (case.start is not None and _rests_on(case.start, failed))
