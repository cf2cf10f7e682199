"""The Node.js bundle: OpenTelemetry's packages for Node 18.19/20.6 and for 22.15, chosen at the application's start."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from ophion_docker.instrument.bundle import PAYLOADS
from ophion_docker.instrument.bundle_tools import copy_file, remove_all, run

VERSIONS: Final = ("18", "22")
_REMEDY: Final = "build where npm reaches a registry, and copy the folder"
_UNUSED: Final = (
    "*.ts", "*.d.mts", "*.d.cts", "*.map", "*.md", "*.markdown", "LICENSES", "docs", "tests", "__tests__", "example",
    "examples", "benchmark", ".github", ".package-lock.json",
)  # fmt: skip


def build(folder: Path) -> None:
    """Fill a folder with both sets of packages and the loader; raises BundleError."""
    source = PAYLOADS / "node"
    copy_file(source / "register.js", folder / "register.js")
    # Each waits for the registry most of the time.
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda version: _install(source / version, folder / version), VERSIONS))


def _install(source: Path, target: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        copy_file(source / name, target / name)
    command = ["npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-bin-links"]
    # The packages are for the Node of the container, not for the one of this host.
    run([*command, "--engine-strict=false"], _REMEDY, folder=target)
    _prune(target / "node_modules")


def _prune(modules: Path) -> None:
    remove_all(modules / "@types", ["*"])
    remove_all(modules, _UNUSED)
    for package in modules.glob("@opentelemetry/*"):
        remove_all(package / "build", ["esm", "esnext"])
        # The loader is CommonJS, and so is everything that it loads.
        for module in [path for path in (package / "dist").rglob("*.mjs") if path.with_suffix(".cjs").exists()]:
            module.unlink()
