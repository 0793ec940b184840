"""Faulty files, kinds that cannot be read, pages and metadata: pytest tests/cli/test_file_kinds.py"""

import io
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from ginr.pictures import UNREADABLE, why_unreadable

from .support import Core, Run, files, picture, size


def jpeg(**options: object) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "JPEG", **options)
    return file.getvalue()


def test_a_fault_is_one_line_and_refused_only_if_asked(run: Run, core: Core) -> None:
    Path("a.jpg").write_bytes(jpeg()[:-2])
    run("upscale", "a.jpg", "b.png", "--scale", "2")
    assert run.code == 0 and "a.jpg: the end marker is missing\n" in run.err
    run("upscale", "a.jpg", "c.png", "--scale", "2", "--strict")
    assert (
        run.code == 1
        and "has a fault (the end marker is missing): leave out --strict to read it" in run.err
    )
    assert not Path("c.png").exists()


def test_incomplete_pictures_are_read_only_if_asked(run: Run, core: Core) -> None:
    Path("a.jpg").write_bytes(jpeg()[:-1500])
    run("upscale", "a.jpg", "b.png", "--scale", "2")
    assert run.code == 1 and "ginr: a.jpg is incomplete" in run.err
    run("upscale", "a.jpg", "b.png", "--scale", "2", "--allow-truncated")
    assert run.code == 0 and "incomplete: the missing pixels are grey" in run.err
    assert size("b.png") == (120, 80)


def test_an_implausible_size_is_read_only_if_asked(run: Run, core: Core) -> None:
    head = (40).to_bytes(4, "little") + (9000).to_bytes(4, "little") * 2
    head += b"\1\0\x08\0\1\0\0\0" + bytes(16) + (2).to_bytes(4, "little")
    body = b"BM" + bytes(8) + (14 + 40 + 8).to_bytes(4, "little") + head.ljust(40, b"\0")
    Path("a.bmp").write_bytes(body + bytes(8) + b"\0\1")
    run("upscale", "a.bmp", "b.png", "--scale", "1")
    assert run.code == 1 and "claims 9000x9000 pixels in" in run.err and "--allow-large" in run.err


def test_kinds_that_cannot_be_read_are_counted_and_named(run: Run, core: Core) -> None:
    picture("in/a.png")
    for suffix in (".dng", ".psd"):
        assert suffix in UNREADABLE
        Path(f"in/b{suffix}").write_bytes(b"x")
    run("upscale", "in", "out", "--scale", "2", "--json")
    assert run.code == 0 and run.err.endswith("1 done, 2 skipped\n")
    for name in ("in/b.dng", "in/b.psd"):
        reason = why_unreadable(Path(name))
        assert f"{name}: skipped, {reason}\n" in run.err
        (record,) = [found for found in run.records if found["input"] == name]
        assert record["status"] == "skipped" and record["notes"] == [reason]
    assert run("upscale", "in", "out", "--scale", "2", "--strict").code == 1
    assert files("out") == ["a.png"]


def test_a_folder_of_nothing_else_is_no_error(run: Run, core: Core) -> None:
    Path("in").mkdir()
    Path("in/b.dng").write_bytes(b"x")
    run("upscale", "in", "out", "--scale", "2")
    assert run.code == 0 and run.err.endswith("1 skipped\n")


def test_pages_of_a_tiff_are_enlarged_one_by_one(run: Run, core: Core) -> None:
    first = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    with tifffile.TiffWriter("a.tif") as writer:
        for page in (first, first[:2, :3].copy() + 9):
            writer.write(page, photometric="rgb", metadata=None)
    run("upscale", "a.tif", "b.tif", "--scale", "2")
    assert run.code == 0 and "only the first" not in run.err and len(core.calls) == 2
    np.testing.assert_array_equal(tifffile.imread("b.tif", key=0), first.repeat(2, 0).repeat(2, 1))
    assert tifffile.imread("b.tif", key=1).shape == (4, 6, 3)
    run("upscale", "a.tif", "c.png", "--scale", "2")
    assert run.code == 0 and "only the first of 2 frames is read" in run.err


def test_a_part_of_a_panorama_is_none(run: Run, core: Core) -> None:
    packet = b'<x:xmpmeta><rdf:Description GPano:FullPanoWidthPixels="6"/></x:xmpmeta>'
    Image.new("RGB", (6, 4)).save("a.jpg", xmp=packet)
    run("upscale", "a.jpg", "b.png", "--scale", "2")
    assert b'GPano:FullPanoWidthPixels="12"' in Path("b.png").read_bytes()
    run("upscale", "a.jpg", "c.png", "--scale", "2", "--box", "0,0,3,2")
    assert b"GPano" not in Path("c.png").read_bytes()
    assert "panorama entries dropped" in run.err


def test_colour_below_transparency_is_said_to_be_lost(run: Run, core: Core) -> None:
    Image.new("RGBA", (6, 4), (9, 9, 9, 0)).save("a.png")
    run("upscale", "a.png", "b.png", "--scale", "2")
    assert "a.png: colour of fully transparent pixels set to 0\n" in run.err


def test_an_incomplete_output_does_not_count_as_done(run: Run, core: Core) -> None:
    picture("in/a.jpg", 60, 40)
    assert run("upscale", "in", "out", "--scale", "2").code == 0
    whole = Path("out/a.jpg").read_bytes()
    Path("out/a.jpg").write_bytes(whole[:-200])
    run("upscale", "in", "out", "--scale", "2")
    assert run.code == 1 and "already exists but is damaged or incomplete" in run.err
    assert run("upscale", "in", "-o", "out", "--scale", "2", "--overwrite").code == 0
