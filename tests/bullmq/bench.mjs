// Durable no-op jobs per second, add → completed: CLIENTS loops that each wait for one job at a time.
// usage: node bench.mjs PORT CLIENTS SECONDS
import { Queue, QueueEvents, Worker } from "bullmq";

const [port, clients, seconds] = process.argv.slice(2).map(Number);
const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
const queue = new Queue("no-op", { connection });
const events = new QueueEvents("no-op", { connection });
const worker = new Worker("no-op", async (job) => job.data, { connection, concurrency: 256 });
await Promise.all([queue.waitUntilReady(), events.waitUntilReady(), worker.waitUntilReady()]);

const ends = Date.now() + seconds * 1000;
let done = 0;
const started = Date.now();
const client = async () => {
  while (Date.now() < ends) {
    const job = await queue.add("no-op", { input: "orders.csv" }, { removeOnComplete: true });
    await job.waitUntilFinished(events);
    done += 1;
  }
};
await Promise.all(Array.from({ length: clients }, client));
console.log(Math.round((done * 1000) / (Date.now() - started)));
process.exit(0);
