import socket
from pathlib import Path

import pytest

from ophion_agent.systemd import notify


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    return listener


def test_tells_the_manager_the_state(manager: socket.socket) -> None:
    with manager:
        assert notify("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_a_reload_carries_the_time_that_the_manager_waits_for(manager: socket.socket) -> None:
    with manager:
        assert notify("RELOADING=1")
        state, _, stamp = manager.recv(100).decode().partition("\n")
        assert state == "RELOADING=1"
        assert stamp.startswith("MONOTONIC_USEC=")


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"ophion-test-{tmp_path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert notify("STOPPING=1")
        assert listener.recv(100) == b"STOPPING=1"


def test_without_a_manager_or_with_one_that_is_gone_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not notify("READY=1")
