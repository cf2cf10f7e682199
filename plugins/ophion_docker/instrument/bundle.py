"""Bundles: what goes into a payload volume, in a folder that can be carried to hosts without a network.

DIR/<language>/             the volume's content: loaders of ours, packages of OpenTelemetry
DIR/<language>/ophion-payload.json   language, version and the SHA-256 of every file

`build` needs the language's package registry; `Bundle.load` needs none.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from ophion_docker.instrument.errors import BundleError, MissingBundle

MANIFEST: Final = "ophion-payload.json"
PAYLOADS: Final = Path(__file__).parent.parent / "payloads"
LANGUAGES: Final = ("python", "nodejs", "java", "dotnet")

Builder = Callable[[Path], object]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A complete bundle on this host."""

    language: str
    version: str
    folder: Path

    @property
    def volume(self) -> str:
        """The name of the payload volume, which is never changed once it is filled."""
        return f"ophion-instr-{self.language}-{self.version}"

    @classmethod
    def load(cls, directory: Path, language: str, *, check: bool = False) -> Bundle:
        """Return the bundle of a language below a directory; `check` compares every file with the manifest.

        Raises BundleError.
        """
        folder = directory / language
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            if manifest["language"] != language:
                raise ValueError(f"it is for {manifest['language']}")
            files: dict[str, str] = manifest["files"]
            version = str(manifest["version"])
        except FileNotFoundError as error:
            command = f"ophion-agent instrument bundle --lang {language} --out {directory}"
            reason = f"bundle: {folder} holds none; build it where there is a network: {command}"
            raise MissingBundle(language, reason) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"bundle: {folder / MANIFEST} is damaged: {error}; build the bundle again") from error
        if check:
            _check(folder, files)
        return cls(language, version, folder)

    def tar(self, output: IO[bytes]) -> None:
        """Write the files as a tar in which root owns everything and everyone may read; the manifest comes last."""
        with tarfile.open(fileobj=output, mode="w") as tar:
            paths = sorted(self.folder.rglob("*"))
            for path in [one for one in paths if one.name != MANIFEST]:
                tar.add(path, str(path.relative_to(self.folder)), recursive=False, filter=_readable)

    def manifest_tar(self) -> bytes:
        """Return a tar of the manifest alone: what marks a filled volume."""
        output = io.BytesIO()
        with tarfile.open(fileobj=output, mode="w") as tar:
            tar.add(self.folder / MANIFEST, MANIFEST, filter=_readable)
        return output.getvalue()


def build(language: str, directory: Path, source: Path | None = None) -> Bundle:
    """Build the bundle of a language below a directory, in place of what was there; raises BundleError.

    `source` is a folder to take as it is: a release of the .NET instrumentation, or files of the user's own.
    """
    builder = _builders().get(language) if source is None else _copier(source)
    if builder is None:
        raise BundleError(_no_builder(language))
    directory.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{language}-", dir=directory))
    try:
        builder(work)
        _write_manifest(work, language)
        work.chmod(0o755)
        target = directory / language
        shutil.rmtree(target, ignore_errors=True)
        os.rename(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Bundle.load(directory, language)


def _builders() -> dict[str, Builder]:
    from ophion_docker.instrument import bundle_java, bundle_node, bundle_python

    return {"python": bundle_python.build, "nodejs": bundle_node.build, "java": bundle_java.build}


def _no_builder(language: str) -> str:
    if language == "dotnet":
        release = "the release of opentelemetry-dotnet-instrumentation for Linux"
        return (
            f"bundle: no package registry has the .NET instrumentation; unpack {release}, and name it with --from DIR"
        )
    return f"bundle: language must be one of {', '.join(LANGUAGES)}, got {language!r}"


def _copier(source: Path) -> Builder:
    if not source.is_dir():
        raise BundleError(f"bundle: --from must be a folder, got {source}")
    return lambda work: shutil.copytree(source, work, dirs_exist_ok=True, symlinks=True)


def _write_manifest(folder: Path, language: str) -> None:
    files = dict(_digests(folder))
    # Compiled files differ from host to host without meaning anything else.
    stable = {name: digest for name, digest in files.items() if not name.endswith(".pyc")}
    version = hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()[:12]
    manifest = {"language": language, "version": version, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            yield str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()


def _check(folder: Path, files: dict[str, str]) -> None:
    found = dict(_digests(folder))
    wrong = sorted(name for name in {*files, *found} if files.get(name) != found.get(name))
    if wrong:
        raise BundleError(f"bundle: {folder / wrong[0]} is not what was built; build or copy the bundle again")


def _readable(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.isdir() else 0o644
    return entry
