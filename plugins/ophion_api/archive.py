"""The archive of a backup: a tar in zstd, with a folder for each part of the server and a manifest at its end.

backup.json          what this is; first, so that a stream begins at once
PART/...             what the part wrote (BACKUP), such as telemetry_store/ and control_store/
manifest.json        versions, parts, and the size and SHA-256 of every file; last, so a cut archive has none
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import zstandard

from ophion_agent.plugin import OphionError
from ophion_agent.server import BackupSource

FORMAT: Final = "ophion-backup"
VERSION: Final = 1
HEAD: Final = "backup.json"
MANIFEST: Final = "manifest.json"
_PIECE: Final = 1 << 20
_MOST_MANIFEST_BYTES: Final = 256 << 20


@dataclass(slots=True)
class ArchiveWriter:
    """Turns files into the bytes of an archive, piece by piece. `facts` stand in its head and in its manifest."""

    facts: Mapping[str, Any]
    # Most files are compressed by the parts already.
    _zstd: Any = field(default_factory=lambda: zstandard.ZstdCompressor(level=1, write_checksum=True).compressobj())
    _files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def head(self) -> bytes:
        """Return the first bytes of the archive."""
        document = json.dumps({"format": FORMAT, "version": VERSION, **self.facts}, indent=1).encode()
        # Nothing of it would leave the compressor otherwise until more comes.
        return self._entry(HEAD, document) + bytes(self._zstd.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))

    def file(self, path: Path, name: str) -> Iterator[bytes]:
        """Iterate over the bytes of one file."""
        size = path.stat().st_size
        yield self._zstd.compress(_header(name, size))
        digest, left = hashlib.sha256(), size
        with path.open("rb") as file:
            while left:
                piece = file.read(min(_PIECE, left))
                if not piece:
                    raise OphionError(f"{path}: became shorter while it was read; try again")
                digest.update(piece)
                left -= len(piece)
                yield self._zstd.compress(piece)
        yield self._zstd.compress(_padding(size))
        self._files[name] = {"bytes": size, "sha256": digest.hexdigest()}

    def tail(self) -> bytes:
        """Return the last bytes of the archive."""
        document = {"format": FORMAT, "version": VERSION, **self.facts, "files": self._files}
        entry = self._entry(MANIFEST, json.dumps(document, indent=1).encode())
        return entry + bytes(self._zstd.compress(bytes(2 * tarfile.BLOCKSIZE))) + bytes(self._zstd.flush())

    def _entry(self, name: str, data: bytes) -> bytes:
        return bytes(self._zstd.compress(_header(name, len(data)) + data + _padding(len(data))))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


async def written(sources: Mapping[str, BackupSource], facts: Mapping[str, Any], folder: Path) -> AsyncIterator[bytes]:
    """Iterate over the bytes of an archive of all sources; each is copied into `folder` first and then sent.

    Raises OphionError where a source cannot be copied: the archive then has no end and is refused by `unpacked`.
    """
    writer = ArchiveWriter({**facts, "parts": list(sources)})
    yield writer.head()
    for part, source in sources.items():
        copy = await asyncio.to_thread(_temporary, folder)
        try:
            await source.backup(copy)
            for path in await asyncio.to_thread(_files_in, copy):
                pieces = writer.file(path, f"{part}/{path.relative_to(copy).as_posix()}")
                while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                    if piece:
                        yield piece
                await asyncio.to_thread(path.unlink)
        finally:
            await asyncio.to_thread(shutil.rmtree, copy, ignore_errors=True)
    yield writer.tail()


def _temporary(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Path(tempfile.mkdtemp(prefix="backup-", dir=folder))
    except OSError as error:
        raise OphionError(f"{folder}: cannot be written: {error.strerror}; name another `directory`") from error


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A whole archive on disk: its manifest, and the folder with a folder for each part."""

    manifest: Mapping[str, Any]
    folder: Path

    @property
    def parts(self) -> list[str]:
        """The names of the parts."""
        return [str(part) for part in self.manifest["parts"]]


def unpack(archive: Path, folder: Path) -> Unpacked:
    """Unpack an archive into `folder`, which is new, and check every file; raises OphionError for what is not whole."""
    found: dict[str, dict[str, Any]] = {}
    manifest: Any = None
    try:
        with (
            archive.open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file) as plain,
            tarfile.open(fileobj=plain, mode="r|", bufsize=_PIECE) as tar,
        ):
            for member in tar:
                _check_member(archive, member)
                content: Any = tar.extractfile(member)
                if member.name == MANIFEST:
                    manifest = json.loads(content.read(_MOST_MANIFEST_BYTES))
                elif member.name == HEAD:
                    _check_head(archive, json.loads(content.read(_MOST_MANIFEST_BYTES)))
                else:
                    found[member.name] = _extract(content, folder / member.name)
    except OSError as error:
        raise OphionError(f"{archive}: cannot be read: {error.strerror or error}; name another file") from error
    except (tarfile.TarError, zstandard.ZstdError, ValueError, EOFError) as error:
        raise OphionError(f"{archive}: is damaged or no backup: {error}; use another") from error
    _check_whole(archive, manifest, found)
    return Unpacked(manifest, folder)


def _check_member(archive: Path, member: tarfile.TarInfo) -> None:
    parts = member.name.split("/")
    if not member.isreg() or member.name.startswith("/") or ".." in parts or "" in parts:
        raise OphionError(f"{archive}: holds {member.name[:100]!r}, which no backup does; use another")


def _check_head(archive: Path, head: Any) -> None:
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise OphionError(f"{archive}: is damaged or no backup: it says so itself; use another")
    if not isinstance(head.get("version"), int) or head["version"] > VERSION:
        raise OphionError(
            f"{archive}: must be of version {VERSION} or older, got {head.get('version')}; install the version of"
            f" ophion-agent that made it ({head.get('ophion_version', 'unknown')})"
        )


def _extract(content: Any, target: Path) -> dict[str, Any]:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as file:
        while piece := content.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            file.write(piece)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _check_whole(archive: Path, manifest: Any, found: Mapping[str, Mapping[str, Any]]) -> None:
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise OphionError(f"{archive}: has no manifest, so it was cut off; use another")
    _check_head(archive, manifest)
    wrong = sorted(name for name in manifest["files"].keys() | found if manifest["files"].get(name) != found.get(name))
    if wrong:
        raise OphionError(f"{archive}: {wrong[0]} is missing or not as it was written; use another")
    if not isinstance(manifest.get("parts"), list):
        raise OphionError(f"{archive}: names no parts, so it is no backup; use another")
