"""The shop that the pages show: which traces there are, when, and what they look like. Pure, the same at every run.

Everything hangs on `now_ns`, the time at which the data was made; a trace has a number n, 0 the oldest:

- `TRACES` traces over the last two hours, one every `TRACE_SECONDS` seconds on average, in waves of 20 minutes:
  `GET /products` 60 %, `POST /checkout` 30 %, `GET /cart` 10 %; `trace_id(n)` is its id.
- `SLOW` (ten minutes before now) is a checkout of `SLOW_SECONDS`, which waits for `INSERT charges` on host web-2,
  whose CPU is busy in that minute (`BUSY_HOST`, `BUSY_MINUTES`).
- `FAILED` (five minutes before now) is a checkout refused by `payment` with the exception `CardDeclined`.
- Of the other checkouts every 17th is refused, every 23rd is slow (about 1.5 s).
"""

import bisect
import hashlib
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

SECOND = 10**9
WINDOW_SECONDS = 7200
TRACE_SECONDS = 6
TRACES = WINDOW_SECONDS // TRACE_SECONDS
SLOW = TRACES - 100
FAILED = TRACES - 50
SLOW_SECONDS = 4.2
_WAVES = 6
BUSY_HOST = "web-2"
BUSY_MINUTES = (11, 9)
REGIONS = ("eu-central", "eu-west", "us-east")

Kind = Literal["server", "client", "producer", "internal"]
Value = str | int | float | bool


@dataclass(frozen=True)
class Instance:
    """One process of a service, in a container on a host."""

    service: str
    host: str
    container: str

    @property
    def container_id(self) -> str:
        """The 64 hexadecimal digits that Docker would have given it."""
        return hashlib.sha256(self.container.encode()).hexdigest()

    def attributes(self) -> dict[str, Value]:
        """The resource that the SDK reports."""
        return {
            "service.name": self.service,
            "service.version": "2.14.3",
            "service.instance.id": f"{self.container}@{self.host}",
            "deployment.environment.name": "production",
            "host.name": self.host,
            "container.id": self.container_id,
            "container.name": self.container,
        }


INSTANCES = (
    Instance("frontend", "web-1", "shop-frontend-1"),
    Instance("checkout", "web-1", "shop-checkout-1"),
    Instance("checkout", "web-2", "shop-checkout-2"),
    Instance("payment", "web-2", "shop-payment-1"),
    Instance("inventory", "web-3", "shop-inventory-1"),
)
SERVICES = ("checkout", "frontend", "inventory", "payment")
HOSTS = ("web-1", "web-2", "web-3")
CONTAINERS = tuple(instance.container for instance in INSTANCES)
CALLS = (("checkout", "inventory"), ("checkout", "payment"), ("frontend", "checkout"), ("frontend", "inventory"))
"""Which service calls which: the edges of the service map."""


@dataclass(frozen=True)
class Line:
    """A log record that a span writes: `late` is where in the span, 0 to 1."""

    level: Literal["debug", "info", "warn", "error"]
    body: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
    late: float = 0.5


@dataclass(frozen=True)
class Step:
    """A span: its own time, then that of its children, one after the other or all at once (`parallel`)."""

    service: str
    name: str
    kind: Kind
    own_ms: float
    attributes: Mapping[str, Value] = field(default_factory=dict)
    children: tuple["Step", ...] = ()
    parallel: bool = False
    error: str = ""
    exception: str = ""
    lines: tuple[Line, ...] = ()

    @property
    def milliseconds(self) -> float:
        """How long the span takes."""
        below = [child.milliseconds for child in self.children]
        return self.own_ms + (max(below, default=0.0) if self.parallel else sum(below))

    def walk(self) -> Iterator["Step"]:
        """Every span of the tree, this one first."""
        yield self
        for child in self.children:
            yield from child.walk()


def trace_id(number: int, prefix: str = "") -> str:
    """The id of a trace, 32 hexadecimal digits; `prefix` is that of the services' names."""
    return hashlib.md5(f"{prefix}shop {number}".encode(), usedforsecurity=False).hexdigest()


def started_ns(number: int, now_ns: int) -> int:
    """When a trace begins; those with a name begin exactly where the module says."""
    if number in (SLOW, FAILED):
        return now_ns - (TRACES - number) * TRACE_SECONDS * SECOND
    return now_ns - int(_seconds_back(number) * SECOND) + random.Random(number).randrange(SECOND)


def number_at(time_ns: int, now_ns: int) -> int:
    """The last trace that has begun some seconds before a time; -1 where there is none."""
    back = (now_ns - time_ns) / SECOND + 8
    return bisect.bisect_right(range(TRACES), -back, key=lambda number: -_seconds_back(number)) - 1


def _seconds_back(number: int) -> float:
    waves = 2 * math.pi * _WAVES
    return WINDOW_SECONDS * (1 - number / TRACES) - WINDOW_SECONDS * 0.6 * math.sin(waves * number / TRACES) / waves


def instance_of(service: str, number: int) -> Instance:
    """Which instance serves a trace; the slow one meets the busy host."""
    found = [instance for instance in INSTANCES if instance.service == service]
    return found[-1] if number == SLOW else found[number % len(found)]


def trace_plan(number: int) -> Step:
    """The root span of a trace."""
    rng = random.Random(f"plan {number}")
    if number in (SLOW, FAILED) or number % 10 in (2, 5, 8):
        return _checkout(number, rng)
    return _cart(number, rng) if number % 10 == 7 else _products(number, rng)


def is_refused(number: int) -> bool:
    """Whether `payment` refuses the card of a checkout."""
    return number == FAILED or (number % 17 == 0 and number != SLOW)


def _took(rng: random.Random, median_ms: float) -> float:
    return median_ms * math.exp(rng.gauss(0, 0.35))


def _server(service: str, method: str, route: str, status: int, own_ms: float, **more: object) -> Step:
    attributes: dict[str, Value] = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
        "url.path": route.replace("{sku}", "sku-7"),
        "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    }
    attributes.update(more.pop("attributes", {}))  # type: ignore[call-overload]
    return Step(service, f"{method} {route}", "server", own_ms, attributes, **more)  # type: ignore[arg-type]


def _call(service: str, peer: str, method: str, route: str, status: int, child: Step, error: str = "") -> Step:
    attributes: dict[str, Value] = {
        "http.request.method": method,
        "http.response.status_code": status,
        "server.address": peer,
        "url.full": f"http://{peer}:8080{route}",
    }
    return Step(service, method, "client", 1.2, attributes, (child,), error=error)


def _database(service: str, operation: str, table: str, sql: str, own_ms: float, **more: object) -> Step:
    attributes: dict[str, Value] = {
        "db.system.name": "postgresql",
        "db.namespace": "shop",
        "db.operation.name": operation,
        "db.collection.name": table,
        "db.query.text": sql,
        "server.address": "db-1",
    }
    return Step(service, f"{operation} {table}", "client", own_ms, attributes, **more)  # type: ignore[arg-type]


def _products(number: int, rng: random.Random) -> Step:
    sql = "SELECT sku, name, price FROM products WHERE category = $1 LIMIT 50"
    select = _database("inventory", "SELECT", "products", sql, _took(rng, 9))
    listed = _server("inventory", "GET", "/stock", 200, _took(rng, 4), children=(select,))
    shown = Line("info", f"GET /products 200 {rng.randrange(5, 60)} items", {"region": REGIONS[number % 3]}, 0.95)
    return _server(
        "frontend", "GET", "/products", 200, _took(rng, 6), lines=(shown,),
        children=(_call("frontend", "inventory", "GET", "/stock", 200, listed),),
    )  # fmt: skip


def _cart(number: int, rng: random.Random) -> Step:
    attributes: dict[str, Value] = {"db.system.name": "redis", "db.operation.name": "GET", "server.address": "cache-1"}
    get = Step("frontend", "GET cart", "client", _took(rng, 1), attributes)
    missed = Line("debug", f"cache miss cart:{number}", {"cache.hit": False}, 0.3)
    return _server("frontend", "GET", "/cart", 200, _took(rng, 3), children=(get,), lines=(missed,))


def _insert_ms(number: int, rng: random.Random) -> float:
    if number == SLOW:
        return SLOW_SECONDS * 1000 - 60
    return 1500 + rng.random() * 300 if number % 23 == 0 else _took(rng, 14)


def _payment(number: int, rng: random.Random, refused: bool) -> Step:
    slow_ms = _insert_ms(number, rng)
    waited = Line("warn", f"slow statement: INSERT charges took {slow_ms:.0f} ms", {"db.rows": 1}, 0.99)
    sql = "INSERT INTO charges (order_id, amount, currency) VALUES ($1, $2, $3)"
    insert = _database("payment", "INSERT", "charges", sql, slow_ms, lines=(waited,) if slow_ms > 1000 else ())
    fraud = Step("payment", "fraud check", "internal", _took(rng, 7), {"fraud.score": round(rng.random(), 3)})
    if refused:
        why = f"card declined for order {number}"
        refusal = Line("error", f"charge failed: {why}", {"order.id": number, "exception.type": "CardDeclined"})
        return _server(
            "payment", "POST", "/charges", 402, 3, error=why, exception=why, lines=(refusal,), children=(fraud,)
        )
    charged = Line("info", f"charged order {number}", {"order.id": number}, 0.98)
    return _server(
        "payment", "POST", "/charges", 201, 5, parallel=True, lines=(charged,), children=(fraud, insert)
    )  # fmt: skip


def _checkout(number: int, rng: random.Random) -> Step:
    refused = is_refused(number)
    status, error = (502, "payment refused") if refused else (201, "")
    sql = "UPDATE stock SET reserved = reserved + $1 WHERE sku = $2"
    update = _database("inventory", "UPDATE", "stock", sql, _took(rng, 6))
    reserve = _server("inventory", "PUT", "/stock/{sku}", 200, _took(rng, 3), children=(update,))
    payment = _payment(number, rng, refused)
    publish = Step(
        "checkout", "orders publish", "producer", _took(rng, 2),
        {"messaging.system": "kafka", "messaging.destination.name": "orders"},
    )  # fmt: skip
    steps = (
        _call("checkout", "inventory", "PUT", "/stock/sku-7", 200, reserve),
        _call("checkout", "payment", "POST", "/charges", 402 if refused else 201, payment, error),
        *(() if refused else (publish,)),
    )
    body = f"order {number} refused" if refused else f"order {number} placed"
    placed = Line("error" if refused else "info", body, {"order.id": number, "order.total": rng.randrange(500) / 10})
    orders = _server("checkout", "POST", "/orders", status, _took(rng, 5), children=steps, error=error, lines=(placed,))
    attributes: dict[str, Value] = {"enduser.id": f"user-{number % 40}", "shop.region": REGIONS[number % 3]}
    seen = Line("info", f"POST /checkout {status}", {"region": REGIONS[number % 3]}, 0.97)
    return _server(
        "frontend", "POST", "/checkout", status, _took(rng, 8), attributes=attributes, error=error, lines=(seen,),
        children=(_call("frontend", "checkout", "POST", "/orders", status, orders, error),),
    )  # fmt: skip
