"""What the commands are made of: terminals, keys, addresses."""

import argparse
import io
from pathlib import Path

import pytest

from command_line import Screen, run_command
from ophion_api.cli_client import Client, UsageError, read_key
from ophion_api.cli_query import Grid, name_of, on_grid
from ophion_api.cli_times import length_of, seconds_text
from ophion_api.cli_traces import waterfall
from ophion_api.terminal import (
    Terminal,
    clean,
    cut,
    pad,
    short_duration,
    short_number,
    span_bar,
    sparkline,
    table,
    width_of,
)


def test_no_server_answers() -> None:
    done = run_command("logs", "--url", "http://127.0.0.1:1")

    assert done.code == 1
    assert "http://127.0.0.1:1: no server answers: " in done.err
    assert "; start one, or name it with --url or OPHION_URL" in done.err


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://host", "http://user:secret@host", "http://"])
def test_refuses_an_address_that_is_none_and_repeats_no_secret(url: str) -> None:
    done = run_command("logs", "--url", url)

    assert done.code == 2
    assert "--url: must be like https://ophion.example.com or http://localhost:8080, without a key" in done.err
    assert "secret" not in done.err


def options(url: str | None = None, key_file: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(url=url, key_file=key_file)


def test_address_is_that_of_the_option_the_environment_or_this_host() -> None:
    environ = {"OPHION_URL": "https://there/", "API_PORT": "9999", "OPHION_KEY": " k "}

    assert Client.of(options("http://here:1"), environ) == Client("http://here:1", "k")
    assert Client.of(options(), environ).url == "https://there"
    assert Client.of(options(), {"API_PORT": "9999"}).url == "http://localhost:9999"
    assert Client.of(options(), {}).url == "http://localhost:8080"


def test_the_key_of_this_host_is_not_sent_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "cli.key").write_text("local\n")
    environ = {"STATE_DIRECTORY": str(tmp_path)}

    assert Client.of(options("http://localhost:1"), environ).key == "local"
    assert Client.of(options("http://[::1]:1"), environ).key == "local"
    assert Client.of(options("https://elsewhere"), environ).key == ""


def test_says_which_key_file_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the key cannot be read: No such file or directory; run as the server's user"):
        read_key(str(tmp_path / "none"), {}, is_local=True)
    (tmp_path / "two").write_text("a\nb")
    with pytest.raises(UsageError, match="must hold a key on one line; `ophion-agent server key create` makes one"):
        read_key(str(tmp_path / "two"), {}, is_local=True)


def test_counts_must_be_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command("logs", "--limit", "none")
    assert ended.value.code == 2


def test_lengths_have_days_and_weeks() -> None:
    assert length_of("--since", "7d") == 7 * 86_400 * 10**9
    assert length_of("--since", "2w") == 14 * 86_400 * 10**9
    assert length_of("--since", "1h30m") == 5400 * 10**9
    assert seconds_text(1_500_000_000_000_000_001) == "1500000000.000000001"


# ---- terminal


def test_only_a_terminal_has_colours_and_a_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "77")
    screen = Screen(is_terminal=True)

    assert Terminal.of(io.StringIO(), {}) == Terminal()
    assert Terminal.of(screen, {}) == Terminal(True, 77)
    assert Terminal.of(screen, {"NO_COLOR": "1"}) == Terminal(False, 77)
    assert Terminal.of(screen, {"TERM": "dumb"}).colours is False
    assert Terminal(True).paint("x", "red", "") == "\x1b[31mx\x1b[0m"
    assert Terminal(False).paint("x", "red") == "x"


def test_a_table_fits_the_terminal() -> None:
    rows = [("a" * 80, "1", "short"), ("b" * 20, "22", "much longer than that")]

    lines = table(("NAME", "N", "TEXT"), rows, Terminal(False, 50), right=(1,))

    assert all(width_of(line) <= 50 for line in lines)
    assert lines[0].split() == ["NAME", "N", "TEXT"]
    assert "…" in lines[1]
    assert table(("NAME", "N", "TEXT"), rows, Terminal())[1].startswith("a" * 80)


def test_texts_are_measured_as_they_are_seen() -> None:
    assert width_of("日本") == 4
    assert width_of("e\u0301") == 1
    assert cut("日本語", 5) == "日本…"
    assert cut("short", 5) == "short"
    assert pad("日", 4) == "日  "
    assert clean("a\x00\x9b\tb\n") == "a·· b⏎"


def test_a_sparkline_shows_gaps_and_extremes() -> None:
    assert sparkline([0.0, 1.0, 2.0, None, float("nan"), 8.0]) == "▁▂▃  █"
    assert sparkline([5.0, 5.0]) == "▄▄"
    assert sparkline([None]) == " "
    assert sparkline([-1e308, 1e308]) == "▄▄"


def test_a_sample_stands_at_its_time() -> None:
    grid = Grid(100.0, 200.0, 10.0)

    assert grid.size == 11
    assert on_grid([(100.0, "1"), (150.0, "2"), (200.0, "3")], grid, 60) == [1.0, *[None] * 4, 2.0, *[None] * 4, 3.0]
    assert len(on_grid([(100.0, "1")], Grid(100.0, 10_000.0, 10.0), 30)) == 30


def test_bars_and_numbers_for_people() -> None:
    assert span_bar(0, 100, 100, 10) == "█" * 10
    assert span_bar(50, 25, 100, 8) == "    ██"
    assert span_bar(100, 0, 100, 10) == " " * 9 + "█"
    assert span_bar(0, 0, 0, 10) == "█"
    assert [short_duration(ms) for ms in (0.25, 1.5, 999, 2250, 1e7)] == ["250µs", "1.5ms", "999ms", "2.25s", "10000s"]
    assert [short_number(text) for text in ("0.75000001", "1e+30", "NaN", "text")] == ["0.75", "1e+30", "nan", "text"]


def test_series_are_written_as_promql_writes_them() -> None:
    assert name_of({"__name__": "up", "job": 'a"b'}) == 'up{job="a\\"b"}'
    assert name_of({"__name__": "up"}) == "up"
    assert name_of({}) == "{}"


def test_a_waterfall_shows_every_span_once_even_in_circles() -> None:
    def span(identity: str, parent: str) -> dict[str, object]:
        return {
            "span_id": identity, "parent_span_id": parent, "service": "s", "name": identity, "status": "unset",
            "status_message": "", "offset_ms": 0.0, "duration_ms": 1.0, "critical_ms": 0.0,
        }  # fmt: skip

    trace = {
        "trace_id": "ab", "start": "2026-01-31T08:00:00.000000000Z", "duration_ms": 1.0, "errors": 0, "truncated": True,
        "services": [{"name": "s"}], "spans": [span("a", "b"), span("b", "a"), span("c", "gone"), span("d", "d")],
    }  # fmt: skip

    lines = waterfall(trace, Terminal(False, 80))

    assert sorted(line.split()[1] for line in lines[1:-1]) == ["a", "b", "c", "d"]
    assert lines[-1] == "... and more spans than the server shows"
