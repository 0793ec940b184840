"""The cache of compiled kernels: whose it may be, and damaged files: pytest tests/kernels/test_cache.py"""

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ginr.kernels import cache

posix = pytest.mark.skipif(os.name != "posix", reason="permissions are others there")


@pytest.fixture(autouse=True)
def _no_place_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    tmp_path.chmod(0o700)
    (tmp_path / "tmp").mkdir(0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(cache.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    cache.cache_place.cache_clear()
    yield
    cache.cache_place.cache_clear()


def place(parent: Path) -> cache.Place:
    """The place under a folder that NUMBA_CACHE_DIR names."""
    cache.config.CACHE_DIR = str(parent)
    cache.cache_place.cache_clear()
    return cache.cache_place()


def test_it_is_known_whether_kernels_have_to_be_compiled(tmp_path: Path) -> None:
    assert cache.compiles() == "the first time only"
    (cache.cache_place().folder / "scan.scan-1").touch()  # of another network
    assert cache.compiles() == "the first time only"
    (cache.cache_place().folder / "mixer.mix-1").touch()
    assert cache.compiles() == ""


@pytest.mark.parametrize(
    ("name", "value"), [("CHECKED", True), ("CPU", "haswell"), ("FEATURES", "")]
)
def test_each_target_has_a_cache_of_its_own(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    for known, other in (("CHECKED", False), ("CPU", "znver4"), ("FEATURES", "+avx512f")):
        monkeypatch.setattr(cache, known, other)
    first = cache.cache_place()
    cache.cache_place.cache_clear()
    monkeypatch.setattr(cache, name, value)
    assert cache.cache_place().folder != first.folder


@posix
@pytest.mark.parametrize("umask", [0, 0o777])
def test_folders_are_made_for_this_user_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        found = cache.cache_place()
    finally:
        os.umask(before)
    assert not found.trouble and found.folder.is_relative_to(tmp_path / "home" / "cache")
    made = [found.folder, *found.folder.parents[:4]]
    assert [folder.stat().st_mode & 0o777 for folder in made] == [0o700] * 5


@posix
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
@pytest.mark.parametrize("shared", ["home", "home/cache", "home/cache/ginr/numba"])
def test_a_folder_that_others_can_write_to_is_not_used(
    tmp_path: Path, shared: str, mode: int
) -> None:
    folder = tmp_path / shared
    folder.mkdir(parents=True)
    folder.chmod(mode)
    found = cache.cache_place()
    assert found.folder.is_relative_to(tmp_path / "tmp" / f"ginr-{os.geteuid()}")
    assert found.folder.stat().st_mode & 0o777 == 0o700
    assert f"others can write to {folder}: run chmod go-w on it" in found.trouble
    assert "\n" not in found.trouble and str(found.folder) in found.trouble


@posix
def test_a_link_into_a_shared_folder_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "shared" / "mine").mkdir(parents=True)
    (tmp_path / "shared").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "shared" / "mine")
    assert f"others can write to {tmp_path / 'shared'}" in place(tmp_path / "link").trouble


@posix
def test_a_folder_of_ones_own_in_a_sticky_one_is_used(tmp_path: Path) -> None:
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky").chmod(0o1777)
    assert not place(tmp_path / "sticky" / "mine").trouble


@posix
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root to give away")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    assert "user 12345 can write to" in place(tmp_path / "theirs").trouble
    os.chown(tmp_path / "tmp", 12345, 12345)
    cache.cache_place.cache_clear()
    found = cache.cache_place()
    assert not found.is_lasting and cache.compiles() == "on every run"
    assert found.folder.is_dir() and str(found.folder).startswith(str(tmp_path / "tmp" / "ginr-"))


def test_only_absolute_paths_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    assert "is not an absolute path: name one" in place(Path("near")).trouble
    cache.config.CACHE_DIR = ""
    monkeypatch.setenv("XDG_CACHE_HOME", "near")
    monkeypatch.setenv("HOME", str(tmp_path / "mine"))
    cache.cache_place.cache_clear()
    assert cache.cache_place().folder.is_relative_to(tmp_path / "mine" / ".cache")
    assert list(here.iterdir()) == []


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_full_disk_is_said_to_be_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write = cache._write

    def full_at_home(path: Path, content: bytes) -> None:
        if path.is_relative_to(tmp_path / "home"):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(cache, "_write", full_at_home)
    found = cache.cache_place()
    assert "the disk is full, free some space" in found.trouble
    assert found.is_lasting and found.folder.is_relative_to(tmp_path / "tmp")


COMPILED = """
import numpy as np
from ginr.kernels.compile import fused, claim_next

@fused
def twice(claim, x):
    k = claim_next(claim)
    while k < len(x):
        x[k] *= 2
        k = claim_next(claim)

x = np.arange(5.0)
twice(x)
assert x.tolist() == [0, 2, 4, 6, 8]
print(twice.compiled.stats.cache_hits and "loaded" or "compiled")
print(twice.compiled.stats.cache_path)
"""


def compiled(tmp_path: Path) -> tuple[str, Path]:
    """Whether a kernel was compiled or loaded, and its file."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    script = tmp_path / "odd.py"
    script.write_text(COMPILED)
    result = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    how, folder = result.stdout.split()
    (path,) = Path(folder).glob("odd.twice-*")
    return how, path


def test_a_damaged_file_is_removed_and_compiled_again(tmp_path: Path) -> None:
    how, path = compiled(tmp_path)
    whole = path.read_bytes()
    assert how == "compiled" and compiled(tmp_path) == ("loaded", path)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (b"", whole[:10], whole[:-1], whole + b"x", bytes(flipped), bytes(len(whole))):
        path.write_bytes(damaged)
        assert compiled(tmp_path) == ("compiled", path)
        assert compiled(tmp_path)[0] == "loaded" and sorted(path.parent.iterdir()) == [path]


@posix
def test_a_file_that_others_can_write_to_or_a_link_is_not_loaded(tmp_path: Path) -> None:
    _, path = compiled(tmp_path)
    path.chmod(0o666)
    assert compiled(tmp_path)[0] == "compiled" and path.stat().st_mode & 0o777 == 0o600
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert compiled(tmp_path)[0] == "compiled" and not path.is_symlink()
