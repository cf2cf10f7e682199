"""The Python bundle: pure wheels, so that neither the C library nor the processor matters, for 3.8-3.9 and 3.10+."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path
from typing import Any, Final

from ophion_docker.instrument.bundle import PAYLOADS
from ophion_docker.instrument.bundle_tools import copy_file, remove_all, run

PYTHONS: Final = {"3.8": ("3.8", "3.9"), "3.10": ("3.10", "3.11", "3.12", "3.13", "3.14")}
_REMEDY: Final = "build where pip reaches a package index, and copy the folder"
_PURE: Final = ["--only-binary", ":all:", "--platform", "any", "--abi", "none", "--implementation", "py", "--no-deps"]


def build(folder: Path) -> None:
    """Fill a folder with both bundles and the loader; raises BundleError."""
    source = PAYLOADS / "python"
    copy_file(source / "sitecustomize.py", folder / "loader" / "sitecustomize.py")
    copy_file(source / "ophion_instrument_start.py", folder / "ophion_instrument_start.py")
    # Each waits for the index most of the time.
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda lowest: _fill(source, folder / lowest, lowest), PYTHONS))


def _fill(source: Path, site: Path, lowest: str) -> None:
    site.mkdir()
    _install(source / f"requirements-{lowest}.txt", lowest, site)
    if lowest == "3.8":
        _add_exporter(source, site)
    remove_all(site, ["RECORD", "*.pyi", "licenses"])
    (site / "ophion-bundle.json").write_text(json.dumps(facts(site), indent=1) + "\n", encoding="utf-8")
    for version in PYTHONS[lowest]:
        _compile(version, site)


def _install(requirements: Path, version: str, site: Path) -> None:
    with tempfile.TemporaryDirectory() as wheels:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", *_PURE]
        run([*command, "--python-version", version, "--requirement", requirements, "--dest", wheels], _REMEDY)
        for wheel in sorted(Path(wheels).glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site)


def _add_exporter(source: Path, site: Path) -> None:
    """Add our exporter of OTLP/JSON: the published one needs a later Python."""
    copy_file(source / "ophion_otlp_json.py", site / "ophion_otlp_json.py")
    entries = [
        f"[opentelemetry_{signal}_exporter]\notlp_json_http = ophion_otlp_json:{name}\n"
        for signal, name in (("traces", "SpanExporter"), ("metrics", "MetricExporter"), ("logs", "LogExporter"))
    ]
    folder = site / "ophion_otlp_json-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: ophion-otlp-json\nVersion: 1.0\n", encoding="utf-8")
    (folder / "entry_points.txt").write_text("\n".join(entries), encoding="utf-8")


def _compile(version: str, site: Path) -> None:
    """Compile for one Python, where this host has it: it nearly halves the start of the application."""
    program = shutil.which(f"python{version}")
    if program is None:
        return
    command = [program, "-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash", "-d", "/", "."]
    with tempfile.TemporaryFile() as output:
        subprocess.run(command, cwd=site, stdout=output, stderr=output, timeout=300, check=False)


def facts(site: Path) -> dict[str, Any]:
    """Return what the loader would otherwise read from the metadata of every package at each start."""
    packages = [_Package(path) for path in sorted(site.glob("*.dist-info"))]
    names = {package.name for package in packages}
    wanted: dict[str, list[str]] = {}
    for package in packages:
        for requirement in package.requirements():
            if requirement["extra"] == "" and requirement["name"] in names:
                wanted.setdefault(requirement["name"], []).append(requirement["versions"])
    constraints = {name: ",".join(sorted({one for one in some if one})) for name, some in sorted(wanted.items())}
    return {"constraints": constraints, "instrumentors": [entry for one in packages for entry in one.instrumentors()]}


class _Package:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._metadata = Parser().parsestr((folder / "METADATA").read_text(encoding="utf-8"))
        self.name = _normal(self._metadata["Name"])

    def requirements(self) -> Iterator[dict[str, str]]:
        for line in self._metadata.get_all("Requires-Dist") or ():
            requirement, _, marker = line.partition(";")
            name, versions = _split(requirement.strip())
            extra = next((part.strip("\"' ") for part in marker.split("==")[1:]), "") if "extra" in marker else ""
            yield {"name": name, "versions": versions, "extra": extra}

    def instrumentors(self) -> Iterator[dict[str, Any]]:
        path = self._folder / "entry_points.txt"
        parser = ConfigParser(delimiters=("=",))
        parser.read(path, encoding="utf-8")
        if not parser.has_section("opentelemetry_instrumentor"):
            return
        needs: dict[str, list[dict[str, str]]] = {"instruments": [], "instruments-any": []}
        for requirement in self.requirements():
            if requirement["extra"] in needs:
                wanted = {"name": requirement["name"], "versions": requirement["versions"]}
                needs[requirement["extra"]].append(wanted)
        for name, entry in parser.items("opentelemetry_instrumentor"):
            yield {"name": name, "entry": entry, "every": needs["instruments"], "any": needs["instruments-any"]}


def _split(requirement: str) -> tuple[str, str]:
    """Return the normalised name and the versions of a requirement such as `asgiref (>=3,<4)` or `flask[async]>=1`."""
    end = next((at for at, letter in enumerate(requirement) if not (letter.isalnum() or letter in "-_.")), None)
    name, rest = (requirement, "") if end is None else (requirement[:end], requirement[end:].strip())
    if rest.startswith("["):
        rest = rest.partition("]")[2]
    return _normal(name), rest.strip("() ").replace(" ", "")


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
