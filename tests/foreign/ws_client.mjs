// npm `ws` against Streamer: URL, token and a process_data payload come in, one `ok STEP` line per step goes out.
import assert from "node:assert/strict";
import { once } from "node:events";
import WebSocket from "ws";

const [url, token, payload] = process.argv.slice(2);
const ok = (step) => console.log(`ok ${step}`);
setTimeout(() => { console.error("not done within 50 s"); process.exit(1); }, 50_000).unref();

// The token goes where a browser can put it: beside streamer.v1 in the list of subprotocols.
async function connect() {
  const socket = new WebSocket(url, ["streamer.v1", `bearer.${token}`]);
  const queue = [], waiting = [];
  socket.on("message", (data, isBinary) => {
    assert.equal(isBinary, false);
    const message = JSON.parse(data);
    waiting.length ? waiting.shift()(message) : queue.push(message);
  });
  await once(socket, "open");
  assert.equal(socket.protocol, "streamer.v1");
  const next = () => queue.length ? Promise.resolve(queue.shift()) : new Promise((take) => waiting.push(take));
  const ask = async (message) => {
    socket.send(typeof message === "string" ? message : JSON.stringify(message));
    return next();
  };
  return { socket, next, ask };
}

async function refusedStatus(...args) {
  const socket = new WebSocket(...args);
  const [, response] = await once(socket, "unexpected-response");
  let body = "";
  for await (const chunk of response) body += chunk;
  return [response.statusCode, body];
}

async function closeCode(data) {
  const { socket } = await connect();
  socket.send(data);
  const [code] = await once(socket, "close");
  return code;
}

assert.deepEqual(await refusedStatus(url), [401, '{"message":"Unauthorized"}']);
ok("unauthorized");
let ada = await connect();
ok("connected");
const echo = { id: "1", action: "echo", payload: { text: "héllo 😀", list: [1, 2.5, null] } };
const answer = await ada.ask(echo);
assert.deepEqual([answer.type, answer.id, answer.data], ["response", "1", echo.payload]);
ok("echo");
assert.equal((await ada.ask({ id: "2", action: "ping" })).type, "pong");
ada.socket.ping("are you there");
assert.equal(String((await once(ada.socket, "pong"))[0]), "are you there");
ok("ping");
for (const [wrong, code] of [
  ["{", "INVALID_JSON"],
  ['{"action":7}', "VALIDATION_ERROR"],
  ['{"action":"nothing.like.it"}', "UNKNOWN_ACTION"],
  ['{"action":"process_data","payload":{"input":7}}', "VALIDATION_ERROR"],
  ['{"action":"echo","idempotency_key":""}', "VALIDATION_ERROR"],
]) {
  const refused = await ada.ask(wrong);
  assert.deepEqual([refused.type, refused.error.code], ["error", code], JSON.stringify(refused));
}
ok("wrong");
const acknowledgment = await ada.ask({ id: "3", action: "process_data", payload: JSON.parse(payload) });
assert.deepEqual([acknowledgment.type, acknowledgment.duplicate], ["acknowledgment", false], JSON.stringify(acknowledgment));
const { request_id } = acknowledgment;
ok("acknowledged");
const seen = await ada.next();
assert.deepEqual([seen.type, seen.request_id], ["progress", request_id], JSON.stringify(seen));
ada.socket.terminate();
ok("cut");
ada = await connect();
const resume = { id: "4", action: "request.resume", payload: { requests: [{ request_id, after_seq: seen.seq }] } };
const resumed = await ada.ask(resume);
assert.equal(resumed.data.requests[0].recovered, true, JSON.stringify(resumed));
let last = seen;
for (;;) {
  const message = await ada.next();
  assert.equal(message.request_id, request_id);
  if (message.seq <= last.seq) continue;
  if (message.type === "complete") {
    assert.equal(message.result.rows_in, 200_000);
    break;
  }
  assert.equal(message.type, "progress", JSON.stringify(message));
  assert.ok(message.percentage >= last.percentage, JSON.stringify([last, message]));
  last = message;
}
ok("resumed");
ada.socket.close(1000);
assert.equal(await closeCode(Buffer.from("{}")), 1003);
ok("binary");
assert.equal(await closeCode("x".repeat(33 * 1024)), 1009);
ok("large");
