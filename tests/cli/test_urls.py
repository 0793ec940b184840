"""`ginr upscale` with URLs: as with files of this machine, by the same code.

Run: pytest tests/cli/test_urls.py
"""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ginr.pictures import probe_picture

from .support import Core, Run, files, picture

fsspec = pytest.importorskip("fsspec", reason="needs the extra stores")

ALBUM = ("a.png", "sub/b.jpg", "sub/b.png", "c.webp", ".hidden.png", "notes.txt", "d.cr2", "e.mp4")


@pytest.fixture
def store() -> Any:
    """A store with an album."""
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    for name in ALBUM:
        path = Path("album", name)
        if path.suffix in (".png", ".jpg", ".webp"):
            picture(str(path))
        else:
            path.write_bytes(b"text")
        fs.pipe(f"/in/{name}", path.read_bytes())
    yield fs
    fs.store.clear()


def names(store: Any, folder: str) -> list[str]:
    return sorted(name[len(folder) + 2 :] for name in store.find(f"/{folder}"))


def test_a_folder_in_a_store_is_enlarged_as_one_here(run: Run, core: Core, store: Any) -> None:
    here = run("upscale", "album", "-o", "large", "--scale", "2", "--json").records
    code, words = run.code, run.err
    there = run(
        "upscale", "memory://in/", "-o", "memory://large/", "--scale", "2", "--json"
    ).records
    assert run.code == code == 0
    assert names(store, "large") == files("large")
    for name in files("large"):
        with store.open(f"/large/{name}") as file:
            assert file.read() == Path("large", name).read_bytes()

    def told(records: list[dict[str, Any]]) -> list[str]:
        rows = [json.dumps(record | {"seconds": None}) for record in records]
        return sorted(
            row.replace("memory://in", "album").replace("memory://large", "large") for row in rows
        )

    assert told(there) == told(here) and len(there) == 6
    last = "4 done, 1 skipped"
    assert run.err.splitlines()[-1] == words.splitlines()[-1] == last


def test_what_is_done_is_skipped_and_what_differs_refused(run: Run, core: Core, store: Any) -> None:
    into = ("memory://in/", "-o", "memory://large/")
    run("upscale", *into, "--scale", "2")
    calls = len(core.calls)
    run("upscale", *into, "--scale", "2")
    assert run.code == 0 and run.out == "" and run.err.endswith("5 skipped\n")
    run("upscale", *into, "--scale", "3")
    assert run.code == 1 and len(core.calls) == calls
    assert "memory://large/a.png already exists with 12x8 pixels, not 18x12" in run.err
    run("upscale", *into, "--scale", "3", "--overwrite")
    assert run.code == 0 and run.err.endswith("4 done, 1 skipped\n")
    with store.open("/large/a.png") as file, Image.open(file) as image:
        assert image.size == (18, 12)


def test_the_head_of_a_large_output_is_enough(
    run: Run, core: Core, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from ginr_cli.stored import place

    noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save("noise.png")
    store.pipe("/noise/n.png", Path("noise.png").read_bytes())
    monkeypatch.setattr(place, "_HEAD", 4096)
    arguments = ("upscale", "memory://noise/", "-o", "memory://large/", "--scale", "2")
    run(*arguments)
    assert store.size("/large/n.png") > 8192
    monkeypatch.setattr(
        "ginr_cli.batch.plan.check_done", lambda job, writing, is_whole: seen.append(is_whole)
    )
    seen = list[bool]()
    run(*arguments)
    assert run.err.endswith("1 skipped\n") and seen == [False]


def test_one_picture_goes_next_to_its_input(run: Run, core: Core, store: Any) -> None:
    run("upscale", "memory://in/a.png", "--scale", "2")
    assert run.code == 0 and run.out == "memory://in/a_x2.png\n"
    run("upscale", "memory://in/a.png", "--scale", "2")
    assert run.code == 1
    assert "memory://in/a_x2.png already exists: add --overwrite to replace it" in run.err
    run("upscale", "memory://in/a.png", "b.png", "--scale", "2")
    assert run.code == 0 and Path("b.png").exists()
    run("upscale", "album/a.png", "memory://in/new.webp", "--scale", "2")
    assert run.code == 0 and "new.webp" in names(store, "in")


def test_results_in_the_folder_are_not_enlarged_again(run: Run, core: Core, store: Any) -> None:
    run("upscale", "memory://in/a.png", "--scale", "2")
    records = run("upscale", "memory://in/", "-o", "memory://large/", "--json").records
    left = [row for row in records if row["notes"] == ["result of an earlier run"]]
    assert [row["input"] for row in left] == ["memory://in/a_x2.png"]
    assert "a_x2.png" not in names(store, "large")


def test_no_input_is_replaced(run: Run, core: Core, store: Any) -> None:
    before = {name: store.cat(f"/in/{name}") for name in ALBUM}
    store.pipe("/in/c.x.png", before["a.png"])
    store.pipe("/in/c.x.jpg", before["sub/b.jpg"])
    run("upscale", "memory://in/", "-o", "memory://in/", "--overwrite", "--scale", "2")
    assert run.code == 1 and run.err.endswith("6 failed\n")
    assert "memory://in/a.png is both input and output: choose another name" in run.err
    given = ("memory://in/sub/b.jpg", "memory://in/a.png", "-o", "memory://in/sub/{name}.png")
    run("upscale", *given, "--overwrite")
    assert run.code == 1
    assert "memory://in/sub/b.png does not say that ginr made it, so it may be an input" in run.err
    assert {name: store.cat(f"/in/{name}") for name in ALBUM} == before


def test_of_two_pictures_that_exist_none_is_replaced(run: Run, core: Core, store: Any) -> None:
    before = store.cat("/in/sub/b.png")
    for second in ("memory://in/sub/b.png", "album/c.webp"):
        for more in ((), ("--overwrite",)):
            run("upscale", "memory://in/a.png", second, "--scale", "2", *more)
            assert run.code == 2
            assert f"{second} exists, so it may be an input: name the output with -o" in run.err
    assert store.cat("/in/sub/b.png") == before
    for folder in ("memory://in/sub/", "album"):
        run("upscale", "memory://in/a.png", folder, "--scale", "2", "--overwrite")
        assert run.code == 2
        assert f"--overwrite replaces files in a folder only with -o: -o {folder}" in run.err
    Path("list.txt").write_text("memory://in/c.webp\n")
    run("upscale", "memory://in/a.png", "@list.txt", "--scale", "2")
    assert run.code == 0
    assert {"a_x2.png", "c_x2.webp"} <= set(names(store, "in"))
    run("upscale", "memory://in/a.png", "-o", "memory://in/sub/b.png", "--overwrite")
    assert run.code == 0 and store.cat("/in/sub/b.png") != before


def test_names_that_meet_are_reported(run: Run, core: Core, store: Any) -> None:
    store.pipe("/more/a.png", store.cat("/in/a.png"))
    run("upscale", "memory://in/a.png", "memory://more/a.png", "-o", "memory://large/")
    assert run.code == 1 and run.err.endswith("1 done, 1 failed\n")
    assert "memory://more/a.png would overwrite the output of another input" in run.err
    store.pipe("/in/c/a.webp", store.cat("/in/c.webp"))
    for more in ((), ("--overwrite",)):
        run("upscale", "memory://in/", "-o", "memory://flat/{name}.png", *more)
        assert run.code == 1 and "2 failed" in run.err
        assert "memory://in/c/a.webp would overwrite the output of another input" in run.err
        assert "memory://in/sub/b.png would overwrite the output of another input" in run.err


def test_names_with_empty_parts_are_enlarged(run: Run, core: Core, bucket: str) -> None:
    s3 = fsspec.filesystem("s3", use_listings_cache=False)
    picture("album/a.png")
    for name in ("/a.png", "b//c.png"):
        s3.pipe(f"{bucket}/in/{name}", Path("album/a.png").read_bytes())
    run("upscale", f"{bucket}/in/", "-o", f"{bucket}/large/", "--scale", "2")
    assert run.code == 0
    found = [name.partition("/large/")[2] for name in s3.find(f"{bucket}/large")]
    assert sorted(found) == ["a.png", "b/c.png"]


def test_a_list_names_urls(run: Run, core: Core, store: Any) -> None:
    Path("list.txt").write_text("memory://in/a.png\nalbum/c.webp\nmemory://in/none.png\n")
    run("upscale", "@list.txt", "-o", "memory://large/{name}_{width}.png")
    assert run.code == 1 and names(store, "large") == ["a_12.png", "c_12.png"]
    assert "memory://in/none.png does not exist: check the name" in run.err


def test_a_template_keeps_folders(run: Run, core: Core, store: Any) -> None:
    run("upscale", "memory://in/", "-o", "memory://large/{folder}/{name}_{label}")
    assert names(store, "large") == ["a_x2.png", "c_x2.webp", "sub/b_x2.jpg", "sub/b_x2.png"]


def test_a_file_url_is_a_path(run: Run, core: Core, here: Path) -> None:
    picture("a b.png")
    run("upscale", f"file://{here}/a%20b.png", f"file://{here}/large.png")
    assert run.code == 0 and probe_picture(Path("large.png")).width == 12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("memory://in/",), "a folder in a store needs a place for the outputs"),
        (("memory://in/", "-o", "memory://large.png"), "is a single file"),
        (("memory://in/a.png", "-o", "memory://large"), "has no suffix"),
        (("memory://in/", "-o", "memory://large/", "--dry-run"), "URLs go neither with --dry-run"),
        (("memory://in/a.png", "-o", "-"), "URLs go neither with"),
    ],
)
def test_unclear_commands_are_refused(
    run: Run, core: Core, store: Any, arguments: tuple[str, ...], words: str
) -> None:
    run("upscale", *arguments)
    assert run.code == 2 and words in run.err


def test_a_failed_write_leaves_nothing(
    run: Run, core: Core, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ginr.stores import store as files

    def fail(source: Any, target: Any, piece: int) -> None:
        target.write(source.read(9))
        raise OSError("connection lost")

    monkeypatch.setattr(files, "_WAIT_S", 0)
    monkeypatch.setattr(files, "copyfileobj", fail)
    run("upscale", "album/a.png", "memory://large/a.png")
    assert run.code == 1 and not store.exists("/large/a.png")
    assert "memory://large/a.png cannot be written (connection lost): try again later" in run.err
