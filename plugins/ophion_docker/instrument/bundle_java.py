"""The Java bundle: OpenTelemetry's Java agent as it is published, checked by its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from ophion_docker.instrument.bundle import PAYLOADS
from ophion_docker.instrument.bundle_tools import run
from ophion_docker.instrument.errors import BundleError

_JAR: Final = "opentelemetry-javaagent.jar"
_REMEDY: Final = "build where mvn reaches a Maven repository, and copy the folder"


def build(folder: Path) -> None:
    """Fill a folder with the agent; raises BundleError."""
    coordinates, digest = (PAYLOADS / "java" / "agent.txt").read_text(encoding="utf-8").split()
    plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
    command = ["mvn", "--batch-mode", "--quiet", plugin, f"-Dartifact={coordinates}", f"-DoutputDirectory={folder}"]
    run([*command, "-Dmdep.stripVersion=true"], _REMEDY)
    found = hashlib.sha256((folder / _JAR).read_bytes()).hexdigest()
    if found != digest:
        raise BundleError(f"bundle: {coordinates} has the SHA-256 {found}, expected {digest}; do not use it")
