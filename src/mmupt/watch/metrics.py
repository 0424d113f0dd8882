"""`metrics.jsonl` as it grows: whole lines only, from where the last answer ended."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from mmupt.report.names import CHARTS
from mmupt.report.reading import number

KEYS = (*CHARTS, "seconds", "tokens", "tokens_per_second")
"""What the page draws or adds up."""
_AT_ONCE = 4 * 2**20  # bytes of the log an answer is made of


def metrics_since(path: Path, place: str) -> dict[str, Any]:
    """What stands in the log behind `place`, the `next` of the answer before ("" for the beginning).

    `stages` has for each stage {"kind", "step": [...], KEY: [...]} with null where a number is absent or not finite.
    `reset` is true where the log is another one now, as it is behind a resume: then what was told before is void, and
    this answer begins anew. `more` says that there is more already. A line that is still being written is left for the
    next time; one that is no JSON object is counted in `damaged` and passed over.
    """
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            name = f"{about.st_dev:x}-{about.st_ino:x}"
            known, _, offset = place.partition(":")
            begun = int(offset) if known == name and offset.isdecimal() and int(offset) <= about.st_size else 0
            file.seek(begun)
            data = file.read(_AT_ONCE)
            while not (whole := data.rfind(b"\n") + 1) and (longer := file.read(_AT_ONCE)):
                data += longer
    except OSError:
        return {"stages": {}, "next": "", "reset": place != "", "more": False, "damaged": 0}
    stages: dict[str, dict[str, Any]] = {}
    damaged = 0
    for line in data[:whole].splitlines():
        try:
            record = json.loads(line)
            step = number(record.get("step"))
        except (ValueError, AttributeError, RecursionError):
            damaged += 1
            continue
        if step is None or not math.isfinite(step):
            damaged += 1
            continue
        own = stages.setdefault(
            str(record.get("stage")), {"kind": str(record.get("kind")), "step": [], **{key: [] for key in KEYS}}
        )
        own["step"].append(step)
        for key in KEYS:
            value = number(record.get(key))
            own[key].append(None if value is None or not math.isfinite(value) else float(f"{value:.6g}"))
    for own in stages.values():
        for key in [key for key in KEYS if not any(value is not None for value in own[key])]:
            del own[key]
    end = begun + whole
    reset = begun == 0 and place != ""
    return {
        "stages": stages,
        "next": f"{name}:{end}",
        "reset": reset,
        "more": whole > 0 and end < about.st_size,
        "damaged": damaged,
    }
