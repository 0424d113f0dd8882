"""What can go wrong because of something a user gave us.

Every message says three things: what is wrong, where (file, key, row), and what to do. The command line prints
the message alone and exits with code 2; a traceback means a bug in mmupt, never a mistake of its user.
"""

from __future__ import annotations


class MmuptError(Exception):
    """A problem the user can fix; shown without a traceback, exit code 2. `agreed` where several processes run and all
    of them raise it alike, so that it says of itself whose it is."""

    agreed = False


class ConfigError(MmuptError):
    """A recipe or an override that cannot run. Holds every fault found, so that they are fixed in one go."""

    def __init__(self, problems: str | list[str], *, where: str = "") -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        self.where = where
        head = f"{where}: " if where else ""
        if len(self.problems) == 1:
            text = head + self.problems[0]
        else:
            text = f"{head}{len(self.problems)} problems\n" + "\n".join(f"  - {p}" for p in self.problems)
        super().__init__(text)


class DataError(MmuptError):
    """A data set, a row or a picture that cannot be used."""


class ModelError(MmuptError):
    """A model or tokenizer that cannot be loaded, or that does not belong to this run."""


class EngineError(MmuptError):
    """A generation engine that is missing or that refuses the request."""


class RunFolderError(MmuptError):
    """A run folder that is in use, foreign or damaged."""


class TrainingError(MmuptError):
    """Training that cannot go on: a loss that is not finite, a group without tokens."""
