"""In: events of API Gateway. Out: them, told to whoever runs the conversation, and what that says a function does.

A client of a conversation names itself in its `User-Agent`, which is in every event of its connection:
`lift/ID`, where ID is a connection of the relay, an API that nobody else uses. (Where no `User-Agent`
may be, the header `X-Lift` of the handshake has it.) The puppet opens a connection of its own there,
posts the event to ID through `@connections`, and waits for what to do.
Nothing is needed but the standard library, the function's credentials and the variable `RELAY`.
"""

import base64
import datetime
import hashlib
import hmac
import json
import os
import socket
import ssl
import struct
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import quote, urlsplit

RELAY = urlsplit(os.environ["RELAY"])
TLS = ssl.create_default_context() if RELAY.scheme == "https" else None
# Longer than any integration waits; the function's own timeout is longer.
PATIENCE_S = 45
# Characters of an event in one post: even escaped they are less than a message may have.
PART = 20_000


def handler(event, context):
    runner = runner_of(event)
    if runner is None:
        return {"statusCode": 200}
    inbox = Inbox()
    try:
        told = json.dumps({"function": name(event), "event": event}, ensure_ascii=False)
        parts = [told[at : at + PART] for at in range(0, len(told), PART)]
        for left, part in zip(reversed(range(len(parts))), parts):
            message = json.dumps({"from": inbox.id, "left": left, "part": part})
            status = post(runner, message.encode())
            if status != 200:
                raise Exception("the runner cannot be told: %s" % status)
        behaviour = inbox.receive()
    finally:
        inbox.close()
    return behave(behaviour, event)


def runner_of(event):
    agent = event.get("requestContext", {}).get("identity", {}).get("userAgent", "")
    own = event.get("headers", {}).get("X-Lift", "")
    _, found, runner = (own or agent).rpartition("lift/")
    return runner if found else None


def name(event):
    return "authorizer" if "methodArn" in event else event["requestContext"]["routeKey"]


def behave(behaviour, event):
    verb, _, rest = behaviour.partition(" ")
    if verb == "answer":
        return json.loads(rest)
    if verb == "answer-body":
        return {"statusCode": 200, "body": "x" * int(rest)}
    if verb == "echo":
        return {"statusCode": 200, "body": event["body"]}
    if verb in ("allow", "deny"):
        return policy(verb.capitalize(), event["methodArn"], rest)
    if verb == "fail":
        raise Exception(rest)
    if verb == "crash":
        os._exit(1)
    raise Exception("no such behaviour: %s" % behaviour)


def policy(effect, arn, context):
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": arn}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    answer = {"principalId": "u1", "policyDocument": document}
    if context:
        answer["context"] = json.loads(context)
    return answer


class Inbox:
    """A connection of the relay."""

    def __init__(self):
        port = RELAY.port or (443 if TLS else 80)
        stream = socket.create_connection((RELAY.hostname, port), timeout=PATIENCE_S)
        self.stream = TLS.wrap_socket(stream, server_hostname=RELAY.hostname) if TLS else stream
        self.read = self.stream.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        head = "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" % (RELAY.path, RELAY.netloc)
        head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n" % key
        self.stream.sendall(head.encode())
        status = self.read.readline()
        if b" 101 " not in status:
            raise Exception("the relay answers %r" % status)
        while self.read.readline() not in (b"\r\n", b""):
            pass
        # No route takes this, and the answer to that names the connection.
        self.stream.sendall(b"\x81\x81\x00\x00\x00\x00?")
        self.id = json.loads(self.receive())["connectionId"]

    def receive(self):
        """The next text message."""
        text = b""
        while True:
            first, second = self.exactly(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", self.exactly(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self.exactly(8))
            payload = self.exactly(length)
            if first & 0x0F == 8:
                raise Exception("the relay closed the connection: %r" % payload)
            if first & 0x0F in (0, 1):
                text += payload
                if first & 0x80:
                    return text.decode()

    def exactly(self, length):
        payload = self.read.read(length)
        if len(payload) < length:
            raise Exception("the relay ended")
        return payload

    def close(self):
        self.read.close()
        self.stream.close()


def post(connection, body):
    """The status of a post through `@connections`, signed with the function's credentials."""
    path = "%s/@connections/%s" % (RELAY.path, quote(connection, safe=""))
    made = HTTPSConnection(RELAY.netloc, context=TLS) if TLS else HTTPConnection(RELAY.netloc)
    try:
        made.request("POST", path, body, signed(path, body))
        response = made.getresponse()
        response.read()
        return response.status
    finally:
        made.close()


def signed(path, body):
    """Headers with AWS Signature Version 4."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": RELAY.netloc, "x-amz-date": now}
    if "AWS_SESSION_TOKEN" in os.environ:
        headers["x-amz-security-token"] = os.environ["AWS_SESSION_TOKEN"]
    scope = "/".join([now[:8], os.environ["AWS_REGION"], "execute-api", "aws4_request"])
    names = ";".join(sorted(headers))
    lines = "".join("%s:%s\n" % (name, headers[name]) for name in sorted(headers))
    hashed = hashlib.sha256(body).hexdigest()
    request = "\n".join(["POST", quote(path), "", lines, names, hashed])
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    credential = "%s/%s" % (os.environ["AWS_ACCESS_KEY_ID"], scope)
    headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s, SignedHeaders=%s, Signature=%s" % (credential, names, signature)
    return headers
