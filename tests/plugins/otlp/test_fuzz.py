import pytest

from benchmarks.fuzz_otlp import FuzzError, Input, Mutator, decode, fuzz
from ophion_agent.plugin import Traces


async def test_survives_five_thousand_mutated_requests() -> None:
    outcomes = (await fuzz(5_000, seed=20)).outcomes
    assert sum(outcomes.values()) == 5_000
    assert outcomes["decode accepted"] > 100
    assert outcomes["http 200"] > 10
    assert outcomes["http 400"] > 100


def test_the_same_seed_makes_the_same_inputs() -> None:
    first, second = Mutator(7), Mutator(7)
    assert [first.next() for _ in range(50)] == [second.next() for _ in range(50)]


def test_reports_what_is_not_the_protocols_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Traces, "from_wire", lambda _body: 1 / 0)
    with pytest.raises(FuzzError, match="ZeroDivisionError instead of the protocol's error"):
        decode(Input(Traces, b"", "", is_json=False))
