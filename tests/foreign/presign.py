"""In: nothing. Out: URLs of S3 objects that botocore presigned, one JSON line for each."""
import json
import urllib.parse

import boto3
from botocore.config import Config

for token in (None, "the/session+token=="):
    client = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:9000",
        region_name="eu-west-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        aws_session_token=token,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    for key in ("plain", "results/acme/01JD", "results/auth0|123=+:_/a", "données 2026.csv", "a/..b/(c)'d&e@f,!"):
        arguments = {"Bucket": "bucket", "Key": key}
        url = client.generate_presigned_url("get_object", Params=arguments, ExpiresIn=900)
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
        made = {"url": url, "key": key, "date": query["X-Amz-Date"][0], "token": token}
        print(json.dumps(made))
