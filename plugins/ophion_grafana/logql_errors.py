"""What is wrong with a LogQL query."""

from __future__ import annotations

from ophion_agent.server import BadRequest


class ParseError(BadRequest):
    """The text is not LogQL; the message is worded as Loki words it."""

    def __init__(self, message: str, text: str = "", position: int | None = None) -> None:
        if position is None:
            super().__init__(f"parse error : {message}")
            return
        before = text[:position]
        line, column = before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1
        super().__init__(f"parse error at line {line}, col {column}: {message}")


class Unsupported(BadRequest):
    """The text is LogQL that is not evaluated here."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} is not supported; {remedy}")
