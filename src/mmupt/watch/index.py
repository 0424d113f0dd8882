"""All groups of a run, kept up to date file by file: what the browser's list is made of, and where it searches."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmupt.errors import RunFolderError
from mmupt.runtime.layout import RunLayout
from mmupt.watch.columns import GroupColumns, read_columns, read_texts

TEXT_BUDGET = 512 * 2**20
"""Bytes of text that are kept for searching; of files beyond it the text is read anew for every search."""
_GROUPS_AN_ANSWER = 4000  # after so many an answer is full, and the rest comes with the next one

_Signature = tuple[int, int, int]  # inode, size, time of the last change: another one is another file


@dataclass(frozen=True, slots=True)
class _Kept:
    """A file of groups as it was read; `serial` counts what was read, across all files. `groups` is None where it could
    not be read, `problem` says why."""

    serial: int
    signature: _Signature
    groups: GroupColumns | None
    problem: str | None = None


class GroupIndex:
    """The index of `layout`'s groups. Any thread may call each method; nothing is read twice unless it has changed.

    A file is taken as it is: a run that is resumed writes steps anew, and a changed file takes the old one's place.
    """

    def __init__(self, layout: RunLayout, text_budget: int = TEXT_BUDGET) -> None:
        self._layout, self._budget = layout, text_budget
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, int], _Kept] = {}
        self._gone: list[tuple[int, str, int]] = []  # (serial, stage, step) of files that have disappeared
        self._serial = 0

    def news(self, after: int, seconds: float) -> dict[str, Any]:
        """What has changed since the answer that ended with the serial `after` (0: everything).

        Reads new files, the newest steps first, for about `seconds` at most; `more` is true where some are left, or
        where there is more to tell than fits into one answer. The next call goes on after `next`.
        """
        with self._lock:
            unread = self._refresh(seconds)
            fresh = sorted((kept.serial, place) for place, kept in self._kept.items() if kept.serial > after)
            files: list[dict[str, Any]] = []
            told, count = after, 0
            for serial, (stage, step) in fresh:
                if count >= _GROUPS_AN_ANSWER:
                    break
                told = serial
                groups = self._kept[stage, step].groups
                if groups is not None:
                    count += groups.count
                    files.append({"stage": stage, "step": step, "serial": serial, "questions": groups.questions,
                                  **groups.columns})  # fmt: skip
            all_told = not fresh or told == fresh[-1][0]
            gone = [[serial, stage, step] for serial, stage, step in self._gone if after < serial]
            return {
                "files": files,
                "gone": gone,
                "next": self._serial if all_told else told,
                "more": unread > 0 or not all_told,
                "left": unread,
                "problems": [kept.problem for kept in self._kept.values() if kept.problem is not None],
            }

    def search(self, query: str) -> list[tuple[int, list[int]]]:
        """(serial of a file, its rows) wherever id, question, options, an answer or a response holds `query`, whatever
        the case. Only files that `news` has told of are looked through."""
        needle = query.casefold()
        with self._lock:
            kept = list(self._kept.items())
        found = []
        for (stage, step), file in kept:
            if file.groups is None:
                continue
            try:
                texts = file.groups.texts or read_texts(self._layout.groups(stage, step))
            except RunFolderError:  # it has gone since; the next news will say so
                continue
            if rows := [row for row, text in enumerate(texts) if needle in text]:
                found.append((file.serial, rows))
        return found

    def path(self, stage: str, step: int) -> Path | None:
        """The file of a step that the index knows; None for any other, so that no name leads out of the folder."""
        with self._lock:
            return self._layout.groups(stage, step) if (stage, step) in self._kept else None

    def _refresh(self, seconds: float) -> int:
        """Returns how many files are left to read."""
        there = dict(self._files())
        for place in [place for place in self._kept if place not in there]:
            del self._kept[place]
            self._serial += 1
            self._gone.append((self._serial, *place))
        new = [p for p, signature in there.items() if p not in self._kept or self._kept[p].signature != signature]
        new.sort(key=lambda place: -place[1])
        until = time.monotonic() + seconds
        for done, place in enumerate(new):
            if done and time.monotonic() > until:
                return len(new) - done
            self._kept[place] = self._read(place, there[place])
        return 0

    def _read(self, place: tuple[str, int], signature: _Signature) -> _Kept:
        self._serial += 1
        try:
            groups = read_columns(self._layout.groups(*place))
        except RunFolderError as error:
            return _Kept(self._serial, signature, None, str(error))
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:  # the right names with other content
            said = f"{self._layout.groups(*place)}: is no file of groups that can be shown ({type(error).__name__})"
            return _Kept(self._serial, signature, None, said)
        held = sum(k.groups.nbytes for p, k in self._kept.items() if k.groups is not None and p != place)
        if held + groups.nbytes > self._budget:
            groups = replace(groups, texts=(), nbytes=0)
        return _Kept(self._serial, signature, groups)

    def _files(self) -> Iterator[tuple[tuple[str, int], _Signature]]:
        root = self._layout.root / "groups"
        for stage in _names(root):
            for name in _names(root / stage):
                step = name.removesuffix(".parquet")
                try:
                    path = self._layout.groups(stage, int(step)) if step.isdecimal() else None
                    if path is None or path.name != name:  # a file that is being written, or none of ours
                        continue
                    found = path.stat()
                except (OSError, ValueError):
                    continue
                yield (stage, int(step)), (found.st_ino, found.st_size, found.st_mtime_ns)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
