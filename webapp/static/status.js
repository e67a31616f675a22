// The status page: figures, four charts and the controller's decisions, from one picture after another.

import { Chart } from "./chart.js";
import { $, count, element, say } from "./dom.js";
import { follow } from "./stream.js";

const STATES = {
  live: "live", slow: "live, every few seconds", broken: "connection lost, trying again …",
  key: "an API key is needed", waiting: "no news for a while …",
};
const NAMES = {
  pending: "asked for", booting: "booting", ready: "working", stopping: "draining and stopping",
  visible: "waiting", in_flight: "being worked on", answered: "answers in 5 s", p50: "half of them within", p95: "95 % within",
};

const charts = [
  {
    title: "Machines", names: ["stopping", "ready", "booting", "pending"], kind: "areas", least: 2,
    label: ({ machines: m }) => `Machines now: ${m.pending} asked for, ${m.booting} booting, ${m.ready} working, ${m.stopping} stopping.`,
  },
  {
    title: "Queue", names: ["in_flight", "visible"], kind: "areas", least: 5,
    label: ({ queue: q }) => `Photos in the queue now: ${known(q.visible)} waiting, ${known(q.in_flight)} being worked on.`,
  },
  {
    title: "Throughput", names: ["answered"], kind: "areas", least: 5,
    label: ({ answers: a }) => `Answers in the last minute: ${a.per_minute}, in 15 minutes ${a.count}.`,
  },
  {
    title: "Latency", names: ["p50", "p95"], kind: "lines", least: 1, unit: " s",
    label: ({ answers: a }) => `Latency in 15 minutes: half within ${seconds(a.p50)}, 95 % within ${seconds(a.p95)}.`,
  },
].map((one) => {
  const chart = new Chart(one.names, one);
  const keys = one.names.map((name) => element("li", { class: name }, NAMES[name]));
  const panel = element(
    "section", { class: "panel chart", "aria-label": one.title },
    element("h2", {}, one.title), element("ul", { class: "legend" }, ...keys), chart.svg,
  );
  $("charts").append(panel);
  return { ...one, chart };
});

function seconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 1 ? `${Math.round(1000 * value)} ms` : `${value.toFixed(1)} s`;
}

const known = (value) => (value === null || value === undefined ? "?" : String(value));
const money = ({ dollars, hours }) => (dollars === null ? `${hours.toFixed(2)} h` : `$${dollars.toFixed(dollars < 1 ? 3 : 2)}`);

function figures({ queue, machines: m, answers: a, cost, outstanding }) {
  const up = m.pending + m.booting + m.ready;
  return [
    ["Waiting", known(queue.visible), "in the queue"],
    ["Being worked on", known(queue.in_flight), `${outstanding} requests in flight here`],
    ["Machines", m.cap ? `${up} of ${m.cap}` : up, `${m.ready} working · ${m.booting + m.pending} on the way · ${m.stopping} stopping`],
    ["Throughput", `${a.per_minute}/min`, `${count(a.count, "answer")} in 15 min`],
    ["Median latency", seconds(a.p50), "from accepted to answered"],
    ["95th percentile", seconds(a.p95), a.slo ? `99 %: ${seconds(a.p99)}; goal ${a.slo} s` : `99 %: ${seconds(a.p99)}`],
    [cost.dollars === null ? "Machine time today" : "Cost today", money(cost), `${cost.hours.toFixed(2)} h of ${cost.type}${cost.complete ? "" : ", still counting"}`],
    ["Set aside", known(queue.dead), "in the dead-letter queue"],
  ];
}

let latest = null;

function draw(picture) {
  latest = picture;
  const minutes = Number($("span").elements.minutes.value);
  for (const { chart, label } of charts) chart.draw(picture.series, minutes, label(picture));
}

$("span").onchange = () => latest && draw(latest);

const cells = new Map();

// Values change in their places: nobody who reads or selects one loses it every two seconds.
function show(picture) {
  if (picture.queue) {
    for (const [name, value, note] of figures(picture)) {
      if (!cells.has(name)) {
        const [big, small] = [new Text(), element("small")];
        $("figures").append(element("div", {}, element("dt", {}, name), element("dd", {}, big, small)));
        cells.set(name, [big, small]);
      }
      const [big, small] = cells.get(name);
      if (big.data !== String(value)) big.data = value;
      if (small.textContent !== note) small.textContent = note;
    }
    draw(picture);
    controller(picture);
  }
  const faults = picture.faults.map((fault) => element("li", {}, fault));
  $("faults").replaceChildren(...faults);
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
let told = "";

function controller({ at, controller: c }) {
  const ago = c.seen ? Math.max(0, Math.round(at - c.seen)) : null;
  $("controller").textContent = c.silent
    ? "The controller does not report: no machine is started or stopped."
    : `The controller reported ${count(ago, "second")} ago.${c.decisions.length ? "" : " It has changed nothing today."}`;
  const key = JSON.stringify(c.decisions);
  if (key === told) return;
  if (told && c.decisions.length) say(c.decisions[0].words);
  told = key;
  const lines = c.decisions.map((one) => {
    const when = new Date(1000 * one.at);
    return element("li", {}, element("time", { dateTime: when.toISOString() }, clock.format(when)), one.words);
  });
  $("decisions").replaceChildren(...lines);
}

let state = "";
follow(show, (now) => {
  if (now === state) return;
  state = now;
  $("live").dataset.state = now === "slow" ? "live" : now;
  $("live").textContent = STATES[now];
});
