"""Who may use the page: only the page itself, and only with the token, if there is one.

Another web page could send requests here (Origin), or make its own host name lead here (Host).
"""

import ipaddress
import secrets
import socket
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
COOKIE = "ginr_token"


class Guard:
    """Refuses requests that are not the page's own."""

    def __init__(self, app: ASGIApp, host: str | None = None, token: str | None = None) -> None:
        """`host` is that of --host; with it, the URL may hold any address of this machine."""
        self._app, self._token, self._is_open = app, token, host is not None
        own = socket.gethostname().lower()
        self._names = {"localhost", "127.0.0.1", "::1"}
        if host is not None:
            self._names |= {host.lower(), own, f"{own}.local"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = self._refusal(Request(scope))

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await (answer or self._app)(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that is refused; None for one that is allowed."""
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if not self._is_own(host):
            return PlainTextResponse("unknown Host: open the address that ginr printed\n", 403)
        if origin is not None and origin != f"http://{host}":
            return PlainTextResponse(
                "unknown Origin: only ginr's own page may send requests\n", 403
            )
        if self._token is None:
            return None
        cookie = f"{COOKIE}_{urlsplit(f'//{host}').port}"
        if _equal(request.query_params.get("token"), self._token):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(cookie, self._token, httponly=True, samesite="strict")
            return answer
        if _equal(request.cookies.get(cookie), self._token):
            return None
        return PlainTextResponse("no token: open the whole address that ginr printed\n", 403)

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names or not self._is_open:
            return name in self._names
        try:  # no page can make an address lead elsewhere, as it can a name
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _equal(given: str | None, token: str) -> bool:
    return given is not None and secrets.compare_digest(given.encode(), token.encode())
