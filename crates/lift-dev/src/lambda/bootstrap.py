"""In: a handler's name. Out: its answers to Lambda's Runtime API; the official client's work where it is not installed."""

import importlib
import importlib.util
import json
import logging
import math
import os
import sys
import time
import traceback
import urllib.parse
from http.client import HTTPConnection

sys.stdout.reconfigure(line_buffering=True)
# On Lambda the code cannot be written to; here a changed file must not meet its old bytecode.
sys.dont_write_bytecode = True
HANDLER = sys.argv[1]
ROOT = os.environ["LAMBDA_TASK_ROOT"]
sys.path[0] = ROOT

if importlib.util.find_spec("awslambdaric") is not None:
    import runpy

    sys.argv = ["awslambdaric", HANDLER]
    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
    sys.exit(0)

HOST = os.environ["AWS_LAMBDA_RUNTIME_API"]
BASE = "/2018-06-01/runtime"
AGENT = "lift-dev-python"
IS_JSON = os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
DATE = "%Y-%m-%dT%H:%M:%S"
request_id = ""


class JsonFormatter(logging.Formatter):
    """A line of JSON, with what `extra` adds."""

    OWN = set(logging.makeLogRecord({}).__dict__) | {"aws_request_id"}

    def format(self, record):
        error_type, error, trace = record.exc_info or (None, None, None)
        is_map = isinstance(record.msg, dict) and not record.args
        line = {
            "timestamp": self.formatTime(record, DATE + "Z"),
            "level": record.levelname,
            "message": record.msg if is_map else record.getMessage(),
            "logger": record.name,
            "requestId": record.aws_request_id,
        }
        if error_type:
            line["stackTrace"] = traceback.format_tb(trace)
            line["errorType"], line["errorMessage"] = error_type.__name__, str(error)
            line["location"] = "%s:%s:%s" % (record.pathname, record.funcName, record.lineno)
        extra = record.__dict__.items()
        line.update((key, value) for key, value in extra if key not in self.OWN and key not in line)
        return json.dumps(line, ensure_ascii=False, default=str) + "\n"


class LogHandler(logging.Handler):
    """The root logger's, as Lambda has it: without one, what is below WARNING is lost."""

    def emit(self, record):
        record.aws_request_id = request_id
        sys.stdout.write(self.format(record))


def set_up_logging():
    logging.Formatter.converter = time.gmtime
    text = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
    handler = LogHandler()
    handler.setFormatter(JsonFormatter() if IS_JSON else logging.Formatter(text, DATE))
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    level = {"TRACE": "DEBUG"}.get(level, level)
    if isinstance(logging.getLevelName(level), int):
        logging.getLogger().setLevel(level)
    logging.getLogger().addHandler(handler)


class Encoder(json.JSONEncoder):
    """Numbers of `decimal` become JSON's with all their digits, as with the official client."""

    def __init__(self):
        super().__init__(ensure_ascii=False)
        self.mark = os.urandom(16).hex()
        self.decimals = []

    def default(self, value):
        import decimal

        if not isinstance(value, decimal.Decimal):
            return super().default(value)
        if value.is_nan():
            return math.nan
        self.decimals.append(str(value))
        return self.mark

    def encode(self, value):
        first, *rest = super().encode(value).split('"%s"' % self.mark)
        return first + "".join(number + part for number, part in zip(self.decimals, rest))


class Context:
    """What a handler's second argument has on Lambda."""

    def __init__(self, headers):
        self.aws_request_id = headers.get("Lambda-Runtime-Aws-Request-Id")
        self.invoked_function_arn = headers.get("Lambda-Runtime-Invoked-Function-Arn")
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = None
        client_context = headers.get("Lambda-Runtime-Client-Context")
        self.client_context = json.loads(client_context) if client_context else None
        self._deadline_ms = int(headers.get("Lambda-Runtime-Deadline-Ms"))

    def get_remaining_time_in_millis(self):
        return max(self._deadline_ms - int(time.time() * 1000), 0)

    def log(self, message):
        sys.stdout.write(str(message))


class Runtime:
    """One connection to the Runtime API, kept open."""

    def __init__(self):
        self.connection = HTTPConnection(HOST)

    def call(self, method, path, body=None, headers=None):
        headers = {"User-Agent": AGENT, **(headers or {})}
        self.connection.request(method, BASE + path, body, headers)
        response = self.connection.getresponse()
        return response, response.read()

    def fail(self, path, error_type, message, trace):
        report = {"errorMessage": message, "errorType": error_type, "stackTrace": trace}
        if IS_JSON:
            now = time.strftime(DATE + "Z", time.gmtime())
            line = {"timestamp": now, "level": "ERROR", **report, "requestId": request_id}
            sys.stderr.write(json.dumps(line, ensure_ascii=False) + "\n")
        else:
            sys.stderr.write("[ERROR] %s: %s\n" % (error_type, message))
            for line in trace:
                sys.stderr.write(line if line.endswith("\n") else line + "\n")
        sys.stderr.flush()
        body = json.dumps(report).encode()
        self.call("POST", path, body, {"Lambda-Runtime-Function-Error-Type": error_type})


def frames(error):
    """The stack below this file, as the official client reports it."""
    found = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in found if os.path.abspath(frame.filename) != os.path.abspath(__file__)]
    ours = [frame for frame in ours if "importlib" not in frame.filename]
    return traceback.format_list(ours)


def load():
    """The handler, or what its import reports as Lambda names it."""
    module, _, function = HANDLER.rpartition(".")
    if not module:
        raise Init("Runtime.MalformedHandlerName", "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % HANDLER, [])
    try:
        loaded = importlib.import_module(module.replace("/", "."))
    except ImportError as error:
        raise Init("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module, error), [])
    except SyntaxError as error:
        trace = ['  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)]
        raise Init("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module, error), trace)
    if not hasattr(loaded, function):
        raise Init("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (function, module), [])
    return getattr(loaded, function)


class Init(Exception):
    """An error before the first event."""


def main():
    global request_id
    set_up_logging()
    runtime = Runtime()
    try:
        handler = load()
    except Init as error:
        runtime.fail("/init/error", *error.args)
        sys.exit(1)
    except Exception as error:
        runtime.fail("/init/error", type(error).__name__, str(error), frames(error))
        sys.exit(1)
    while True:
        response, payload = runtime.call("GET", "/invocation/next")
        if response.status != 200:
            raise SystemExit("next: %s" % response.status)
        context = Context(response.headers)
        request_id = context.aws_request_id
        path = "/invocation/" + urllib.parse.quote(context.aws_request_id)
        trace_id = response.headers.get("Lambda-Runtime-Trace-Id")
        if trace_id:
            os.environ["_X_AMZN_TRACE_ID"] = trace_id
        try:
            event = json.loads(payload)
        except ValueError as error:
            runtime.fail(path + "/error", "Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error, [])
            continue
        try:
            answer = handler(event, context)
        except Exception as error:
            runtime.fail(path + "/error", type(error).__name__, str(error), frames(error))
            continue
        try:
            body = Encoder().encode(answer).encode()
        except (TypeError, ValueError, UnicodeError) as error:
            runtime.fail(path + "/error", "Runtime.MarshalError", "Unable to marshal response: %s" % error, [])
            continue
        sys.stdout.flush()
        runtime.call("POST", path + "/response", body, {"Content-Type": "application/json"})


main()
