"""Settings shared by all tests."""

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ophion",
    max_examples=int(os.environ.get("OPHION_TEST_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("ophion")

# Files that take longest go first, so that no worker is left alone with one of them at the end.
FIRST: Final = ("test_install.py", "test_comparison.py", "test_accessible.py", "test_traces.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of FIRST; all others stay in their order."""
    items.sort(key=lambda item: item.path.name not in FIRST)


def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than there are cores: tests wait for servers, containers and browsers half of the time."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1
