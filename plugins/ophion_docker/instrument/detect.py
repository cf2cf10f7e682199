"""Which language runtime runs in a container, and in which version."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from ophion_docker.instrument.errors import Refused
from ophion_docker.instrument.procfs import Process

NAMES: Final = {
    "python": "python", "nodejs": "nodejs", "node": "nodejs", "java": "java", "dotnet": "dotnet", "go": "go"
}  # fmt: skip
"""What people write, and the language it means."""

SDK_GUIDE: Final = "https://opentelemetry.io/docs/languages/go/getting-started/"
_GO_MARK: Final = rb"\xff Go buildinf:"


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime found in a process; `version` is empty where it could not be read, `libc` is `glibc` or `musl`."""

    language: str
    version: str
    libc: str
    process: Process


def detect(processes: Iterable[Process]) -> list[Runtime]:
    """Return the runtime of each process that has one, the container's first process first."""
    found = (_runtime(process) for process in processes)
    return [runtime for runtime in found if runtime is not None]


def choose(runtimes: Sequence[Runtime], wanted: str, name: str) -> Runtime:
    """Return the runtime to instrument; raises Refused where there is none of the wanted language, or several."""
    languages = list(dict.fromkeys(runtime.language for runtime in runtimes))
    if wanted:
        if wanted not in NAMES:
            raise Refused(f"{name}: language must be one of {', '.join(NAMES)}, got {wanted!r}")
        matching = [runtime for runtime in runtimes if runtime.language == NAMES[wanted]]
        if not matching:
            seen = ", ".join(languages) or "no known runtime"
            raise Refused(f"{name}: no {NAMES[wanted]} process runs in it, found {seen}; leave the language out")
        return _supported(matching[0], name)
    # A Go program beside an application is a helper, such as an init or a proxy.
    candidates = [one for one in languages if one != "go"] or languages
    if not candidates:
        known = "Python, Node.js, Java, .NET"
        raise Refused(f"{name}: no known language runtime runs in it ({known}); use an SDK in the application")
    if len(candidates) > 1:
        raise Refused(f"{name}: several languages run in it: {', '.join(candidates)}; name one as the second argument")
    return _supported(next(runtime for runtime in runtimes if runtime.language == candidates[0]), name)


def _runtime(process: Process) -> Runtime | None:
    for language, finder in _FINDERS.items():
        version = finder(process)
        if version is not None:
            return Runtime(language, version, _libc(process), process)
    return None


def _libc(process: Process) -> str:
    # Musl's library is its loader too; some distributions call the file libc.so, which for glibc is no library.
    is_musl = any("/ld-musl-" in path or path.endswith("/libc.so") for path in process.mapped)
    return "musl" if is_musl else "glibc"


def _java(process: Process) -> str | None:
    library = process.mapped_file("libjvm.so")
    if not library:
        return None
    for up in (3, 4):  # jdk/lib/server/libjvm.so, and jre/lib/amd64/server/libjvm.so of Java 8.
        release = process.root / library.rsplit("/", up)[0].lstrip("/") / "release"
        with suppress(OSError):
            if found := re.search(r'JAVA_VERSION="([^"]+)"', release.read_text(errors="replace")):
                return found.group(1)
    return ""


def _dotnet(process: Process) -> str | None:
    library = process.mapped_file("libcoreclr.so")
    if not library:
        return None
    found = re.search(r"/Microsoft\.NETCore\.App/(\d+\.\d+[^/]*)/", library)
    return found.group(1) if found else ""


def _python(process: Process) -> str | None:
    named = re.fullmatch(r"(?:python|pypy)(\d(?:\.\d+)?)?", process.name)
    library = next((path for path in process.mapped if re.search(r"/libpython\d[^/]*\.so", path)), "")
    if named is None and not library:
        return None
    for text in (process.name, library, *sorted(process.mapped)):
        if found := re.search(r"(?:python|pypy)(\d\.\d+)", text):
            return found.group(1)
    built_in = process.search_program(rb"python(3\.\d{1,2})\b")
    return built_in.group(1).decode() if built_in else ""


def _node(process: Process) -> str | None:
    if process.name not in ("node", "nodejs"):
        return None
    found = process.search_program(rb"node(?:\.js)?/v(\d{1,3}\.\d{1,3}\.\d{1,3})")
    return found.group(1).decode() if found else ""


def _go(process: Process) -> str | None:
    return "" if process.search_program(_GO_MARK) else None


# In this order: a Go program is looked for last because its mark may stand in a file of any kind.
_FINDERS: dict[str, Callable[[Process], str | None]] = {
    "java": _java, "dotnet": _dotnet, "python": _python, "nodejs": _node, "go": _go
}  # fmt: skip

_LOWEST: Final[dict[str, Sequence[int]]] = {"python": (3, 8), "nodejs": (18, 19), "java": (8,), "dotnet": (8,)}


def _supported(runtime: Runtime, name: str) -> Runtime:
    if runtime.language == "go":
        raise Refused(f"{name}: Go programs cannot be instrumented from outside; use the SDK: {SDK_GUIDE}")
    if runtime.version:
        problem = _too_old(runtime.language, [int(part) for part in re.findall(r"\d+", runtime.version)[:2]])
        if problem:
            raise Refused(f"{name}: {runtime.language} {runtime.version} is not supported, {problem} is needed")
    return runtime


def _too_old(language: str, version: list[int]) -> str:
    if language == "java" and version[0] == 1:  # 1.8 is Java 8.
        version = version[1:]
    if language == "nodejs" and (18, 20) <= tuple(version) < (20, 6) and version[0] != 18:
        return "18.19 or 20.6 or later"
    lowest = list(_LOWEST[language])
    return "" if version[: len(lowest)] >= lowest else f"{'.'.join(map(str, lowest))} or later"
