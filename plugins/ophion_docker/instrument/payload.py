"""The payload volume: filled once through a container that never runs, of the target's own image, so no registry."""

from __future__ import annotations

import asyncio
import io
import tempfile
from contextlib import suppress
from typing import Final

from ophion_docker.engine import Engine
from ophion_docker.engine_errors import NotFound
from ophion_docker.instrument.bundle import MANIFEST, Bundle

_MOUNT: Final = "/ophion-payload"
_FILL_SECONDS: Final = 300
PAYLOAD_LABEL: Final = "ophion.instrument.payload"


async def ensure_payload(engine: Engine, bundle: Bundle, image: str) -> None:
    """Make sure that the bundle's volume exists and is whole. The manifest is written last: with it, it is whole."""
    await engine.create_volume(bundle.volume, {PAYLOAD_LABEL: bundle.language})
    mount = {"Type": "volume", "Source": bundle.volume, "Target": _MOUNT, "VolumeOptions": {"NoCopy": True}}
    body = {
        "Image": image, "Entrypoint": ["/never-started"], "Cmd": [], "NetworkDisabled": True,
        "Labels": {PAYLOAD_LABEL: bundle.language}, "HostConfig": {"Mounts": [mount], "NetworkMode": "none"},
    }  # fmt: skip
    container = await engine.create(None, body)
    try:
        if not await _is_filled(engine, container):
            await _fill(engine, container, bundle)
    finally:
        with suppress(NotFound):
            # With the anonymous volumes that the image declares; a named volume stays.
            await engine.remove(container, force=True, volumes=True)


async def _is_filled(engine: Engine, container: str) -> bool:
    try:
        await engine.get_archive(container, f"{_MOUNT}/{MANIFEST}")
    except NotFound:
        return False
    return True


async def _fill(engine: Engine, container: str, bundle: Bundle) -> None:
    with tempfile.TemporaryFile() as tar:
        await asyncio.to_thread(bundle.tar, tar)
        tar.seek(0)
        await engine.put_archive(container, _MOUNT, tar, seconds=_FILL_SECONDS)
    await engine.put_archive(container, _MOUNT, io.BytesIO(bundle.manifest_tar()))
