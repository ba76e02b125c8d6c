// npm `ws` as an echo server: how long answers wait comes in, what came and left when goes out.
//
// node ws_echo.mjs [MS LONG_MS EVERY]: an answer waits MS, each EVERYth of a connection LONG_MS. `listening PORT` is the first line;
// when stdin ends, a line for each text follows, `CAME LEFT TEXT`, both in nanoseconds of CLOCK_MONOTONIC.
import { WebSocketServer } from "ws";

const [ms = 0, longMs = 0, every = 0] = process.argv.slice(2).map(Number);
const log = [];
const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
server.on("listening", () => console.log(`listening ${server.address().port}`));
server.on("connection", (socket) => {
  let heard = 0;
  socket.on("message", (data) => {
    const entry = { came: process.hrtime.bigint(), left: 0n, text: String(data) };
    log.push(entry);
    const wait = every && ++heard % every === 0 ? longMs : ms;
    const answer = () => {
      entry.left = process.hrtime.bigint();
      socket.send(entry.text);
    };
    if (wait) setTimeout(answer, wait);
    else answer();
  });
});
process.stdin.resume();
process.stdin.on("end", () => {
  const lines = log.map(({ came, left, text }) => `${came} ${left} ${text}\n`);
  process.stdout.write(lines.join(""), () => process.exit(0));
});
