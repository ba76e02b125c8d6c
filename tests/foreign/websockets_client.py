"""Python `websockets` against Streamer: URL, token and a process_data payload come in, one `ok STEP` line per step goes out."""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

URL, TOKEN, PAYLOAD = sys.argv[1:4]


def ok(step):
    print("ok", step, flush=True)


def client():
    return connect(
        URL,
        additional_headers={"Authorization": f"Bearer {TOKEN}"},
        subprotocols=["streamer.v1"],
        compression="deflate",
    )


async def ask(socket, message):
    await socket.send(message if isinstance(message, str) else json.dumps(message))
    return json.loads(await socket.recv())


async def close_code(data):
    async with client() as socket:
        try:
            await socket.send(data)
            while True:
                await socket.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code


async def main():
    try:
        async with connect(URL):
            raise AssertionError("connected without a token")
    except InvalidStatus as refused:
        assert refused.response.status_code == 401, refused
        assert refused.response.body == b'{"message":"Unauthorized"}', refused.response.body
    ok("unauthorized")
    async with client() as ada:
        assert ada.subprotocol == "streamer.v1"
        ok("connected")
        payload = {"text": "héllo 😀", "list": [1, 2.5, None]}
        answer = await ask(ada, {"id": "1", "action": "echo", "payload": payload})
        assert (answer["type"], answer["id"], answer["data"]) == ("response", "1", payload), answer
        ok("echo")
        assert (await ask(ada, {"id": "2", "action": "ping"}))["type"] == "pong"
        await (await ada.ping())
        ok("ping")
        for wrong, code in [
            ("{", "INVALID_JSON"),
            ('{"action":7}', "VALIDATION_ERROR"),
            ('{"action":"nothing.like.it"}', "UNKNOWN_ACTION"),
            ('{"action":"process_data","payload":{"input":7}}', "VALIDATION_ERROR"),
            ('{"action":"echo","idempotency_key":""}', "VALIDATION_ERROR"),
        ]:
            refused = await ask(ada, wrong)
            assert (refused["type"], refused["error"]["code"]) == ("error", code), refused
        ok("wrong")
        acknowledgment = await ask(ada, {"id": "3", "action": "process_data", "payload": json.loads(PAYLOAD)})
        assert acknowledgment["type"] == "acknowledgment" and not acknowledgment["duplicate"], acknowledgment
        request_id = acknowledgment["request_id"]
        ok("acknowledged")
        seen = json.loads(await ada.recv())
        assert (seen["type"], seen["request_id"]) == ("progress", request_id), seen
        ada.transport.abort()
        ok("cut")
    async with client() as ada:
        one = {"request_id": request_id, "after_seq": seen["seq"]}
        resumed = await ask(ada, {"id": "4", "action": "request.resume", "payload": {"requests": [one]}})
        assert resumed["data"]["requests"][0]["recovered"] is True, resumed
        last = seen
        while True:
            message = json.loads(await ada.recv())
            assert message["request_id"] == request_id, message
            if message["seq"] <= last["seq"]:
                continue
            if message["type"] == "complete":
                assert message["result"]["rows_in"] == 200_000, message
                break
            assert message["type"] == "progress", message
            assert message["percentage"] >= last["percentage"], (last, message)
            last = message
        ok("resumed")
    assert await close_code(b"{}") == 1003
    ok("binary")
    assert await close_code("x" * 33 * 1024) == 1009
    ok("large")


asyncio.run(asyncio.wait_for(main(), 50))
