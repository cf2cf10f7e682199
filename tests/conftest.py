"""Settings shared by all tests."""

import os
import re
import time

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ophion",
    max_examples=int(os.environ.get("OPHION_TEST_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("ophion")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse ids that name the present: workers that collect a second apart would not have the same tests."""
    present = re.compile(rf"(?<!\d){str(int(time.time()))[:5]}\d{{5,}}")
    if named := [item.nodeid for item in items if present.search(item.nodeid)]:
        raise pytest.UsageError(f"test ids must not depend on the time: {', '.join(named)}")
