"""A language model as the judge of responses (arXiv 2505.22453 uses one of 32B): many cases, few requests.

What is asked and how a reply is read: `protocol.py`. The endpoint: `client.py`. What is kept: `cache.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mmupt.evals.judge.cache import VerdictCache, cache_key
from mmupt.evals.judge.client import JudgeClient
from mmupt.evals.judge.parallel import ask_in_parallel
from mmupt.evals.judge.protocol import Case, Verdict, fill, load_template
from mmupt.evals.settings import JudgeSettings


def judge_cases(
    cases: Sequence[Case], settings: JudgeSettings, cache: Path, *, advance: Callable[[int, int], None]
) -> dict[str, Verdict]:
    """The verdict on every case, by its key.

    Verdicts go to the file `cache` as they come, so that a killed run continues where it was, and cases that read the
    same are judged once. `advance` is told (cases done, cases in all). A reply without a readable verdict gives
    `correct=None`. Nothing is asked where everything is known and `settings.model` is set.

    Raises EngineError where the endpoint fails for good (verdicts until then are kept), ConfigError for settings that
    cannot work, RunFolderError for a damaged cache, and ValueError where two cases share a key.
    """
    if len({case.key for case in cases}) != len(cases):
        raise ValueError("two cases share a key")
    if not cases:
        return {}
    template = load_template(settings.prompt)
    model = settings.model if settings.model is not None else JudgeClient(settings).only_model()
    same: dict[str, list[Case]] = {}  # cases with the same prompt, by its name in the cache
    for case in cases:
        same.setdefault(cache_key(model, fill(template, case)), []).append(case)
    verdicts: dict[str, Verdict] = {}

    def decide(key: str, verdict: Verdict) -> None:
        verdicts.update((case.key, verdict) for case in same[key])
        advance(len(verdicts), len(cases))

    with VerdictCache(cache, settings.max_tokens) as known:
        pending = []
        for key in same:
            if (verdict := known.get(key)) is not None:
                decide(key, verdict)
            else:
                pending.append(key)
        if pending:
            client = JudgeClient(settings)
            for key, verdict in ask_in_parallel(
                lambda key: client.ask(model, fill(template, same[key][0])), pending, settings.workers
            ):
                known.add(key, model, verdict)
                decide(key, verdict)
    return verdicts
