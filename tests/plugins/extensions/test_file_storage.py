import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ophion_agent.clock import Clock
from ophion_agent.durable import DirectoryInUse
from ophion_agent.plugin import OphionError
from ophion_agent.testing import make_component
from ophion_extensions.file_storage import FileStorage, folder_name


def make_storage(directory: Path, **config: object) -> FileStorage:
    return make_component(FileStorage, {"directory": str(directory), **config}, clock=Clock())


async def test_hands_out_what_another_run_left_in_the_queue(tmp_path: Path) -> None:
    storage = make_storage(tmp_path / "new" / "storage")
    await storage.start()
    queue = await storage.open_queue("queue/otlp/2", 1 << 20)
    await queue.append(b"record")
    await storage.stop()

    again = make_storage(tmp_path / "new" / "storage")
    await again.start()
    queue = await again.open_queue("queue/otlp/2", 1 << 20)
    assert (await queue.take()).record == b"record"
    await again.stop()


async def test_creates_the_folder_with_the_mode_asked_for(tmp_path: Path) -> None:
    await make_storage(tmp_path / "storage", directory_permissions="0701").start()
    assert stat.S_IMODE((tmp_path / "storage").stat().st_mode) == 0o701


async def test_says_how_to_get_a_missing_folder(tmp_path: Path) -> None:
    storage = make_storage(tmp_path / "missing", create_directory=False)
    with pytest.raises(OphionError, match="missing: must exist; create it, or set `create_directory: true`"):
        await storage.start()


async def test_refuses_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OphionError, match="must be a folder, got a file"):
        await make_storage(tmp_path / "file").start()
    with pytest.raises(OphionError, match="cannot create the folder: Not a directory"):
        await make_storage(tmp_path / "file" / "below").start()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; run the tests as another user")
async def test_refuses_a_folder_that_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir(mode=0o500)
    with pytest.raises(OphionError, match="must be able to write it; change its owner or mode"):
        await make_storage(tmp_path / "storage").start()


async def test_refuses_a_queue_that_somebody_else_holds(tmp_path: Path) -> None:
    storage, other = make_storage(tmp_path), make_storage(tmp_path, timeout="1ms")
    await storage.open_queue("queue/otlp", 1 << 20)
    with pytest.raises(DirectoryInUse, match="stop that process or configure another directory"):
        await other.open_queue("queue/otlp", 1 << 20)
    await other.open_queue("queue/otlp/2", 1 << 20)
    await storage.stop()
    await other.stop()


def test_refuses_a_mode_that_is_not_octal() -> None:
    with pytest.raises(ValueError, match='must be an octal mode in quotes such as "0750", got 0999'):
        FileStorage.config_type.model_validate({"directory_permissions": "0999"})


async def test_takes_otelcols_keys_and_warns_that_flushing_stays_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await make_storage(tmp_path, fsync=False, timeout="2s", recreate=True, compaction=None).start()
    assert "fsync_cannot_be_disabled" in caplog.text
    caplog.clear()
    await make_storage(tmp_path, compaction={"on_start": True, "directory": "/tmp", "check_interval": "5s"}).start()
    assert caplog.text == ""


names = st.text(max_size=300) | st.sampled_from([".", "..", "../../etc", "queue/otlp/2", "queue%2Fotlp", "/"])


@given(names, names)
def test_gives_every_queue_a_safe_folder_of_its_own(one: str, other: str) -> None:
    try:
        folders = folder_name(one), folder_name(other)
    except UnicodeEncodeError:
        return
    assert (folders[0] == folders[1]) == (one == other)
    for folder in folders:
        assert "/" not in folder
        assert "\0" not in folder
        assert folder not in ("", ".", "..")
        assert len(folder) <= 255
