"""Runs at the start of every Python process of an instrumented container.

It never raises, and prints only with OPHION_INSTRUMENT_DEBUG=1. It is the only file of its folder on PYTHONPATH: the
application's own sitecustomize runs as it would without it, and the instrumentation comes last on sys.path, so that the
application's packages win.
"""

# ruff: noqa: BLE001 - whatever fails here, the application goes on

import os
import sys

_LOADER = os.path.dirname(os.path.abspath(__file__))
_PAYLOAD = os.path.dirname(_LOADER)


def _run_other_sitecustomize() -> None:
    """Run the application's or the distribution's sitecustomize, which this file hides."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _LOADER]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)  # What it raises goes where it would have gone without this file.


def _switched_off() -> bool:
    names = (os.path.join(_PAYLOAD, "DISABLED"), "/tmp/ophion-instrument-disabled")
    return os.environ.get("OPHION_INSTRUMENT_DISABLED") == "1" or any(os.path.exists(name) for name in names)


def _was_executed_into_container() -> bool:
    """Tell a health check or `docker exec` from the application: its ancestors end at pid 0 without passing pid 1."""
    process = os.getpid()
    try:
        for _ in range(1000):
            if process == 1:
                return False
            if process == 0:
                return True
            with open(f"/proc/{process}/stat", "rb") as file:
                process = int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return False


def _start() -> None:
    if sys.version_info < (3, 8) or _switched_off() or _was_executed_into_container():
        return
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("ophion_instrument_start", os.path.join(_PAYLOAD, "ophion_instrument_start.py"))
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.start(_PAYLOAD)


try:
    _run_other_sitecustomize()
finally:
    try:
        _start()
    except Exception:  # The application must start, whatever is wrong here.
        if os.environ.get("OPHION_INSTRUMENT_DEBUG") == "1":
            from contextlib import suppress
            from traceback import print_exc

            with suppress(Exception):  # Its standard error may be closed.
                print_exc()
