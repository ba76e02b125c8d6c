// In: a handler's name. Out: its answers to Lambda's Runtime API, for CommonJS and ES modules.

import { existsSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const root = process.env.LAMBDA_TASK_ROOT;
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function call(method, where, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { "Content-Length": Buffer.byteLength(body) };
    const options = { host, port, method, agent, path: `/2018-06-01/runtime${where}` };
    options.headers = { "User-Agent": "lift-dev-node", ...length, ...headers };
    const request = http.request(options, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => resolve({ response, body: Buffer.concat(parts) }));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

// The frames of this file, and of Node above the function, say nothing about the function.
function stackOf(error) {
  const isOurs = (line) => line.includes(import.meta.url);
  const lines = (error.stack ?? "").split("\n").filter((line) => !isOurs(line));
  while (/^\s+at .*(node:internal\/|new Promise \(<anonymous>\))/.test(lines.at(-1))) lines.pop();
  return lines;
}

function report(error) {
  if (error instanceof Error) {
    return { errorType: error.name, errorMessage: error.message, trace: stackOf(error) };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

// As Lambda prints it: what a function adds to its error, such as `code`, is in the line.
function print(what, error) {
  const { errorType, errorMessage, trace } = report(error);
  const shown = { errorType, errorMessage, ...(error instanceof Error ? error : {}), stack: trace };
  let line;
  try {
    line = JSON.stringify(shown);
  } catch {
    line = JSON.stringify({ errorType, errorMessage, stack: trace });
  }
  console.error(`ERROR\t${what}\t${line}`);
}

function fail(where, error) {
  const body = report(error);
  print(where === "/init/error" ? "Uncaught Exception" : "Invoke Error", error);
  const headers = { "Lambda-Runtime-Function-Error-Type": body.errorType };
  return call("POST", where, JSON.stringify(body), headers);
}

function named(name, message) {
  return Object.assign(new Error(message), { name });
}

async function load(handler) {
  const base = path.basename(handler);
  const dot = base.indexOf(".");
  if (dot < 0) throw named("Runtime.MalformedHandlerName", "Bad handler");
  const file = path.join(root, path.dirname(handler), base.slice(0, dot));
  const found = [".js", ".mjs", ".cjs", ""].map((ending) => file + ending).find((name) => existsSync(name));
  if (!found) throw named("Runtime.ImportModuleError", `Error: Cannot find module '${path.basename(file)}'`);
  let loaded;
  try {
    loaded = await import(pathToFileURL(found).href);
  } catch (error) {
    if (error.code !== "ERR_UNSUPPORTED_DIR_IMPORT") {
      if (error instanceof SyntaxError) throw named("Runtime.UserCodeSyntaxError", error.toString());
      if (/^(ERR_)?MODULE_NOT_FOUND$/.test(error.code)) throw named("Runtime.ImportModuleError", error.toString());
      throw error;
    }
    loaded = createRequire(import.meta.url)(found);
  }
  const names = base.slice(dot + 1).split(".");
  const pick = (from) => names.reduce((value, name) => value?.[name], from);
  const chosen = pick(loaded) ?? pick(loaded.default);
  if (chosen === undefined) throw named("Runtime.HandlerNotFound", `${handler} is undefined or not exported`);
  if (typeof chosen !== "function") throw named("Runtime.HandlerNotFound", `${handler} is not a function`);
  return chosen;
}

function contextOf(headers, settle, state) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const env = process.env;
  const client = headers["lambda-runtime-client-context"];
  return {
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: client ? JSON.parse(client) : undefined,
    getRemainingTimeInMillis: () => deadline - Date.now(),
    get callbackWaitsForEmptyEventLoop() {
      return state.waits;
    },
    set callbackWaitsForEmptyEventLoop(value) {
      state.waits = value;
    },
    done: settle,
    succeed: (value) => settle(null, value),
    fail: (error) => settle(error ?? new Error("failed")),
  };
}

// A promise answers at once; a callback once nothing is left to do, unless the context says otherwise.
function run(handler, event, headers) {
  return new Promise((resolve, reject) => {
    // Neither a callback nor work that could call it is left: Lambda answers null.
    const state = { waits: true, end: () => resolve(null) };
    const onEmpty = () => finish(state.end);
    const finish = (end) => {
      process.off("beforeExit", onEmpty);
      end();
    };
    const settle = (error, value) => {
      state.end = error === undefined || error === null ? () => resolve(value) : () => reject(error);
      if (!state.waits) finish(state.end);
    };
    process.once("beforeExit", onEmpty);
    const settled = (end) => (value) => finish(() => end(value));
    let answer;
    try {
      answer = handler(event, contextOf(headers, settle, state), settle);
    } catch (error) {
      return settled(reject)(error);
    }
    if (typeof answer?.then === "function") answer.then(settled(resolve), settled(reject));
  });
}

let current;
for (const kind of ["uncaughtException", "unhandledRejection"]) {
  process.on(kind, async (error) => {
    const name = kind === "unhandledRejection" ? "Runtime.UnhandledPromiseRejection" : error?.name;
    const told = kind === "unhandledRejection" ? named(name, String(error)) : error;
    if (current) await fail(`/invocation/${current}/error`, told).catch(() => {});
    process.exit(kind === "unhandledRejection" ? 128 : 129);
  });
}

let handler;
try {
  handler = await load(process.argv[2]);
} catch (error) {
  await fail("/init/error", error);
  process.exit(1);
}

async function serve() {
  for (;;) {
    const { response, body } = await call("GET", "/invocation/next");
    if (response.statusCode !== 200) throw new Error(`next: ${response.statusCode}`);
    const headers = response.headers;
    current = headers["lambda-runtime-aws-request-id"];
    if (headers["lambda-runtime-trace-id"]) process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
    try {
      const answer = (await run(handler, JSON.parse(body), headers)) ?? null;
      const type = { "Content-Type": "application/json" };
      await call("POST", `/invocation/${current}/response`, JSON.stringify(answer) ?? "null", type);
    } catch (error) {
      await fail(`/invocation/${current}/error`, error);
    }
  }
}
serve().catch((error) => {
  console.error(error);
  process.exit(1);
});
