"""Bundles: what is in them, that they can be carried, and what is said of a damaged or missing one."""

import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from ophion_docker.instrument.bundle import MANIFEST, PAYLOADS, Bundle, build
from ophion_docker.instrument.bundle_tools import run
from ophion_docker.instrument.errors import BundleError, MissingBundle
from tests.plugins.docker.instrument_images import bundles


@pytest.fixture
def own(tmp_path: Path) -> Bundle:
    """A bundle of two files."""
    source = tmp_path / "source"
    (source / "lib").mkdir(parents=True)
    (source / "lib/a.txt").write_text("a")
    (source / "b.txt").write_text("b")
    return build("dotnet", tmp_path / "out", source)


def test_a_folder_becomes_a_bundle_named_by_its_content(own: Bundle, tmp_path: Path) -> None:
    assert own.volume == f"ophion-instr-dotnet-{own.version}"
    assert build("dotnet", tmp_path / "again", tmp_path / "source").version == own.version
    (tmp_path / "source/b.txt").write_text("c")
    assert build("dotnet", tmp_path / "again", tmp_path / "source").version != own.version


def test_the_tar_is_roots_readable_by_all_and_the_manifest_comes_apart(own: Bundle) -> None:
    output = io.BytesIO()
    own.tar(output)
    output.seek(0)
    with tarfile.open(fileobj=output) as tar:
        entries = [(entry.name, oct(entry.mode), entry.uid) for entry in tar]
    assert entries == [("b.txt", "0o644", 0), ("lib", "0o755", 0), ("lib/a.txt", "0o644", 0)]
    with tarfile.open(fileobj=io.BytesIO(own.manifest_tar())) as tar:
        assert tar.getnames() == [MANIFEST]


def test_every_file_is_checked_where_asked(own: Bundle, tmp_path: Path) -> None:
    assert Bundle.load(tmp_path / "out", "dotnet", check=True) == own
    (own.folder / "lib/a.txt").write_text("changed")
    with pytest.raises(BundleError, match=r"lib/a\.txt is not what was built; build or copy the bundle again"):
        Bundle.load(tmp_path / "out", "dotnet", check=True)


def test_a_missing_bundle_is_named_with_the_command_that_builds_it(tmp_path: Path) -> None:
    with pytest.raises(
        MissingBundle, match="build it where there is a network: ophion-agent instrument bundle --lang py"
    ):
        Bundle.load(tmp_path, "python")


def test_a_damaged_manifest_is_told(own: Bundle, tmp_path: Path) -> None:
    (own.folder / MANIFEST).write_text("{")
    with pytest.raises(BundleError, match=f"{MANIFEST} is damaged: .*; build the bundle again"):
        Bundle.load(tmp_path / "out", "dotnet")
    (own.folder / MANIFEST).write_text(json.dumps({"language": "java", "version": "1", "files": {}}))
    with pytest.raises(BundleError, match="it is for java"):
        Bundle.load(tmp_path / "out", "dotnet")


def test_dotnet_needs_a_release_and_other_languages_are_unknown(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no package registry has the \.NET instrumentation; unpack the release of"):
        build("dotnet", tmp_path)
    with pytest.raises(BundleError, match="language must be one of python, nodejs, java, dotnet, got 'ruby'"):
        build("ruby", tmp_path)
    with pytest.raises(BundleError, match="--from must be a folder, got /nowhere"):
        build("dotnet", tmp_path, Path("/nowhere"))
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_failing_package_client_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="bundle: sh failed: no index; build elsewhere"):
        run(["sh", "-c", "echo no index >&2; exit 1"], "build elsewhere")
    with pytest.raises(BundleError, match="bundle: absent-client is not installed; build elsewhere"):
        run(["absent-client"], "build elsewhere")


def test_locks_pin_every_package_by_hash_and_name_no_registry() -> None:
    for lock in (PAYLOADS / "python").glob("requirements-*.txt"):
        text = lock.read_text()
        assert len(re.findall(r"^\S+==\S+ \\$", text, re.MULTILINE)) > 40
        assert "--index" not in text
        assert "://" not in text
    for lock in (PAYLOADS / "node").glob("*/package-lock.json"):
        text = lock.read_text()
        packages = json.loads(text)["packages"]
        assert all("integrity" in package for name, package in packages.items() if name)
        assert "resolved" not in text
        assert "://" not in text


@pytest.mark.timeout(300)
def test_the_python_bundle_has_no_shared_objects_and_both_sets_of_packages() -> None:
    bundle = Bundle.load(bundles("python"), "python", check=True)
    assert not list(bundle.folder.rglob("*.so"))
    for version in ("3.8", "3.10"):
        facts = json.loads((bundle.folder / version / "ophion-bundle.json").read_text())
        assert facts["constraints"]["wrapt"]
        flask = next(entry for entry in facts["instrumentors"] if entry["name"] == "flask")
        assert flask["every"] == [{"name": "flask", "versions": ">=1.0"}]
        assert (bundle.folder / version / "opentelemetry/sdk").is_dir()
    assert (bundle.folder / "loader").is_dir()
    assert [path.name for path in (bundle.folder / "loader").iterdir()] == ["sitecustomize.py"]
