"""Which groups changed most, and what a run has cost."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmupt.answers.equivalence import same
from mmupt.report.changed import changed_most
from mmupt.report.cost import costs, device_of
from mmupt.report.reading import read_run
from mmupt.report.report import write_report
from mmupt.runtime.files import write_json
from mmupt.types import Prompt


def slow_distance(before: list[str | None], after: list[str | None]) -> float:
    """Half the sum over all distinct answers of the difference of their shares, found by comparing in pairs."""
    kinds: list[str | None] = []
    for answer in [*before, *after]:
        if not any(k is answer if k is None or answer is None else same(k, answer) for k in kinds):
            kinds.append(answer)

    def share(answers: list[str | None], kind: str | None) -> float:
        hits = [a is kind if a is None or kind is None else same(a, kind) for a in answers]
        return sum(hits) / len(answers)

    return sum(abs(share(before, kind) - share(after, kind)) for kind in kinds) / 2


def test_changes_are_those_of_a_slow_reference(tmp_path: Path, fake: SimpleNamespace) -> None:
    rng, run = random.Random(0), fake.make_run(tmp_path / "dice", upt_steps=3)
    seen: dict[str, list[list[str | None]]] = {}
    for step in (1, 2, 3):
        made = []
        for name in rng.sample([f"p{i}" for i in range(20)], 14):
            answers = [rng.choice(["1", "1/2", "0.5", "2", None]) for _ in range(6)]
            seen.setdefault(name, []).append(answers)
            made.append(fake.group(Prompt(name, "<image>q"), ["text"] * 6, answers))
        fake.keep(run, "upt", step, made)
    data = read_run(run.root)
    stage = next(stage for stage in data.stages if stage.name == "upt")
    found = changed_most(data, stage, 100)
    slow = {name: slow_distance(v[0], v[-1]) for name, v in seen.items() if len(v) > 1}
    assert {c.prompt_id: pytest.approx(c.distance) for c in found} == {p: d for p, d in slow.items() if d > 0}
    assert [c.distance for c in found] == sorted((c.distance for c in found), reverse=True)
    for change in found:
        assert change.first["answers"] == seen[change.prompt_id][0]
        assert change.last["answers"] == seen[change.prompt_id][-1] and change.first_step < change.last_step
    assert [c.prompt_id for c in changed_most(data, stage)] == [c.prompt_id for c in found[:10]]
    others = sum(len(changed_most(data, other)) for other in data.stages if other is not stage)
    html = write_report(run.root).read_text(encoding="utf-8")
    assert html.count('class="card change"') == 10 + others and "Changed most" in html


def test_cost_and_device(tmp_path: Path, fake: SimpleNamespace) -> None:
    run = fake.make_run(tmp_path / "dice", upt_steps=3)
    data = read_run(run.root)
    assert [(c.stage, c.steps, round(c.seconds, 1)) for c in costs(data)] == [
        ("sft", 200, 80),
        ("rl", 20, 38),
        ("upt", 3, 5.7),
    ]
    assert device_of(data) == ""
    data.stages[0].records[0]["peak_memory_bytes"] = 1
    assert device_of(data) == "CPU"
    data.stages[0].records[5]["peak_cuda_memory_bytes"] = 1
    assert device_of(data) == "a CUDA GPU"
    write_json(run.summary, {"device": "Some GPU"})
    assert device_of(read_run(run.root)) == "Some GPU"
    assert "time in steps" in write_report(run.root).read_text(encoding="utf-8")
