"""What the server of `ginr view` answers and refuses: pytest tests/view/test_server.py"""

import io
import json
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ginr_cli.view.server as server
from ginr.checkpoints.checkpoint import load_checkpoint, peek
from ginr.pictures import Picture, read_picture
from ginr.pictures.provenance import provenance
from ginr.rendering.field_file import save_field
from ginr.rendering.picture_field import encode_picture
from ginr.rendering.upscale import upscale
from ginr_cli.view.server import Viewer

from .support import PATIENCE_S, Page, served


def noise(width: int = 60, height: int = 40, **options: Any) -> bytes:
    samples = np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(samples).save(file, options.pop("format", "PNG"), **options)
    return file.getvalue()


def test_the_page_and_its_modules_come_from_the_package(page: Page) -> None:
    html = page.get("/").text
    assert "<title>ginr</title>" in html and "http" not in html.replace("http-equiv", "")
    modules = list(Path(server.__file__).with_name("page").glob("*.js"))
    assert len(modules) >= 7
    for module in modules:
        answer = page.get(f"/{module.name}")
        assert answer.status_code == 200 and "javascript" in answer.headers["content-type"]
        assert "http:" not in answer.text and "https:" not in answer.text
    assert page.get("/page.css").headers["content-type"].startswith("text/css")
    assert page.get("/../server.py").status_code == 404


def test_a_tile_is_that_of_an_enlargement(page: Page, tiny_checkpoint: Path) -> None:
    number = page.open("noise.png", noise())
    picture = Picture(np.asarray(Image.open(io.BytesIO(noise()))))
    model = load_checkpoint(tiny_checkpoint).build()
    for scale, box in {1.7: (3, 5, 90, 60), 31.3: (900, 600, 80, 70)}.items():
        left, top, width, height = box
        out = round(40 * scale), round(60 * scale)
        part = top, left, top + height, left + width
        expected = upscale(picture, model, height=out[0], width=out[1], box=part).samples
        pixels = page.part(number, box, scale=scale, kind="ginr")
        assert np.abs(pixels[..., :3].astype(int) - expected).max() <= 1
        assert (pixels[..., 3] == 255).all()


def test_bicubic_tiles_fit_together_and_shrink(page: Page) -> None:
    number = page.open("noise.png", noise())
    whole = page.part(number, (0, 0, 222, 148), scale=3.7, kind="bicubic")
    part = page.part(number, (50, 20, 70, 60), scale=3.7, kind="bicubic")
    assert np.abs(part.astype(int) - whole[20:80, 50:120]).max() <= 1
    expected = Image.open(io.BytesIO(noise())).resize((222, 148), Image.Resampling.BICUBIC)
    assert np.abs(whole[..., :3].astype(int) - np.asarray(expected)).max() <= 1
    small = page.part(number, (0, 0, 15, 10), scale=0.25, kind="ginr")
    assert np.ptp(small[..., :3]) < np.ptp(whole[..., :3])


def test_the_rest_is_encoded_ahead_and_progress_is_told(page: Page) -> None:
    number = page.open("noise.png", noise(420, 300))
    page.part(number, (0, 0, 50, 50), scale=2, kind="ginr")
    told = page.wait("encoded", lambda v: v["done"] == v["all"])
    assert told == {"id": number, "done": 6, "all": 6}


def test_a_picture_is_encoded_before_its_field_is_rendered(page: Page) -> None:
    number = page.open("noise.png", noise(420, 300))
    assert page.post("/ahead", id=number).status_code == 200
    assert page.wait("encoded", lambda v: v["done"] == v["all"])["id"] == number
    assert "restore" in page.error(page.post("/ahead", id=number, restore="much"))


def test_transparent_16_bit_and_tagged_pictures_are_shown_in_8_bit_srgb(page: Page) -> None:
    grey = Image.new("LA", (20, 20), (100, 128))
    file = io.BytesIO()
    grey.save(file, "PNG")
    number = page.open("grey.png", file.getvalue())
    pixels = page.part(number, (0, 0, 40, 40), scale=2, kind="bicubic")
    assert (np.abs(pixels[..., :3].astype(int) - 177) <= 1).all()  # on white


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"scale": "x"}, "number 'x': expected 1 numbers"),
        ({"scale": 0}, "scale 0: give more than 0"),
        ({"scale": 241}, "up to 240"),
        ({"scale": "nan"}, "number 'nan'"),
        ({"box": "0,0,10"}, "expected 4 numbers"),
        ({"box": "0,0,0,5"}, "box 0,0,0,5 is not inside 120x80 pixels"),
        ({"box": "-1,0,5,5"}, "is not inside"),
        ({"box": "100,0,30,5"}, "is not inside"),
        ({"scale": 100, "box": "0,0,3000,3000"}, "ask for 4194304 at most"),
        ({"restore": "strongly"}, "--restore strongly: use auto, off"),
        ({"restore": "0.5"}, "was not trained to restore"),
        ({"id": 99}, "this picture is no longer open"),
        ({"id": "../../etc/passwd"}, "this picture is no longer open"),
        ({"session": "t" * 32}, "this page is no longer known"),
    ],
)
def test_parts_that_cannot_be_are_refused(page: Page, values: dict[str, Any], words: str) -> None:
    number = page.open("noise.png", noise())
    asked = {"id": number, "kind": "ginr", "scale": 2, "box": "0,0,10,10"} | values
    assert words in page.error(page.get("/part", **asked))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.png", b"no picture at all", "notes.png is not a supported picture"),
        ("empty.jpg", b"", "empty.jpg is empty"),
        ("../../evil.png", b"junk", "../../evil.png is not a supported picture"),
        ("a\nb\x1b[31m.png", b"junk", r"a\nb\x1b[31m.png is not a supported picture"),
        ("field.safetensors", b"junk", "field.safetensors"),
    ],
)
def test_wrong_files_are_refused_by_their_names(
    page: Page, viewer_at: tuple[str, Viewer], name: str, content: bytes, words: str
) -> None:
    assert words in page.error(page.post("/open", content, name=name))
    session = viewer_at[1].sessions[page.session]
    assert not session.entries and list(session.folder.iterdir()) == []


def test_a_file_that_ends_early_is_refused_when_it_is_shown(page: Page) -> None:
    number = page.open("half.png", noise()[:2000])
    answer = page.get("/part", id=number, scale=1, box="0,0,9,9", kind="bicubic")
    assert page.error(answer).startswith("half.png is incomplete")


def test_a_bomb_is_refused_before_it_is_decoded(page: Page) -> None:
    from tests.cli.support import png

    line = page.error(page.post("/open", png(40_000, 40_000), name="bomb.png"))
    assert line.startswith("bomb.png claims 40000x40000 pixels, above the limit")


def test_large_uploads_are_refused(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_UPLOAD", 1000)
    answer = page.post("/open", b"x" * 1001, name="large.png")
    assert answer.status_code == 413 and "name it on the command line" in page.error(answer)

    def endless() -> Any:
        for _ in range(100):
            yield b"x" * 100

    answer = page.client.post(
        "/open", params={"session": page.session, "name": "a"}, content=endless()
    )
    assert answer.status_code == 413


def test_a_name_is_never_a_path(page: Page, viewer_at: tuple[str, Viewer], tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    number = page.open("../../../" + str(tmp_path / "stolen.png"), noise())
    done = page.save(number)
    assert done["name"] == "stolen_x2.png"
    answer = page.get("/result", id=done["id"])
    assert 'filename="stolen_x2.png"' in answer.headers["content-disposition"]
    written = {*tmp_path.rglob("*")} - {*before}
    folder = viewer_at[1].sessions[page.session].folder
    assert written and all(path == folder or folder in path.parents for path in written)


def test_a_picture_is_saved_as_by_the_command_line(
    page: Page, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a garden"
    content = noise(exif=exif, dpi=(72, 72), format="JPEG", quality=99)
    number = page.open("garden.jpg", content)
    (tmp_path / "garden.jpg").write_bytes(content)
    from ginr_cli.main import main

    for suffix, more in {"png": {}, "jpg": {"quality": "90"}, "webp": {}, "tif": {}}.items():
        done = page.save(number, format=suffix, size="1.5", **more)
        assert done["state"] == "done", done
        found = tmp_path / f"page.{suffix}"
        found.write_bytes(page.get("/result", id=done["id"]).content)
        expected = tmp_path / f"line.{suffix}"
        arguments = ["upscale", str(tmp_path / "garden.jpg"), str(expected), "--scale", "1.5"]
        arguments += ["--checkpoint", str(tiny_checkpoint)]
        arguments += ["--quality", "90"] if more else []
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
        ours, theirs = read_picture(found), read_picture(expected)
        assert np.array_equal(ours.samples, theirs.samples)
        for kept in ("exif", "dpi", "icc", "notes"):
            assert getattr(ours, kept) == getattr(theirs, kept)
        assert provenance(ours.xmp) == provenance(theirs.xmp)
        assert provenance(ours.xmp)["source"] == "garden.jpg"


def test_sizes_paper_and_parts_are_those_of_the_command_line(page: Page) -> None:
    number = page.open("noise.png", noise())

    def size(**values: Any) -> Any:
        order = {"entries": [number], "format": "png", **values}
        answer = page.post("/size", json.dumps(order).encode())
        return answer.json().get("sizes", answer.json().get("error"))

    assert size(size_by="scale", size="3.7") == [[222, 148]]
    assert size(size_by="size", size="300x") == [[300, 200]]
    assert size(size_by="print", size="A8", dpi="300") == [[874, 583]]
    assert size(size_by="scale", size="4", box=[10, 10, 20, 5]) == [[80, 20]]
    assert size(size_by="size", size="20x") == (
        "size 20x would shrink 60x40 pixels, and ginr only enlarges: ask for a larger size"
    )
    assert "is not a size on paper" in size(size_by="print", size="large")
    assert "dpi '0': give a number from 1" in size(size_by="print", size="A8", dpi="0")
    assert "format 'exe' is not one of" in size(size_by="scale", size="2", format="exe")
    assert "quality 101" in size(size_by="scale", size="2", format="jpg", quality=101)
    assert "is not four whole numbers" in size(size_by="scale", size="2", box=[-1, 0, 5, 5])
    assert "reaches outside" in size(size_by="scale", size="2", box=[50, 0, 50, 5])
    assert "invalid request" in size(entries=[99], size_by="scale", size="2")
    assert "invalid request" in page.error(page.post("/size", b"[]"))
    assert page.post("/size", b" " * 100_000).status_code == 413


def test_a_part_on_paper_is_saved_with_its_resolution(page: Page) -> None:
    number = page.open("noise.png", noise())
    done = page.save(
        number, size_by="print", size="A8", dpi="300", box=[10, 10, 30, 20], format="tif"
    )
    assert done["name"] == "noise_874x583_box10,10,30,20.tif"
    with Image.open(io.BytesIO(page.get("/result", id=done["id"]).content)) as image:
        assert image.size == (874, 583) and image.info["dpi"] == (300, 300)


def test_several_pictures_queue_up_and_can_be_dropped(
    page: Page, viewer_at: tuple[str, Viewer]
) -> None:
    numbers = [page.open(f"{k}.png", noise(64 + k, 48)) for k in range(3)]
    order = {"entries": numbers, "size_by": "scale", "size": "30", "format": "png"}
    first, second, third = page.post("/save", json.dumps(order).encode()).json()["ids"]
    assert page.post("/drop", id=second).status_code == 200
    for number in (first, third):
        page.wait("saving", lambda v, n=number: v["id"] == n and v["state"] == "done")
    states = [v["state"] for e, v in page.events if e == "saving" and v["id"] == first]
    assert states[0] == "waiting" and "working" in states and states[-1] == "done"
    shares = [v["share"] for e, v in page.events if e == "saving" and v["state"] == "working"]
    assert all(0 <= share <= 1 for share in shares)
    assert not any(
        v["state"] == "done" for e, v in page.events if e == "saving" and v["id"] == second
    )
    assert "no longer in the queue" in page.error(page.get("/result", id=second))
    session = viewer_at[1].sessions[page.session]
    output = session.savings[first].output
    assert output.exists()
    page.post("/drop", id=first)
    assert not output.exists()


def test_a_size_that_one_picture_cannot_have_queues_none_up(
    page: Page, viewer_at: tuple[str, Viewer]
) -> None:
    large, small = page.open("large.png", noise()), page.open("small.png", noise(6, 4))
    for values in ({"size": "200x"}, {"size": "100x", "box": [10, 10, 20, 20]}):
        order = {"entries": [large, small], "size_by": "size", "format": "png", **values}
        for path in ("/size", "/save"):
            error = page.error(page.post(path, json.dumps(order).encode()))
            assert "above the limit of x30" in error or "reaches outside" in error
    assert not viewer_at[1].sessions[page.session].savings
    assert page.save(large)["state"] == "done"


def test_a_tile_does_not_wait_for_a_picture_being_saved(page: Page) -> None:
    number, other = page.open("a.png", noise(300, 300)), page.open("b.png", noise(64, 64))
    order = {"entries": [number], "size_by": "scale", "size": "30", "format": "png"}
    saved = page.post("/save", json.dumps(order).encode()).json()["ids"][0]
    page.wait("saving", lambda v: v["state"] == "working")
    page.part(other, (0, 0, 64, 64), scale=2, kind="ginr")
    assert not any(v["state"] == "done" for e, v in page.events if e == "saving")
    page.post("/drop", id=saved)
    page.wait("saving", lambda v: v["state"] == "gone")


def test_a_failed_picture_says_why(page: Page, viewer_at: tuple[str, Viewer]) -> None:
    number = page.open("noise.png", noise())
    viewer_at[1].sessions[page.session].entries[number].path.write_bytes(b"gone bad")
    failed = page.save(number)
    assert failed["state"] == "failed"
    assert failed["error"].startswith("noise.png is not a supported picture")


def test_a_file_that_was_replaced_is_not_taken_for_the_one_opened(
    page: Page, viewer_at: tuple[str, Viewer]
) -> None:
    number = page.open("noise.png", noise())
    viewer_at[1].sessions[page.session].entries[number].path.write_bytes(noise(30, 20))
    for kind in ("ginr", "bicubic"):
        answer = page.get("/part", id=number, scale="2", box="60,40,5,5", kind=kind)
        assert "noise.png has another size than when it was opened" in page.error(answer)


def test_the_tokens_under_the_cursor_are_described(page: Page) -> None:
    number = page.open("noise.png", noise())
    found = page.get("/lps", id=number, at="31,17").json()
    assert np.array(found["alike"]).shape == (4, 4) and found["alike"][0][0] == 1
    assert np.array(found["changes"]).max() > 0
    assert "60,0 is outside the picture" in page.error(page.get("/lps", id=number, at="60,0"))


def test_a_saved_field_is_shown_and_saved(
    page: Page, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    picture = Picture(np.asarray(Image.open(io.BytesIO(noise()))))
    model = load_checkpoint(tiny_checkpoint).build()
    field = encode_picture(picture, model)
    save_field(tmp_path / "a.safetensors", field, peek(tiny_checkpoint))
    number = page.open("a.safetensors", (tmp_path / "a.safetensors").read_bytes())
    expected = field.render(model, height=80, width=120).samples
    pixels = page.part(number, (20, 10, 60, 50), scale=2, kind="ginr")
    assert np.abs(pixels[..., :3].astype(int) - expected[10:60, 20:80]).max() <= 1
    assert page.part(number, (0, 0, 60, 40), scale=1, kind="bicubic").shape == (40, 60, 4)
    done = page.save(number)
    with Image.open(io.BytesIO(page.get("/result", id=done["id"]).content)) as image:
        assert np.abs(np.asarray(image).astype(int) - expected).max() <= 1
    assert done["name"] == "a_x2.png"


def test_only_the_pictures_looked_at_last_are_in_memory(
    page: Page, viewer_at: tuple[str, Viewer]
) -> None:
    numbers = [page.open(f"{k}.png", noise()) for k in range(3)]
    for number in numbers:
        page.part(number, (0, 0, 10, 10), scale=2, kind="bicubic")
    entries = viewer_at[1].sessions[page.session].entries
    assert [entries[number].is_loaded for number in numbers] == [False, True, True]
    page.part(numbers[0], (0, 0, 10, 10), scale=2, kind="ginr")
    assert page.post("/remove", id=numbers[0]).status_code == 200
    assert list(entries) == numbers[1:]
    assert not (viewer_at[1].sessions[page.session].folder / "1").exists()


def test_closing_the_page_frees_what_it_held(
    viewer_at: tuple[str, Viewer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "GRACE_S", 0.3)
    address, viewer = viewer_at
    page = Page(address)
    page.wait("hello")
    number = page.open("noise.png", noise())
    page.part(number, (0, 0, 10, 10), scale=2, kind="ginr")
    session = viewer.sessions[page.session]
    folder, entry = session.folder, weakref.ref(session.entries[number])
    del session
    page.close()
    end = time.monotonic() + PATIENCE_S
    while (viewer.sessions or entry() is not None) and time.monotonic() < end:
        time.sleep(0.05)
    assert not viewer.sessions and entry() is None and not folder.exists()
    assert not viewer.settings.loaded


def test_a_page_whose_stream_breaks_off_keeps_its_pictures(viewer_at: tuple[str, Viewer]) -> None:
    first = Page(viewer_at[0])
    assert first.wait("hello")["is_new"]
    number = first.open("noise.png", noise())
    first.close()
    second = Page(viewer_at[0])
    assert not second.wait("hello")["is_new"]
    second.part(number, (0, 0, 9, 9), scale=1, kind="bicubic")
    second.close()


def test_what_goes_wrong_ahead_is_said(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    from ginr.errors import GinrError
    from ginr.rendering.live_field import LivePicture

    def fail(*_: object) -> bool:
        raise GinrError("out of memory: close other programs")

    monkeypatch.setattr(LivePicture, "advance", fail)
    number = page.open("noise.png", noise())
    page.part(number, (0, 0, 9, 9), scale=2, kind="ginr")
    assert page.wait("problem")["text"] == "out of memory: close other programs"


def test_there_is_a_limit_to_pages(
    viewer_at: tuple[str, Viewer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_SESSIONS", 1)
    page = Page(viewer_at[0])
    page.wait("hello")
    answer = page.client.get("/events", params={"session": "u" * 32})
    assert answer.status_code == 503 and "1 pages are open" in page.error(answer)
    assert page.client.get("/events", params={"session": "short"}).status_code == 400
    page.close()


def test_pages_share_no_pictures(viewer_at: tuple[str, Viewer]) -> None:
    one, other = Page(viewer_at[0], "a" * 32), Page(viewer_at[0], "b" * 32)
    for page in (one, other):
        page.wait("hello")
    number = one.open("noise.png", noise())
    asked = {"id": number, "kind": "bicubic", "scale": 1, "box": "0,0,9,9"}
    assert other.get("/part", **asked).status_code == 404
    for page in (one, other):
        page.close()


def test_pictures_of_the_command_line_are_opened_and_damage_is_restored(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    for name, quality in {"good.png": None, "bad.jpg": 20}.items():
        ramp = np.add.outer(np.arange(64), 2 * np.arange(96))
        image = Image.fromarray(ramp.astype(np.uint8))
        image.convert("RGB").save(tmp_path / name, **({"quality": quality} if quality else {}))
    with served(tmp_path / "uploads", tmp_path / "good.png", tmp_path / "bad.jpg") as (address, _):
        page = Page(address)
        assert page.wait("hello")["restores"]
        bad = page.wait("entry", lambda v: v["name"] == "bad.jpg")["id"]
        box = (0, 0, 128, 128)
        auto = page.part(bad, box, scale=2, kind="ginr", restore="auto")
        assert "JPEG of quality 20" in page.wait("note", lambda v: v["kind"] == "look")["text"]
        off = page.part(bad, box, scale=2, kind="ginr", restore="off")
        assert not np.array_equal(auto, off)
        assert np.array_equal(auto, page.part(bad, box, scale=2, kind="ginr", restore="auto"))
        page.close()
    assert (tmp_path / "bad.jpg").exists()
