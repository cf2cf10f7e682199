"""The typed form of a PromQL expression that everything after the parser works on. Times are milliseconds."""

from dataclasses import dataclass
from typing import Literal

ValueType = Literal["scalar", "vector", "matrix", "string"]
At = int | Literal["start", "end"] | None


@dataclass(frozen=True, slots=True)
class Matcher:
    """One label matcher; `op` is one of = != =~ !~."""

    name: str
    op: str
    value: str


@dataclass(frozen=True, slots=True)
class Number:
    """A scalar literal."""

    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """A string literal."""

    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """An instant vector selector; the metric name is a matcher on `__name__`."""

    matchers: tuple[Matcher, ...]
    offset: int = 0
    at: At = None

    @property
    def one_name(self) -> bool:
        """Tell whether all series it can select have the same metric name."""
        return any(matcher.name == "__name__" and matcher.op == "=" for matcher in self.matchers)


@dataclass(frozen=True, slots=True)
class Range:
    """A range vector selector."""

    selector: Selector
    range: int


@dataclass(frozen=True, slots=True)
class Subquery:
    """`expression[range:step]`; without a step the default resolution holds."""

    expression: "Node"
    range: int
    step: int | None
    offset: int = 0
    at: At = None


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; `returns` as the grammar says."""

    name: str
    arguments: tuple["Node", ...]
    returns: ValueType


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregation; with neither `by` nor `without` it is `by ()`."""

    op: str
    expression: "Node"
    parameter: "Node | None"
    labels: tuple[str, ...]
    without: bool


@dataclass(frozen=True, slots=True)
class Matching:
    """How the sides of a binary operator find one another.

    `card` is "one" (one-to-one), "left" (group_left), "right" (group_right) or "many" (set operators).
    """

    card: Literal["one", "left", "right", "many"]
    on: bool
    labels: tuple[str, ...]
    include: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary operator; `matching` matters only between two vectors."""

    op: str
    left: "Node"
    right: "Node"
    matching: Matching
    returns_bool: bool


@dataclass(frozen=True, slots=True)
class Negate:
    """Unary minus."""

    expression: "Node"


Node = Number | Text | Selector | Range | Subquery | Call | Aggregate | Binary | Negate


def type_of(node: Node) -> ValueType:
    """Return the type of the value that a node evaluates to."""
    match node:
        case Number():
            return "scalar"
        case Text():
            return "string"
        case Range() | Subquery():
            return "matrix"
        case Call():
            return node.returns
        case Binary():
            both_scalar = type_of(node.left) == type_of(node.right) == "scalar"
            return "scalar" if both_scalar else "vector"
        case Negate():
            return type_of(node.expression)
    return "vector"


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below one."""
    match node:
        case Range():
            return (node.selector,)
        case Subquery() | Negate():
            return (node.expression,)
        case Call():
            return node.arguments
        case Aggregate():
            return (node.expression,) if node.parameter is None else (node.parameter, node.expression)
        case Binary():
            return (node.left, node.right)
    return ()
