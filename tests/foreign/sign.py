"""In: nothing. Out: what botocore sends for @connections calls, one JSON line for each request."""
import http.server
import json
import sys
import threading

import boto3


class Show(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        request = {
            "method": self.command,
            "path": self.path,
            "headers": [[name, value] for name, value in self.headers.items()],
            "body": body.decode(),
        }
        print(json.dumps(request), flush=True)
        answer = b"{}"
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Show)
threading.Thread(target=server.serve_forever, daemon=True).start()
for token in (None, "the/session+token=="):
    client = boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=f"http://127.0.0.1:{server.server_address[1]}/dev",
        region_name="eu-west-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        aws_session_token=token,
    )
    for connection in ("L0SM9cOFvHcCIhw=", "abc+/d=", "plain"):
        client.post_to_connection(ConnectionId=connection, Data="grüße\n".encode())
        client.get_connection(ConnectionId=connection)
        client.delete_connection(ConnectionId=connection)
sys.exit(0)
