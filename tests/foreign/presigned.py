"""In: presigned URLs of S3 objects, one a line. Out: for each the signature that botocore makes of the same, one a line."""
import datetime
import sys
import urllib.parse

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ADDED = {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"}

for line in sys.stdin:
    url = urllib.parse.urlsplit(line.strip())
    query = dict(urllib.parse.parse_qsl(url.query, strict_parsing=True))
    assert set(query) == ADDED, query
    key, _, region, service, _ = query["X-Amz-Credential"].split("/")
    then = datetime.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    botocore.auth.get_current_datetime = lambda *_, then=then: then
    request = AWSRequest("GET", urllib.parse.urlunsplit(url._replace(query="")))
    expires = int(query["X-Amz-Expires"])
    botocore.auth.S3SigV4QueryAuth(Credentials(key, "secret"), service, region, expires=expires).add_auth(request)
    signed = urllib.parse.parse_qs(urllib.parse.urlsplit(request.url).query)
    print(signed["X-Amz-Signature"][0])
