"""`[sinks]`: who else is told what happens in a run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmupt.settings import Settings


class WandbSettings(Settings):
    """Weights & Biases. `name` is the run's, by default the recipe's; "offline" keeps everything in the run folder
    until `wandb sync`. Who one is, `wandb login` or WANDB_API_KEY says, never a recipe."""

    project: str = Field(default="mmupt", min_length=1)
    entity: str | None = None
    name: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = Field(default=(), strict=False)
    mode: Literal["online", "offline"] = "online"


class MlflowSettings(Settings):
    """MLflow. `tracking_uri` is a server or a store; by default what MLflow itself goes by (MLFLOW_TRACKING_URI)."""

    tracking_uri: str | None = Field(default=None, min_length=1)
    experiment: str = Field(default="mmupt", min_length=1)
    name: str | None = None


class SinkSettings(Settings):
    """Each sink is off until it is named; an empty table (`wandb = {}`) takes its defaults."""

    tensorboard: bool = False
    wandb: WandbSettings | None = None
    mlflow: MlflowSettings | None = None
