"""Moves money, on an event loop. /transfer asks another service for its consent in a thread; /rates asks it on the loop itself."""
import asyncio
import os

import pystuck
import requests

CONSENT = os.environ["CONSENT"]
locks = {name: asyncio.Lock() for name in ("alice", "bob", "carol")}


async def transfer(source, target):
    async with locks[source]:
        await asyncio.to_thread(requests.get, CONSENT)
        async with locks[target]:  # could block
            return b"done\n"


async def rates():
    return requests.get(CONSENT).content  # blocks the loop


async def lifespan(receive, send):
    await receive()
    with pystuck.run_server():
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    what, *arguments = scope["path"].strip("/").split("/")
    page = {"transfer": transfer, "rates": rates}[what]
    body = await page(*arguments)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})
