from ophion_agent.health import Health, Readiness, Status, readiness
from ophion_agent.testing import ManualClock


async def test_remembers_since_when_and_why() -> None:
    clock = ManualClock(now_ns=1_000_000_000)
    health = Health("exporter otlp", clock)
    assert (health.status, health.since_ns) == (Status.STARTING, 1_000_000_000)
    await clock.advance(1)
    health.degraded("refused")
    await clock.advance(1)
    health.degraded("timed out")
    assert (health.status, health.reason, health.since_ns) == (Status.DEGRADED, "timed out", 2_000_000_000)
    health.ok()
    assert (health.status, health.reason, health.since_ns) == (Status.OK, "", 3_000_000_000)


def test_ready_means_that_every_component_is_ok() -> None:
    clock = ManualClock()
    sound, failing, starting = (Health(name, clock) for name in ("receiver otlp", "exporter otlp", "extension x"))
    sound.ok()
    assert readiness([sound]) == Readiness(True, ())
    failing.failed("no route")
    assert readiness([sound, failing, starting]) == Readiness(
        False, ("exporter otlp: failed: no route", "extension x: starting")
    )
