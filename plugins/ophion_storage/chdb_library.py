"""The library that holds the embedded engine: how it is loaded, and how its directory is kept for one process."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from ophion_agent.plugin import OphionError

_MADV_DONTNEED: Final = 4
_LOCK: Final = "lock"


def import_chdb() -> Any:
    """Import chdb without pyarrow, which it would load for formats that are not used here: 60 MB less."""
    missing = "pyarrow" not in sys.modules
    if missing:
        sys.modules["pyarrow"] = None  # type: ignore[assignment]
    try:
        import chdb
    except ImportError as error:
        raise OphionError("the embedded engine is not installed; run: pip install 'ophion-agent[server]'") from error
    finally:
        if missing:
            del sys.modules["pyarrow"]
    return chdb


def lock_directory(directory: Path) -> IO[bytes]:
    """Return an open file that keeps other processes out of `directory`; raises OphionError when one is in it."""
    file = (directory / _LOCK).open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise OphionError(
            f"{directory}: cannot be opened, another process uses it; stop that process or choose another `directory`"
        ) from None
    return file


def give_back_code() -> None:
    """Give back the memory of the library's code, of which loading and migrations leave some 200 MB that is not used.

    Only mapped code is given back: it is never written, so the system reads what is needed again from its page cache.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    for start, end in _code():
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def _code() -> Iterator[tuple[int, int]]:
    """Iterate over the address ranges of the library's executable mappings."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[1] == "r-xp" and Path(fields[5]).name.startswith("_chdb."):
                start, _, end = fields[0].partition("-")
                yield int(start, 16), int(end, 16)
