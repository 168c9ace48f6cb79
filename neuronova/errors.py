"""What an operator's command cannot do: one sentence, and what to do about it."""

from __future__ import annotations


class OperatorError(Exception):
    """Shown without a traceback; the exit code is 1."""

    code = "ERR_500"
    temporary = False

    def __init__(self, sentence: str, *, do: str = "") -> None:
        super().__init__(f"{sentence} ({do})" if do else sentence)
