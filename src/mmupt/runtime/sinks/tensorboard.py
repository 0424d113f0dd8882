"""TensorBoard: event files in the run folder, under `tensorboard/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from mmupt.runtime.sinks.base import About, Sink

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard(Sink):
    """One curve a figure, `upt/reward`; a resumed run adds a file to the same folder, which TensorBoard reads as one
    run."""

    package: ClassVar[str] = "tensorboard"
    _writer: SummaryWriter

    def begin(self, about: About, run_id: str | None) -> str | None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(about.root / "tensorboard"))
        return "tensorboard"

    def figures(self, series: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{series}/{name}", value, step)
        self._writer.flush()  # a kill loses nothing that was told

    def event(self, series: str, step: int, text: str) -> None:
        self._writer.add_text(f"{series}/events", text, step)
        self._writer.flush()

    def end(self, *, finished: bool) -> None:
        self._writer.close()
