"""What the bundle builders share: running a package client, and putting our loaders in place."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ophion_docker.instrument.errors import BundleError

BUILD_SECONDS = 600


def run(command: Sequence[str | Path], remedy: str, *, folder: Path | None = None) -> None:
    """Run a package client; raises BundleError with the end of what it wrote and the remedy."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise BundleError(f"bundle: {words[0]} is not installed; {remedy}") from error
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"bundle: {words[0]} took more than {BUILD_SECONDS} s; {remedy}") from error
    if done.returncode != 0:
        end = " ".join((done.stderr or done.stdout).split())[-500:]
        raise BundleError(f"bundle: {words[0]} failed: {end}; {remedy}")


def copy_file(source: Path, target: Path) -> None:
    """Copy one file of ours, making its folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def remove_all(folder: Path, patterns: Sequence[str]) -> None:
    """Remove the files and folders that match any of the patterns."""
    for pattern in patterns:
        for path in list(folder.rglob(pattern)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.exists() or path.is_symlink():
                os.unlink(path)
