"""A folder of pictures and nothing else, through synth, probe and upt, as docs/how-to/pictures.md tells it. The tiny
model is untrained: what it says is replaced, all else is real."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner, Result

from mmupt.cli import app
from mmupt.engines.base import Request, Sampling
from mmupt.engines.hf import HFEngine
from mmupt.types import Rollout
from mmupt.world.draw import png_bytes
from mmupt.world.kinds.dice import Dice

MINE = """
name = "mine"

[model]
path = "world:tiny"
dtype = "float32"

[data]
path = "my/questions"

[prompt]
suffix = ""
min_pixels = 3136

[rollout]
group_size = 4
max_new_tokens = 48

[[stages]]
kind = "upt"
name = "upt"
steps = 2
prompts_per_step = 2
updates_per_step = 1
"""


def mmupt(*arguments: str) -> Result:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done


def test_three_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def generate(self: HFEngine, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        tokenizer = self.loaded.family.tokenizer
        found = []
        for request in requests:
            asked = "ask a question" in tokenizer.decode(request.encoded.token_ids).lower()
            texts = ["Largest die?" if asked else rf"\boxed{{{max(s % 5, 2)}}}" for s in request.seeds]
            found.append(tuple(Rollout((1,), (-1.0,), text, "end") for text in texts))
        return found

    monkeypatch.setattr(HFEngine, "generate", generate)
    monkeypatch.chdir(tmp_path)
    Path("my/pictures").mkdir(parents=True)
    for number in range(6):
        Path(f"my/pictures/{number}.png").write_bytes(png_bytes(Dice.random(Random(f"picture {number}")).draw()))
    Path("mine.toml").write_text(MINE)

    written = mmupt("synth", "--model", "world:tiny", "--data", "my/pictures", "--out", "my/questions",
                    "--set", 'prompt.suffix=""', "--set", "prompt.min_pixels=3136",
                    "--set", "stages.synth.candidates=1", "--set", "stages.synth.filters.reference=off",
                    "--set", "stages.synth.filters.share=[0.2,0.9]",
                    "--set", "stages.synth.templates.direct=Ask a question about this picture.")  # fmt: skip
    assert "6 questions written" in written.stdout
    assert "next: mmupt probe RECIPE --set data.path=my/questions" in written.stdout
    assert Path("my/questions/page.html").exists()

    probed = mmupt("probe", "mine.toml")
    assert "recommendation: " in probed.stdout

    ran = mmupt("run", "mine.toml")
    assert "questions without labels from my/questions" in ran.stdout and "step 2/2" in ran.stdout
    page = Path("runs/mine/report.html").read_text(encoding="utf-8")
    for told in ("Learns from the questions of my/questions, without their labels.",
                 "Rewarded is an answer that agrees with what most answers of the stage",
                 "of 4 rewarded", ">Largest die?<"):  # fmt: skip
        assert told in page, told
