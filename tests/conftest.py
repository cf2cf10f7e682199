"""Settings shared by all tests."""

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ophion",
    max_examples=int(os.environ.get("OPHION_TEST_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("ophion")

# A Docker Engine adds and removes network interfaces, and Chromium gives up its connections when that happens: their
# tests never run side by side.
_ONE_AT_A_TIME = ("tests/plugins/docker/", "tests/plugins/dashboard/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file on one worker (`--dist loadgroup`), and those that disturb one another too."""
    for item in items:
        file = item.nodeid.partition("::")[0]
        group = "network" if file.startswith(_ONE_AT_A_TIME) else file
        item.add_marker(pytest.mark.xdist_group(group))
