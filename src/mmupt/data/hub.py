"""Rows of a Hugging Face data set. `datasets` is imported only when one is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmupt.data.rows import RawRow, RowSource
from mmupt.data.settings import DataSettings
from mmupt.errors import DataError

_NAME = re.compile(r"^[\w.-]+/[\w.-]+$", re.ASCII)


def hub_rows(settings: DataSettings, wanted: frozenset[str]) -> RowSource:
    """The rows of `hub:ORG/NAME`; pictures stay encoded until somebody looks at them.

    Raises `DataError` when the name is malformed or `datasets` cannot deliver: no such data set, subset, split or
    revision, or no connection.
    """
    name = settings.path.removeprefix("hub:")
    if not _NAME.match(name):
        raise DataError(f'data.path "{settings.path}" is malformed; write hub:ORG/NAME')
    dataset = _load(name, settings)
    columns = list(dataset.column_names)
    dataset = dataset.select_columns([column for column in columns if column in wanted])
    for column, feature in dataset.features.items():
        dataset = dataset.cast_column(column, _undecoded(feature))

    def read(source: RowSource) -> Iterator[RawRow]:
        for number, values in enumerate(dataset, 1):
            yield RawRow(number, source.where(number), values)

    return RowSource(
        label=f"{settings.path}[{settings.split}]",
        stem=name.rpartition("/")[2],
        folder=Path.cwd(),
        read=read,
        limit=settings.limit,
        columns=set(columns),
    )


def _load(name: str, settings: DataSettings) -> Any:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise DataError(f'data.path "hub:{name}" needs the package datasets: pip install datasets') from error
    try:
        return load_dataset(name, settings.subset, split=settings.split, revision=settings.revision)
    except Exception as error:  # network, hub, builder and Arrow errors have no common base
        asked = f"split {settings.split}"
        asked += f", subset {settings.subset}" if settings.subset else ""
        asked += f", revision {settings.revision}" if settings.revision else ""
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f'data.path "hub:{name}" ({asked}) could not be loaded: {reason} (check the name, split and connection; '
            "without a connection, save the data set elsewhere with Dataset.to_parquet and set data.path to that file)"
        ) from error


def _undecoded(feature: Any) -> Any:
    """The same feature with pictures left as struct{bytes, path}."""
    from datasets import Image, LargeList, List

    if isinstance(feature, Image):
        return Image(decode=False)
    if isinstance(feature, List):
        return List(_undecoded(feature.feature), length=feature.length)
    if isinstance(feature, LargeList):
        return LargeList(_undecoded(feature.feature))
    return feature
