// npm `ws` as a client that measures: a server, connections, a rate and seconds come in, latencies go out as JSON.
//
// node ws_measure.mjs URL CONNECTIONS RATE SECONDS: texts go out at even times, by turns, and never wait for answers;
// `reply` counts from when one was to be sent, `uncorrected` from when it was. Microseconds; percentiles are nearest ranks.
import { once } from "node:events";
import WebSocket from "ws";

const url = process.argv[2];
const [connections, rate, seconds] = process.argv.slice(3).map(Number);
const now = () => Number(process.hrtime.bigint()) / 1000;
const reply = [], uncorrected = [], under = new Map();
const sockets = [];
for (let number = 0; number < connections; number++) {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  socket.on("message", (data) => {
    const heard = now(), { due, sent } = under.get(String(data));
    under.delete(String(data));
    reply.push(heard - due);
    uncorrected.push(heard - sent);
  });
  await once(socket, "open");
  sockets.push(socket);
}
const all = rate * seconds, began = now();
let made = 0;
while (made < all) {
  await new Promise((wake) => setTimeout(wake, 1));
  for (; made < all && began + ((made + 0.5) / rate) * 1e6 <= now(); made++) {
    const text = `node:${made};`;
    under.set(text, { due: began + ((made + 0.5) / rate) * 1e6, sent: now() });
    sockets[made % connections].send(text);
  }
}
const until = now() + 10e6;
while (under.size && now() < until) await new Promise((wake) => setTimeout(wake, 10));
const summary = (took) => {
  took.sort((a, b) => a - b);
  const at = (percent) => Math.round(took[Math.max(1, Math.ceil((percent / 100) * took.length)) - 1]);
  return { count: took.length, p50: at(50), p90: at(90), p99: at(99), max: at(100) };
};
console.log(JSON.stringify({ lost: under.size, reply: summary(reply), uncorrected: summary(uncorrected) }));
process.exit(0);
