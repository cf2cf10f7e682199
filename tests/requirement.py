"""Parts of the machine that a test needs: a test without them is skipped, or fails where all are required.

prometheus = require("prometheus", "apt-get install -y prometheus")
"""

import os
import shutil
from typing import NoReturn

import pytest


def require(program: str, install: str) -> str:
    """Return the path of a program; without it the test is skipped with the command that installs it."""
    path = shutil.which(program)
    if path is None:
        unavailable(f"needs {program}: {install}")
    return path


def unavailable(reason: str) -> NoReturn:
    """Skip the running test, or fail it with OPHION_TEST_REQUIRE=all in the environment."""
    if os.environ.get("OPHION_TEST_REQUIRE") == "all":
        pytest.fail(reason)
    pytest.skip(reason)
