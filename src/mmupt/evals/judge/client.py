"""The judge's endpoint: one question, one reply, and errors that say what to do. `openai` is imported when one is used.

The client retries what passes (429, 5xx, timeouts, dropped connections) with growing pauses, as the server asks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from mmupt.errors import ConfigError, EngineError
from mmupt.evals.judge.protocol import Verdict, read_verdict
from mmupt.evals.settings import JudgeSettings

_Reply = TypeVar("_Reply")
_SHOWN = 300  # characters of what a server says


class JudgeClient:
    """Speaks to the endpoint of `settings`; safe to use from several threads.

    Raises EngineError where `openai` is missing and ConfigError where the key cannot be sent.
    """

    def __init__(self, settings: JudgeSettings) -> None:
        try:
            import openai
        except ImportError as error:
            raise EngineError("a judge needs the package openai: pip install 'mmupt[judge]'") from error
        self._settings = settings
        self._key = os.environ.get(settings.key_env, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise ConfigError(f"the key in {settings.key_env} holds characters that no key has; set it again")
        self._openai = openai
        self._client = openai.OpenAI(
            base_url=settings.url,
            api_key=self._key or "none",  # a local server asks for none, the package insists on one
            timeout=settings.timeout,
            max_retries=settings.retries,
        )

    def only_model(self) -> str:
        """The one model that the endpoint serves. Raises ConfigError where there are several, or none."""
        page = self._call(self._client.models.list, "name the model, judge.model = ...")
        served = [model.id for model in page.data] if isinstance(getattr(page, "data", None), list) else []
        if len(served) == 1 and isinstance(served[0], str):
            return served[0]
        what = "serves several models" if served else "does not say which models it serves"
        raise ConfigError(f"judge at {self._settings.url} {what}; set judge.model" + _choices(served))

    def ask(self, model: str, prompt: str) -> Verdict:
        """One verdict. Raises EngineError where the endpoint cannot or will not give a reply."""
        reply = self._call(
            lambda: self._client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": prompt}],
                max_tokens=self._settings.max_tokens,
                temperature=self._settings.temperature,
            ),
            "check the settings of the judge",
        )
        choices = getattr(reply, "choices", None)  # a server of another kind answers with anything, a page of HTML too
        if not isinstance(choices, list) or not choices or getattr(choices[0], "message", None) is None:
            raise self._error(
                "gave a reply that is no chat completion", "is this the address of an API (often .../v1)?"
            )
        text = choices[0].message.content
        text = text if isinstance(text, str) else ""  # thinking alone, or a filter
        return Verdict(read_verdict(text, cut=choices[0].finish_reason == "length"), text)

    def _call(self, request: Callable[[], _Reply], otherwise: str) -> _Reply:
        openai, settings = self._openai, self._settings
        try:
            return request()
        except openai.APITimeoutError as error:
            raise self._error(
                f"gave no reply within {settings.timeout:g} s, {settings.retries + 1} times",
                "raise judge.timeout or lower judge.workers",
            ) from error
        except openai.APIConnectionError as error:
            reason = str(error.__cause__ or error)
            raise self._error(f"cannot be reached: {reason}", "is the server running, and judge.url right?") from error
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            state = "is set" if self._key else "is not set"
            advice = f"check the key: the environment variable {settings.key_env} {state}"
            raise self._error(_said(error), advice) from error
        except openai.NotFoundError as error:
            raise self._error(_said(error), "check judge.model, and judge.url (often .../v1)") from error
        except openai.RateLimitError as error:
            raise self._error(_said(error), "lower judge.workers, or look at your quota") from error
        except openai.APIStatusError as error:
            advice = "look at the server's log" if error.status_code >= 500 else otherwise
            raise self._error(_said(error), advice) from error
        except (openai.OpenAIError, ValueError) as error:  # a body that is not JSON, or not of this API
            raise self._error(
                f"gave a reply that cannot be read: {error}", "is judge.url right (often .../v1)?"
            ) from error

    def _error(self, what: str, advice: str) -> EngineError:
        """What was judged before is kept, so that the advice can end in going on."""
        what = " ".join(what.split())
        if self._key:  # some servers repeat it
            what = what.replace(self._key, "***")
        what = what if len(what) <= _SHOWN else what[:_SHOWN] + " ..."
        return EngineError(f"judge at {self._settings.url} {what}; {advice}. Verdicts so far are kept: start it again")


def _said(error: object) -> str:
    """Status and words of the server."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return f"answered {getattr(error, 'status_code', '?')}: {message or getattr(error, 'message', error)}"


def _choices(names: list[str]) -> str:
    return f" to one of: {', '.join(map(str, names))}" if names else ""
