"""The quiet period adapts to the pace of the requests."""

from ophion_processors.quiet import QuietPeriod


def batch_of(quiet: QuietPeriod, requests: int, gap: float, start: float) -> float:
    for number in range(requests):
        quiet.arrived(start + number * gap, joins_others=number > 0)
    return start + requests * gap


def test_begins_with_the_longest_period() -> None:
    assert QuietPeriod(0.02).seconds() == 0.02


def test_becomes_short_for_a_single_sender_that_waits_for_each_answer() -> None:
    quiet, now = QuietPeriod(0.02), 0.0
    for _ in range(8):
        now = batch_of(quiet, 1, 0, now) + 0.5
        quiet.sent(1)
    assert quiet.seconds() == 0.001


def test_becomes_short_for_many_senders_that_send_in_bursts() -> None:
    quiet, now = QuietPeriod(0.02), 0.0
    for _ in range(8):
        now = batch_of(quiet, 20, 0.0001, now) + 0.5
        quiet.sent(20)
    assert quiet.seconds() == 0.001


def test_spans_many_gaps_of_a_steady_stream() -> None:
    quiet = QuietPeriod(0.02)
    batch_of(quiet, 100, 0.001, 0.0)
    quiet.sent(100)
    assert 0.007 < quiet.seconds() < 0.009


def test_probes_with_the_longest_period_so_that_a_steady_stream_is_noticed_again() -> None:
    quiet, periods = QuietPeriod(0.02), []
    for _ in range(33):
        periods.append(quiet.seconds())
        quiet.sent(1)
    assert [number for number, seconds in enumerate(periods[10:], 10) if seconds == 0.02] == [16, 32]


def test_period_that_the_user_sets_stays_as_it_is() -> None:
    quiet = QuietPeriod(0.2, fixed=True)
    for _ in range(5):
        quiet.sent(1)
    assert quiet.seconds() == 0.2
