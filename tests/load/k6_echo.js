// k6 against an echo server: URL, CONNECTIONS, RATE and SECONDS of the environment come in, `SUMMARY` has the latencies.
//
// Each connection sends at even times and waits for no answer. k6 has no latency of WebSocket answers and no clock
// finer than Date.now(): a Trend counts from when a text was sent, in whole milliseconds.
import { Counter, Trend } from "k6/metrics";
import { WebSocket } from "k6/websockets";

const [connections, rate, seconds] = [__ENV.CONNECTIONS, __ENV.RATE, __ENV.SECONDS].map(Number);
const reply = new Trend("reply", true), answered = new Counter("answered"), sent = new Counter("sent");

export const options = {
  scenarios: {
    echo: { executor: "per-vu-iterations", vus: connections, iterations: 1, maxDuration: `${seconds + 30}s` },
  },
  summaryTrendStats: ["count", "min", "med", "p(90)", "p(95)", "p(99)", "p(99.9)", "max"],
};

export default function () {
  const socket = new WebSocket(__ENV.URL), under = {};
  const each = rate / connections, all = each * seconds;
  let made = 0, heard = 0;
  socket.addEventListener("open", () => {
    const timer = setInterval(() => {
      const text = `k6:${__VU}.${made++};`;
      under[text] = Date.now();
      socket.send(text);
      sent.add(1);
      if (made === all) {
        clearInterval(timer);
        setTimeout(() => socket.close(), 5000);
      }
    }, 1000 / each);
  });
  socket.addEventListener("message", ({ data }) => {
    reply.add(Date.now() - under[data]);
    answered.add(1);
    delete under[data];
    if (++heard === all) socket.close();
  });
}

export function handleSummary({ metrics }) {
  return { [__ENV.SUMMARY]: JSON.stringify({ reply: metrics.reply.values, sent: metrics.sent.values.count, answered: metrics.answered.values.count }) };
}
