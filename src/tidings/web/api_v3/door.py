"""The door itself: routing, credentials, one endpoint, one answer. Contract section 1."""

from starlette.types import Receive, Scope, Send

from tidings import errors
from tidings.web import params
from tidings.web.api_v3 import auth, document, routes, shapes
from tidings.web.api_v3.call import Call
from tidings.web.api_v3.routes import Route
from tidings.web.house import House
from tidings.web.http import Reply, header, html_reply, normalise, read_body, send_reply

NOT_FOUND = ("Not Found", "The entity you were trying to find doesn't exist")
# Browsers may call what the public key opens, from any page: the key is not a secret.
_ANY_ORIGIN = (b"access-control-allow-origin", b"*")
_PREFLIGHT = [
    _ANY_ORIGIN,
    (b"access-control-allow-headers", b"Content-Type, Accept, X-Requested-With"),
    (b"access-control-max-age", b"86400"),
]


class Door:
    """An ASGI application for everything under `/v3/` (also as `/api/v3/`) and for `/docs`."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._docs = document.page(house.links.base_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method = scope["method"]
        path = normalise(scope["path"]).removeprefix("/api")
        reply = await self._answer(scope, receive, method, path)
        if_none_match = header(scope["headers"], b"if-none-match") if method in ("GET", "HEAD") else b""
        await send_reply(send, reply, method=method, if_none_match=if_none_match)

    async def _answer(self, scope: Scope, receive: Receive, method: str, path: str) -> Reply:
        if path == "/docs":
            return html_reply(200, self._docs) if method in ("GET", "HEAD") else _not_allowed("GET")
        found = routes.find(path)
        if found is None:
            return shapes.error(404, *NOT_FOUND)
        methods, ids = found
        route = methods.get("GET" if method == "HEAD" else method)
        open_to_browsers = any(not one.secret for one in methods.values())
        if route is None:
            reply = _other_method(method, methods, open_to_browsers=open_to_browsers)
        elif route.pattern == "/v3/openapi.json":
            reply = Reply(200, document.DOCUMENT)
        else:
            reply = await self._called(scope, receive, route, ids)
        if open_to_browsers and (route is None or not route.secret) and _ANY_ORIGIN not in reply.headers:
            reply.headers.append(_ANY_ORIGIN)
        return reply

    async def _called(self, scope: Scope, receive: Receive, route: Route, written: list[str]) -> Reply:
        """Read the parameters, find out who calls, call the endpoint; say problems as v3 does."""
        headers = scope["headers"]
        body = await read_body(receive, headers)
        try:
            content_type = header(headers, b"content-type").decode("latin-1")
            given = params.decode(scope["query_string"], content_type, body)
            client = scope.get("tidings.client", "")
            found = await auth.identify(self._house, given, client, secret=route.secret)
            # A space around the number would pass as a parameter; an address has none.
            ids = [params.integer(one) if one.isdigit() else None for one in written]
            if route.endpoint is None or None in ids:
                raise errors.NotFound(_noun(route) if route.subscribing else "path")
            call = Call(
                self._house,
                given,
                [one for one in ids if one is not None],
                found.account_id,
                found.kind == "secret",
                client,
            )
            return await route.endpoint(call)
        except params.BadBody as problem:
            return shapes.error(400, "Bad Request", problem.message)
        except params.BadValue as problem:
            return shapes.error(422, "Unprocessable Entity", str(problem))
        except errors.Problem as problem:
            return shapes.problem(problem, subscribing=route.subscribing, missing=route.missing)


def _noun(route: Route) -> str:
    """Return what a subscribe route subscribes to, for a path id that is no id."""
    name = route.pattern.split("/")[2]
    return {"forms": "form", "sequences": "sequence", "courses": "sequence", "tags": "tag"}.get(name, name)


def _other_method(method: str, methods: routes.Methods, *, open_to_browsers: bool) -> Reply:
    allowed = ", ".join(sorted(methods))
    if method == "OPTIONS" and open_to_browsers:
        # Only what the public key opens is offered to other sites.
        offered = ", ".join(sorted(name for name, one in methods.items() if not one.secret))
        return Reply(204, headers=[*_PREFLIGHT, (b"access-control-allow-methods", offered.encode())])
    return _not_allowed(allowed)


def _not_allowed(allowed: str) -> Reply:
    reply = shapes.error(405, "Method Not Allowed", f"This address answers {allowed}")
    reply.headers.append((b"allow", allowed.encode()))
    return reply
