"""What the three functions of the template do: messages, who may connect, and what becomes of notes."""
import json
import os

import boto3

dynamodb = boto3.client("dynamodb")


def connections(where):
    """The @connections API of a stage, by the names that its events carry."""
    url = f"https://{where['domainName']}/{where['stage']}"
    return boto3.client("apigatewaymanagementapi", endpoint_url=url)


def messages(event, _context):
    context = event["requestContext"]
    if context["eventType"] != "MESSAGE":
        return {"statusCode": 200}
    if context["routeKey"] == "echo":
        return {"statusCode": 200, "body": event["body"]}
    message = json.loads(event["body"])
    client, me = connections(context), context["connectionId"]
    match message.get("action"):
        case "post":
            client.post_to_connection(ConnectionId=me, Data=message["text"])
        case "gone":
            try:
                client.post_to_connection(ConnectionId="AAAAAAAAAAAAAAA=", Data="nobody")
            except client.exceptions.GoneException:
                client.post_to_connection(ConnectionId=me, Data="GoneException")
        case "note":
            where = {"domainName": context["domainName"], "stage": context["stage"]}
            item = {"id": message["id"], "text": message["text"], "connection": me, **where}
            item = {name: {"S": value} for name, value in item.items()}
            dynamodb.put_item(TableName=os.environ["NOTES"], Item=item)
        case other:
            client.post_to_connection(ConnectionId=me, Data=f"no action {other}")
    return {"statusCode": 200}


def authorize(event, _context):
    if event["queryStringParameters"]["token"] != "let-me-in":
        raise Exception("Unauthorized")
    allow = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": event["methodArn"]}
    return {
        "principalId": "ann",
        "policyDocument": {"Version": "2012-10-17", "Statement": [allow]},
        "context": {"user": "ann"},
    }


def kept(event, _context):
    failures = []
    for record in event["Records"]:
        note = {name: value["S"] for name, value in record["dynamodb"]["NewImage"].items()}
        client = connections(note)
        try:
            client.post_to_connection(ConnectionId=note["connection"], Data=f"kept {note['text']}")
        except client.exceptions.GoneException:
            pass
        except Exception:
            failures.append({"itemIdentifier": record["dynamodb"]["SequenceNumber"]})
    return {"batchItemFailures": failures}
