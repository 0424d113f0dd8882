"""From a name in a recipe to the user's function or class. Here, and only here, foreign code is run.

It runs because the recipe names it: an entry point is looked up by name and loaded when that name is asked for; nothing
is searched for and nothing else is imported.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from mmupt.errors import ConfigError
from mmupt.rewards.own.naming import ENTRY_POINTS, Reference, entry_point_names, parse_reference


@dataclass(frozen=True, slots=True)
class OwnCode:
    """A loaded reward: `target` is a function of a `SampledGroup`, or a subclass of `Reward`. `file` and `sha256` are
    of the source it stands in, None where it has none (a built-in, a compiled module)."""

    name: str
    target: Callable[..., Any]
    file: str | None
    sha256: str | None

    @property
    def label(self) -> str:
        """How messages and metrics call it: a file without its folders."""
        reference = parse_reference(self.name)
        if reference is None or not reference.is_file:
            return self.name
        return f"{Path(reference.place).name}:{reference.attribute}"

    @property
    def is_class(self) -> bool:
        return inspect.isclass(self.target)

    @property
    def where(self) -> str:
        """The file and line of the definition, for messages."""
        try:
            return f"{self.file}, line {inspect.getsourcelines(self.target)[1]}"
        except (OSError, TypeError):
            return self.file or self.name


def load_own(name: str) -> OwnCode:
    """The reward that `name` names. Raises ConfigError where it is not there, cannot be loaded, or is neither a
    function of one group nor a subclass of `Reward`."""
    reference = _reference(name)
    if reference.is_file:
        file = Path(reference.place)
        if not file.is_file():
            raise ConfigError(f'reward.name "{name}": there is no file {file}; a path is relative to the recipe')
        module = _execute(str(file), file.read_bytes(), name)
    else:
        module = _import(reference.place, name)
    target = getattr(module, reference.attribute, None)
    source = Path(module.__file__) if module.__file__ is not None else None  # a namespace package has none
    if target is None:
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(
            f'reward.name "{name}": {reference.place} has no `{reference.attribute}`; '
            f"it has {', '.join(public) or 'nothing to call'}"
        )
    digest = hashlib.sha256(source.read_bytes()).hexdigest() if source is not None and source.is_file() else None
    own = OwnCode(name, target, str(source) if source is not None else None, digest)
    _check(own)
    return own


def line_of(error: BaseException, own: OwnCode) -> str:
    """Where in the user's file `error` came from: the innermost line of that file, else the innermost of all."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return own.where
    mine = [frame for frame in frames if own.file is not None and frame.filename == own.file]
    frame = (mine or frames)[-1]
    return f"{frame.filename}, line {frame.lineno}"


def _reference(name: str) -> Reference:
    if (reference := parse_reference(name)) is not None:
        return reference
    from importlib.metadata import entry_points

    for entry in entry_points(group=ENTRY_POINTS, name=name):
        if (reference := parse_reference(entry.value.replace(" ", ""))) is not None and not reference.is_file:
            return reference
        raise ConfigError(f'reward.name "{name}": its entry point is "{entry.value}"; it must be "package.module:name"')
    raise ConfigError(
        f'reward.name "{name}": no installed package lists such a reward under {ENTRY_POINTS!r}; '
        f"listed are {', '.join(entry_point_names()) or 'none'}"
    )


@lru_cache(maxsize=32)
def _execute(file: str, source: bytes, name: str) -> ModuleType:
    """A file run once for each of its contents."""
    digest = hashlib.sha256(source).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(f"mmupt_own_{Path(file).stem}_{digest}", file)
    if spec is None or spec.loader is None:
        raise ConfigError(f'reward.name "{name}": {file} cannot be loaded as Python')
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles look their module up
    try:
        exec(compile(source, file, "exec"), vars(module))
    except Exception as error:
        del sys.modules[spec.name]
        raise ConfigError(f'reward.name "{name}" cannot be loaded: {_told(error, file)}; fix it') from error
    return module


def _import(module: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise ConfigError(
            f'reward.name "{name}" cannot be loaded: {_told(error, None)}; a module must be installed or on PYTHONPATH '
            "(a file is named by its path: my/rewards.py:name)"
        ) from error


def _told(error: Exception, file: str | None) -> str:
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return f"{what.partition(' (')[0]} ({error.filename}, line {error.lineno})"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if file is not None and f.filename == file]
    return f"{what} ({file}, line {frames[-1].lineno})" if frames else what


def _check(own: OwnCode) -> None:
    from mmupt.rewards.base import Reward

    if own.is_class:
        if not (isinstance(own.target, type) and issubclass(own.target, Reward)):
            raise ConfigError(
                f'reward.name "{own.name}" is a class, but no subclass of mmupt.rewards.base.Reward; derive it from '
                "that, or name a function of a group"
            )
        if missing := sorted(getattr(own.target, "__abstractmethods__", ())):
            raise ConfigError(f'reward.name "{own.name}" has no method {", ".join(missing)}; write it ({own.where})')
        return
    if not callable(own.target):
        raise ConfigError(
            f'reward.name "{own.name}" is a {type(own.target).__name__}; name a function of a group, or a subclass of '
            "mmupt.rewards.base.Reward"
        )
    try:
        inspect.signature(own.target).bind(object())
    except TypeError:
        raise ConfigError(
            f'reward.name "{own.name}" must be callable with one group, def reward(group) -> list[float] ({own.where})'
        ) from None
    except ValueError:  # a built-in without a signature
        return
