"""Does a long run keep its host memory? Runs many small label-free steps (every step with its checkpoints, groups and
guard) in a process of its own and reads that process's resident memory while it goes.

    python benchmarks/memory.py                     # 500 steps: a few minutes on one core
    python benchmarks/memory.py --steps 2000 --json

Growth is what the median of the last tenth of the steps lies above that of the tenth behind the first pass over the
rows: until then labels and pictures of new rows are kept, which is bounded by the rows and not by the steps. Linux
alone: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = Path(__file__).parent / "memory" / "long.toml"
STAGE = "upt"
FIRST_PASS = 150
"""Steps until each of the recipe's 600 rows was drawn once, 4 at a time."""


def resident_mib(pid: int) -> float | None:
    """VmRSS of a process, None where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else None


def steps_done(metrics: Path) -> int:
    """How many steps of the stage have been logged."""
    if not metrics.exists():
        return 0
    return sum(f'"stage": "{STAGE}"' in line for line in metrics.read_text(encoding="utf-8").splitlines())


def measure(steps: int, run: Path) -> list[tuple[int, float]]:
    """(step, MiB) several times a second while the stage goes. Exits where the run fails."""
    command = [sys.executable, "-m", "mmupt.cli", "run", str(RECIPE)]
    sets = [f"stages.{STAGE}.steps={steps}", f"run_dir={run}"]
    options = [part for each in sets for part in ("--set", each)]
    seen: list[tuple[int, float]] = []
    with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            step, mib = steps_done(run / "metrics.jsonl"), resident_mib(process.pid)
            if step and mib is not None and step < steps:
                seen.append((step, mib))
            time.sleep(0.25)
    if process.returncode:
        sys.exit(f"the run has failed with exit code {process.returncode}")
    return seen


def growth(seen: list[tuple[int, float]], steps: int) -> dict[str, float]:
    """Medians of the tenth of the steps behind the first pass and of the last tenth, in MiB, and the change between
    them, in percent."""
    tenth = steps / 10
    early = statistics.median(mib for step, mib in seen if FIRST_PASS < step <= FIRST_PASS + tenth)
    late = statistics.median(mib for step, mib in seen if step > steps - tenth)
    return {"early_mib": early, "late_mib": late, "growth_percent": 100 * (late / early - 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.steps < 2 * FIRST_PASS:
        parser.error(f"--steps must be at least {2 * FIRST_PASS}: rows are new until step {FIRST_PASS}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        seen = measure(arguments.steps, Path(folder) / "run")
    found = growth(seen, arguments.steps)
    if arguments.json:
        print(json.dumps({"steps": arguments.steps, **found}))
        return
    for tenth in range(10):
        low, high = arguments.steps * tenth / 10, arguments.steps * (tenth + 1) / 10
        some = [mib for step, mib in seen if low < step <= high]
        if some:
            print(f"steps {int(low) + 1:>5} to {int(high):>5}: {statistics.median(some):8.1f} MiB")
    print(f"growth from the tenth behind the first pass to the last: {found['growth_percent']:+.2f} %")


if __name__ == "__main__":
    main()
