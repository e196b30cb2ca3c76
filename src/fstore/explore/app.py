"""The explorer as an ASGI application: pages, pictures and assets behind the guard."""

import logging
from functools import partial
from typing import TYPE_CHECKING

from fstore.errors import FstoreError, UnknownNameError
from fstore.explore.contents import Contents
from fstore.explore.guard import App, Door, Guard
from fstore.explore.page import PAGES, Asked, Page
from fstore.explore.rendering import asset, environment

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from fstore.registry import Entry
    from fstore.store import Store

__all__ = ["application"]

BAR = ("/", "/images", "/compare", "/map", "/sql", "/reports")
"""The order of the bar at the top."""
YEAR = 365 * 24 * 3600


def application(store: "Store", *, door: Door | None = None) -> App:
    """Return the explorer of a store.

    Parameters
    ----------
    store : Store
        It is only read.
    door : Door or None
        Whom it serves; None for this machine's loopback.
    """
    from starlette.applications import Starlette
    from starlette.routing import Route

    import fstore.explore.pages  # noqa: F401 - it registers them

    contents = Contents(store)
    routes = [
        Route(entry.name, partial(_answer, entry, contents), methods=["GET"]) for entry in PAGES
    ]
    routes.append(Route("/assets/{name}", _asset, methods=["GET"]))
    handlers = {404: _not_there}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), door or Door())


async def _answer(entry: "Entry[Page]", contents: Contents, request: "Request") -> "Response":
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(_made, entry, contents, request)


def _made(entry: "Entry[Page]", contents: Contents, request: "Request") -> "Response":
    """Run a page; what the store or the address cannot give is said on a page."""
    from starlette.responses import Response

    asked = Asked(contents, request.query_params)
    try:
        shown = entry.function(asked)
        if isinstance(shown, Response):
            return shown
        return _page(entry.meta["template"], request, dict(shown))
    except FstoreError as error:
        status = 404 if isinstance(error, UnknownNameError) else 400
        return _page("error.html", request, {"message": str(error)}, status=status)
    except Exception as error:
        logging.getLogger(__name__).exception("%s failed", request.url)
        message = (
            f"{type(error).__name__}: {error}. This is a fault of fstore; please report it, with "
            "the traceback that the terminal shows."
        )
        return _page("error.html", request, {"message": message}, status=500)


def _page(
    template: str, request: "Request", values: "dict[str, object]", *, status: int = 200
) -> "Response":
    from starlette.responses import HTMLResponse

    bar = [(e.name, e.meta["nav"]) for e in sorted(PAGES, key=_place) if e.meta["nav"]]
    fixed: dict[str, object] = {"bar": bar, "here": request.url.path, "given": request.query_params}
    fixed["part"] = "hx-request" in request.headers
    text = environment().get_template(template).render(**fixed, **values)
    headers = {"cache-control": "no-store", "vary": "hx-request"}
    return HTMLResponse(text, status_code=status, headers=headers)


def _place(entry: "Entry[Page]") -> int:
    """Where the bar has a page: as listed, others after."""
    return BAR.index(entry.name) if entry.name in BAR else len(BAR)


async def _asset(request: "Request") -> "Response":
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import PlainTextResponse, Response

    content = await run_in_threadpool(asset, request.path_params["name"])
    if content is None:
        return PlainTextResponse("There is no such file.", status_code=404)
    kept = f"private, max-age={YEAR}, immutable"
    return Response(content[0], media_type=content[1], headers={"cache-control": kept})


async def _not_there(request: "Request", _error: Exception) -> "Response":
    message = f"There is no page at {request.url.path}. The bar above lists the pages."
    return _page("error.html", request, {"message": message}, status=404)
