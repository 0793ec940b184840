"""Who is let in: pytest tests/view/test_guard.py"""

from pathlib import Path

import httpx
import pytest

from ginr_cli.view.server import Viewer

from .support import served


def test_requests_of_other_pages_are_refused(viewer_at: tuple[str, Viewer]) -> None:
    address = viewer_at[0]
    port = address.rpartition(":")[2]
    evil = "evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}"
    for host in (*evil, "192.168.1.5", "[", ""):
        answer = httpx.get(address, headers={"Host": host})
        assert answer.status_code in (400, 403), host
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert httpx.get(address, headers={"Host": host}).status_code == 200
    for origin in (
        "http://evil.example",
        "null",
        f"https://127.0.0.1:{port}",
        "http://127.0.0.1:1",
    ):
        answer = httpx.post(f"{address}/open", headers={"Origin": origin})
        assert answer.status_code == 403 and "Origin" in answer.text
    assert httpx.get(address, headers={"Origin": address}).status_code == 200


def test_answers_allow_nothing_from_elsewhere(viewer_at: tuple[str, Viewer]) -> None:
    for path in ("/", "/page.js", "/part", "/nothing"):
        headers = httpx.get(f"{viewer_at[0]}{path}").headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy and "*" not in policy
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


@pytest.fixture
def guarded(tmp_path: Path, tiny_checkpoint: Path) -> object:
    options = {"checkpoint": str(tiny_checkpoint), "host": "0.0.0.0", "token": "secret"}
    with served(tmp_path, **options) as (address, _):
        yield address


def test_with_a_host_nothing_is_shown_without_the_token(guarded: str) -> None:
    for path in ("/", "/page.js", "/events?session=" + "s" * 32, "/?token=wrong", "/?token="):
        answer = httpx.get(f"{guarded}{path}")
        assert answer.status_code == 403 and "open the whole address" in answer.text
    with httpx.Client(base_url=guarded) as client:
        answer = client.get("/?token=secret")
        assert answer.status_code == 303 and "secret" not in answer.headers["location"]
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
        assert client.get("/").status_code == 200


def test_with_a_host_addresses_are_let_in_and_foreign_names_are_not(guarded: str) -> None:
    for host, status in {"192.168.1.5:80": 303, "[fe80::1]": 303, "evil.example": 403}.items():
        answer = httpx.get(f"{guarded}/?token=secret", headers={"Host": host})
        assert answer.status_code == status, host
