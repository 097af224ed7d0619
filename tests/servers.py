"""An HTTP server in this process, in a thread of its own, for tests whose client waits."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from aiohttp import web


@contextmanager
def serving(
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]], models: Sequence[str] | None = None
) -> Iterator[str]:
    """A server that answers completions, of text or chat, by ``handle``, and lists ``models``, or answers that
    request, too, by ``handle`` where they are None; its address up to and with ``/v1``."""
    loop, found = asyncio.new_event_loop(), {}

    async def answer(request: web.Request) -> web.StreamResponse:  # aiohttp wants a function
        return await handle(request)

    async def list_models(request: web.Request) -> web.StreamResponse:
        if models is None:
            return await handle(request)
        return web.json_response({"object": "list", "data": [{"id": model} for model in models]})

    async def start() -> None:
        app = web.Application()
        app.router.add_get("/v1/models", list_models)
        for path in ("/v1/completions", "/v1/chat/completions"):
            app.router.add_post(path, answer)
        runner = found["runner"] = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        found["port"] = site._server.sockets[0].getsockname()[1]

    threading.Thread(target=loop.run_forever, daemon=True).start()
    asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    yield f"http://127.0.0.1:{found['port']}/v1"
    asyncio.run_coroutine_threadsafe(found["runner"].cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
