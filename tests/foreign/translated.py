"""A SAM template's path comes in; what CloudFormation gets of it goes out as JSON, by AWS's own translator."""

import json
import os
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies:
    def load(self):
        return {}


os.environ["AWS_DEFAULT_REGION"] = "eu-west-1"
with open(sys.argv[1]) as file:
    template = yaml_parse(file.read())
# `sam package` puts the file into a bucket and its place here.
template["Globals"]["Function"]["CodeUri"] = "s3://packages/streamer.zip"
json.dump(transform(template, {}, NoManagedPolicies()), sys.stdout)
