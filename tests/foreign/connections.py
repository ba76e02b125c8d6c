"""boto3 and the AWS CLI post to, describe and close a connection: URL, certificate, connection id."""
import os
import subprocess
import sys
from pathlib import Path

import boto3

plain_url, certificate, me = sys.argv[1:]
os.environ |= {
    "AWS_ACCESS_KEY_ID": "anybody",
    "AWS_SECRET_ACCESS_KEY": "whatever",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CA_BUNDLE": certificate,
}
tls_url = plain_url.replace("http://", "https://")

for url in plain_url, tls_url:
    client = boto3.client("apigatewaymanagementapi", endpoint_url=url, region_name="us-east-1")
    client.post_to_connection(ConnectionId=me, Data=b"boto3")
    got = client.get_connection(ConnectionId=me)
    print(f"identity {got['Identity']['SourceIp']}")
    try:
        client.post_to_connection(ConnectionId="AAAAAAAAAAAAAAA=", Data=b"nobody")
    except client.exceptions.GoneException:
        print("gone")
    try:
        client.post_to_connection(ConnectionId=me, Data=b"x" * (128 * 1024 + 1))
    except client.exceptions.PayloadTooLargeException:
        print("too large")


def aws(verb, *arguments):
    program = [Path(sys.executable).parent / "aws", "apigatewaymanagementapi", verb]
    where = ["--endpoint-url", tls_url, "--connection-id", me]
    done = subprocess.run([*program, *where, *arguments], capture_output=True, text=True, timeout=60)
    print(f"{verb} {done.returncode} {done.stderr.strip()}".strip())


aws("post-to-connection", "--data", "cli")
aws("get-connection")
aws("delete-connection")
