"""The run folder: created once, owned by one process, resumed with the same recipe only."""

from __future__ import annotations

import json
import logging
import platform
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import mmupt
from mmupt.errors import RunFolderError
from mmupt.runtime.files import remove_temporaries, write_json, write_text
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.lock import FolderLock

_log = logging.getLogger(__name__)
_ABSENT = "(absent)"


class RunFolder(RunLayout):
    """A run folder this process may write to, locked until `close`. Under torchrun only rank 0 opens it.

        with RunFolder.create(Path("runs/first"), recipe_toml, seed=0) as run:
            write_json(run.summary, {...})

    The methods that name its files are RunLayout's.
    """

    _lock: FolderLock

    def __init__(self, root: Path, lock: FolderLock) -> None:
        super().__init__(root)
        object.__setattr__(self, "_lock", lock)  # the paths are frozen; the lock is the one thing that has a life

    @classmethod
    def create(cls, path: Path, recipe_toml: str, seed: int) -> Self:
        """A new run in `path`, which must not exist or be empty; `recipe_toml` is the resolved recipe.

        Raises RunFolderError where the folder is in use, holds a run or anything else, or cannot be written; then
        nothing of the attempt is left behind.
        """
        tomllib.loads(recipe_toml)
        layout = RunLayout(Path(path))
        made = [folder for folder in (layout.root, *layout.root.parents) if not folder.exists()]
        lock, ours = None, []
        try:
            before = _names(layout.root)
            if "lock" not in before:  # else somebody may be at work in there, which is the first thing to say
                _require_vacant(layout, before)
            layout.root.mkdir(parents=True, exist_ok=True)
            lock = FolderLock(layout.root)
            if "lock" not in before:
                ours.append(lock.path)
            _require_vacant(layout, _names(layout.root))
            ours += [layout.recipe, layout.run]
            write_text(layout.recipe, recipe_toml)
            write_json(layout.run, _describe(seed))  # last: a folder without it was never a run
            return cls(layout.root, lock)
        except BaseException as error:
            for file in ours:
                file.unlink(missing_ok=True)
            if lock is not None:
                lock.release()
            with suppress(OSError):  # a folder that somebody else has put something into stays
                for folder in made:
                    folder.rmdir()
            refused = error if isinstance(error, OSError) else error.__cause__
            if isinstance(refused, OSError):
                reason = refused.strerror or refused
                raise RunFolderError(
                    f"{layout.root}: the run folder cannot be created ({reason}); choose another one"
                ) from error
            raise

    @classmethod
    def resume(cls, path: Path, recipe_toml: str) -> Self:
        """The run that was begun in `path`, to go on with the same resolved recipe, but for `[processes]`.

        Raises RunFolderError where there is no run, where another process holds it, or where the recipe differs; then
        it lists each differing key with its old and new value.
        """
        layout = RunLayout(Path(path))
        if not layout.root.is_dir():
            raise RunFolderError(f"{layout.root}: there is no run to resume; check the path, or start a new run there")
        for file in (layout.run, layout.recipe):
            if not file.is_file():
                raise RunFolderError(
                    f"{layout.root}: is not a run folder, it holds no {file.name}; "
                    "check the path, or start a new run elsewhere"
                )
        try:
            lock = FolderLock(layout.root)
        except OSError as error:
            raise RunFolderError(f"{layout.root}: the run folder cannot be written ({error.strerror})") from error
        try:
            _require_same_recipe(layout, recipe_toml)
            _warn_about_versions(layout)
            remove_temporaries(layout.root)
            return cls(layout.root, lock)
        except BaseException:
            lock.release()
            raise

    @staticmethod
    def remove(path: Path) -> None:
        """Deletes a run that nobody is at work in. Raises RunFolderError for a folder that is in use, or no run."""
        layout = RunLayout(Path(path))
        if not layout.run.is_file():
            raise RunFolderError(
                f"{layout.root}: is not a run folder, it holds no {layout.run.name}, and is not deleted; choose another"
            )
        lock = FolderLock(layout.root)
        try:
            shutil.rmtree(layout.root)
        finally:
            lock.release()

    @property
    def seed(self) -> int:
        return int(_read_run(self)["seed"])

    def close(self) -> None:
        """Gives the folder back."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def recipe_differences(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """One line a differing key, "stages[1].steps: 60 -> 80", in the order of the keys. Types count: 8 is not 8.0."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    return [
        f"{key}: {before.get(key, _ABSENT)} -> {after.get(key, _ABSENT)}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    ]


def _leaves(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, value as TOML would show it) of everything below `value`; an empty table or list is a leaf."""
    if isinstance(value, Mapping) and (value or not key):
        for name, item in value.items():
            yield from _leaves(item, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{key}[{index}]")
    else:
        yield key, json.dumps(value, ensure_ascii=False, default=str)


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.exists() else set()


def _require_vacant(layout: RunLayout, names: set[str]) -> None:
    if layout.run.name in names:
        raise RunFolderError(f"{layout.root}: already holds a run; resume it, or choose another folder for a new one")
    # A creation that was killed has left its lock and perhaps the recipe: that may be built upon.
    unfinished = {"lock", layout.recipe.name} if "lock" in names else set()
    foreign = sorted(name for name in names - unfinished if not ("lock" in names and ".tmp-" in name))
    if foreign:
        raise RunFolderError(
            f"{layout.root}: is not empty (it holds {foreign[0]!r}) and is no run; choose a new or an empty folder"
        )


_WORKERS = "processes"
"""The table that says how processes work together. Like their number it may change: nothing that comes of it does."""


def _require_same_recipe(layout: RunLayout, recipe_toml: str) -> None:
    try:
        old = tomllib.loads(layout.recipe.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{layout.recipe}: damaged ({error}); start a new run") from error
    new = tomllib.loads(recipe_toml)
    differences = recipe_differences(*({**recipe, _WORKERS: {}} for recipe in (old, new)))
    if differences:
        listed = "\n".join(f"  - {line}" for line in differences)
        raise RunFolderError(
            f"{layout.root}: was begun with another recipe; "
            f"resume with the same one, or start a new run elsewhere\n{listed}"
        )
    if old != new:
        write_text(layout.recipe, recipe_toml)


def _versions() -> dict[str, str | None]:
    """None for a library that is not installed; nothing is imported to find out."""
    found: dict[str, str | None] = {"mmupt": mmupt.__version__, "python": platform.python_version()}
    for library in ("torch", "transformers"):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = None
    return found


def _describe(seed: int) -> dict[str, object]:
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {"versions": _versions(), "seed": seed, "platform": platform.platform(), "created": created}


def _read_run(layout: RunLayout) -> dict[str, Any]:
    try:
        return dict(json.loads(layout.run.read_text(encoding="utf-8")))
    except ValueError as error:
        raise RunFolderError(f"{layout.run}: damaged ({error}); start a new run") from error


def _warn_about_versions(layout: RunLayout) -> None:
    begun = _read_run(layout).get("versions")
    for library, now in _versions().items():
        if isinstance(begun, dict) and begun.get(library) != now:
            _log.warning(
                "%s: begun with %s %s, resumed with %s: what follows may differ in its last digits",
                layout.root, library, begun.get(library), now,
            )  # fmt: skip
