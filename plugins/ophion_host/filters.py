"""Include and exclude lists by name, as otelcol's `filterset`: exact names or unanchored regular expressions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from ophion_agent.plugin import Config


class Match(Config):
    """A list of names and how they are compared. Subclasses add the list, under the name in `list_field`."""

    list_field: ClassVar[str]

    match_type: Literal["strict", "regexp"] = Field(
        description="`strict` compares whole names; `regexp` searches for the expression anywhere in the name."
    )

    @property
    def patterns(self) -> list[str]:
        """The names or expressions as configured."""
        found: list[str] = getattr(self, self.list_field)
        return found

    @model_validator(mode="after")
    def _check_expressions(self) -> Self:
        for pattern in self.patterns if self.match_type == "regexp" else ():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"{self.list_field}: invalid regular expression {pattern!r}: {error}; "
                    "correct it or use match_type: strict"
                ) from None
        return self

    def predicate(self) -> Callable[[str], bool]:
        """A function that tells whether a name is in the list."""
        if self.match_type == "strict":
            return frozenset(self.patterns).__contains__
        expressions = [re.compile(pattern) for pattern in self.patterns]
        return lambda name: any(expression.search(name) for expression in expressions)


class DeviceMatch(Match):
    """Device names."""

    list_field = "devices"
    devices: list[str] = Field(default_factory=list, description="Device names.")


class FsTypeMatch(Match):
    """Filesystem types."""

    list_field = "fs_types"
    fs_types: list[str] = Field(default_factory=list, description="Filesystem types, such as `ext4`.")


class MountPointMatch(Match):
    """Mount points."""

    list_field = "mount_points"
    mount_points: list[str] = Field(default_factory=list, description="Mount points, as the host sees them.")


class InterfaceMatch(Match):
    """Network interfaces."""

    list_field = "interfaces"
    interfaces: list[str] = Field(default_factory=list, description="Network interface names.")


class ProcessMatch(Match):
    """Executable names of processes."""

    list_field = "names"
    names: list[str] = Field(default_factory=list, description="Executable names.")


def name_filter(include: Match | None, exclude: Match | None) -> Callable[[str], bool]:
    """A function that tells whether a name is wanted. A list that is absent or empty decides nothing."""
    included = include.predicate() if include and include.patterns else None
    excluded = exclude.predicate() if exclude and exclude.patterns else None
    return lambda name: (included is None or included(name)) and (excluded is None or not excluded(name))
