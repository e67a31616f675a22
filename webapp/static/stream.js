// The server's events, for as long as somebody looks at this page.
//
// fetch instead of EventSource, which can send no key and gives up at a 503. One page of a browser
// reads and tells the others: a browser has only six connections to a server.

import { Problem, askForKey, authorization } from "./api.js";

const SILENCE = 15_000; // ms after which a connection that says nothing is taken for dead
const POLL = 6000; // ms between two questions while the server has no stream to give
const MOST_WAIT = 15_000;

export function follow(onPicture, onState) {
  const channel = new BroadcastChannel("facerec-status");
  let heard = 0; // when another page last told us something
  channel.onmessage = ({ data }) => {
    heard = Date.now();
    onPicture(data);
    onState("live");
  };
  const tell = (picture) => {
    channel.postMessage(picture);
    onPicture(picture);
  };
  let stopped = null;
  const start = () => {
    if (document.hidden || stopped) return;
    stopped = new AbortController();
    const { signal } = stopped;
    const lead = () => connect(tell, onState, signal);
    // Locks need https or this machine; without them every page has a stream of its own.
    if (!navigator.locks) lead();
    else navigator.locks.request("facerec-status", { signal }, lead).catch(() => {});
  };
  const stop = () => {
    stopped?.abort();
    stopped = null;
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  addEventListener("pagehide", stop);
  addEventListener("pageshow", start);
  setInterval(() => stopped && Date.now() - Math.max(heard, lastEvent) > SILENCE && onState("waiting"), 5000);
  start();
}

let lastEvent = 0;

async function connect(onPicture, onState, signal) {
  for (let failures = 0; !signal.aborted; ) {
    try {
      await read((picture) => {
        failures = 0;
        lastEvent = Date.now();
        onState("live");
        onPicture(picture);
      }, signal);
    } catch (problem) {
      if (signal.aborted) return;
      if (problem.status === 401 || problem.status === 403) {
        onState("key");
        if (!(await askForKey())) return;
        continue;
      }
      failures += 1;
      if (problem.status === 503) await poll(onPicture, onState, signal);
      else onState("broken");
    }
    await pause(Math.min(500 * 2 ** failures, MOST_WAIT), signal);
  }
}

async function read(onPicture, signal) {
  const dead = new AbortController();
  const end = () => dead.abort();
  signal.addEventListener("abort", end);
  let timer = setTimeout(end, SILENCE);
  try {
    const response = await get("text/event-stream", dead.signal);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(end, SILENCE);
      const events = (text + value).split("\n\n");
      text = events.pop();
      for (const event of events) if (event.startsWith("data: ")) onPicture(JSON.parse(event.slice(6)));
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
    dead.abort();
  }
}

// All streams are taken: the picture is asked for now and then, and a stream again after a while.
async function poll(onPicture, onState, signal) {
  for (let i = 0; i < 10 && !signal.aborted; i += 1) {
    try {
      onPicture(await (await get("application/json", signal)).json());
      lastEvent = Date.now();
      onState("slow");
    } catch {
      onState("broken");
    }
    await pause(POLL, signal);
  }
}

async function get(accept, signal) {
  const response = await fetch("status/events", { headers: { Accept: accept, ...authorization() }, signal });
  if (!response.ok) throw new Problem({ code: "stream", status: response.status });
  return response;
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds * (0.8 + 0.4 * Math.random()));
    signal.addEventListener("abort", () => resolve(clearTimeout(timer)), { once: true });
    addEventListener("online", resolve, { once: true });
  });
}
