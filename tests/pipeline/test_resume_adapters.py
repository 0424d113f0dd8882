"""Resuming where the model is not all there is to restore: an adapter, and a reference policy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.runtime.checkpoints import latest_checkpoint
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics
from mmupt.train import grpo


@pytest.mark.parametrize(
    "override", ["model.lora.rank=4", "model.gradient_checkpointing=true", 'model.freeze=["vision"]']
)
def test_interrupted_and_resumed_with_a_kl_term(
    micro: Callable[..., Path], questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, override: str
) -> None:
    """Checkpoint after step 2, interruption in step 4, resumed: weights and KL are those of a run left alone."""

    def only_upt(table: dict[str, Any]) -> None:
        table["stages"] = [s for s in table["stages"] if s["kind"] == "upt"]
        table["stages"][0].update(data={"path": str(questions)}, steps=5)
        del table["evaluation"]

    recipe = str(micro(only_upt))

    def run(name: str, **flags: bool) -> tuple[bytes, list[object]]:
        folder = tmp_path / name
        run_recipe(load_recipe(recipe, [f"run_dir={folder}", "algo.kl_coef=0.1", override]), **flags)
        layout = RunLayout(folder)
        checkpoint = latest_checkpoint(layout.checkpoints("upt"))
        assert checkpoint is not None
        return (checkpoint / "model.safetensors").read_bytes(), [m["kl"] for m in read_metrics(layout.metrics)]

    real, calls = grpo.write_groups, 0

    def interrupt(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        real(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(grpo, "write_groups", interrupt)
        run("stopped")
    weights, kl = run("stopped", resume=True)
    calm_weights, calm_kl = run("calm")
    assert kl == calm_kl and len(kl) == 5 and kl[-1] > 0  # type: ignore[operator]
    assert weights == calm_weights
