"""boto3 calls @connections with signatures that are checked: URL, connection id, the credentials of functions as JSON."""
import datetime
import json
import sys
import urllib.error
import urllib.request

import boto3
import botocore.auth
from botocore.exceptions import ClientError

url, me, functions = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
operations = [
    ("post_to_connection", {"ConnectionId": me, "Data": b"signed"}),
    ("get_connection", {"ConnectionId": me}),
]


def call(who, operation, arguments, key, secret, token):
    client = boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
    )
    try:
        answer = getattr(client, operation)(**arguments)
        print(who, operation, answer["ResponseMetadata"]["HTTPStatusCode"])
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        print(who, operation, status, error.response["Error"]["Code"], error.response["Error"]["Message"])


def unsigned():
    request = urllib.request.Request(f"{url}/@connections/{me}", b"unsigned", method="POST")
    try:
        urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        message = json.loads(error.read())["message"]
        print("unsigned", error.code, error.headers["x-amzn-ErrorType"], message)


unsigned()
for name, credentials in functions.items():
    for operation, arguments in operations:
        call(name, operation, arguments, *credentials)
key, secret, token = functions["may"]
post = operations[0]
call("other-key", *post, "AKIDOFSOMEBODY", secret, token)
call("other-secret", *post, key, "not" + secret, token)
call("other-token", *post, key, secret, "of nobody")
now = botocore.auth.get_current_datetime
botocore.auth.get_current_datetime = lambda *_: now() - datetime.timedelta(minutes=10)
call("late", *post, key, secret, token)
botocore.auth.get_current_datetime = now
call("may", "delete_connection", {"ConnectionId": me}, key, secret, token)
