"""WebSockets by a library that nobody here wrote (aiohttp), at both ends.

    websocket.py serve           says back what it is told at /echo, on a free port of loopback, which it prints
    websocket.py ask URL CA      talks with that, and ends with status 1 where anything is not as it should be;
                                 every host of the URL is this machine, its certificate is signed by CA (PEM)
"""

import asyncio
import socket
import ssl
import sys

import aiohttp
from aiohttp import WSMsgType, abc, web

LARGE = bytes(at % 251 for at in range(1 << 20))
MESSAGE_MAX_BYTES = 4 << 20


async def echo(request):
    socket = web.WebSocketResponse(protocols=["flame"], max_msg_size=MESSAGE_MAX_BYTES)
    await socket.prepare(request)
    async for message in socket:
        if message.type == WSMsgType.TEXT and message.data == "end":
            await socket.close(code=4001, message=b"as asked")
        elif message.type == WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def serve():
    app = web.Application()
    app.add_routes([web.get("/echo", echo)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


class Here(abc.AbstractResolver):
    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": family, "proto": 0, "flags": 0}]

    async def close(self):
        pass


async def ask(url, ca):
    context = ssl.create_default_context(cafile=ca)
    connector = aiohttp.TCPConnector(resolver=Here(), ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:
        options = {"protocols": ["flame"], "compress": 15, "max_msg_size": MESSAGE_MAX_BYTES}
        async with session.ws_connect(url, **options) as socket:
            assert socket.protocol == "flame", socket.protocol
            assert socket.compress, "permessage-deflate was not agreed on"
            for text in ["hello", "", "ä€𝄞", "x" * 200_000]:
                await socket.send_str(text)
                assert await socket.receive_str() == text
            await socket.send_bytes(LARGE)
            assert await socket.receive_bytes() == LARGE
            # Several on their way at once come in their order.
            for number in range(100):
                await socket.send_str(str(number))
            assert [await socket.receive_str() for _ in range(100)] == [str(number) for number in range(100)]
            await socket.send_str("end")
            last = await socket.receive()
            assert (last.type, last.data, last.extra) == (WSMsgType.CLOSE, 4001, "as asked"), last
        assert socket.close_code == 4001, socket.close_code
    print("well")


asyncio.run(asyncio.wait_for(serve(), None) if sys.argv[1] == "serve" else asyncio.wait_for(ask(*sys.argv[2:]), 60))
