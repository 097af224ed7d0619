"""An HTTP server for the benchmarks that ask one, to be run in a process of its own."""

import asyncio
import multiprocessing

from aiohttp import web


def serve(app: web.Application, port: multiprocessing.Queue) -> None:
    """Serve on a free port of this machine, and put its number into ``port``; ends with the process."""

    async def run() -> None:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port.put(site._server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(run())
