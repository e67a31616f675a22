// Past photos: searched, shown as they come into view, their unknown faces named.

import { ask, askJson, suggestNames } from "./api.js";
import { crop, whenSeen } from "./crop.js";
import { $, count, element } from "./dom.js";
import { inOneLine } from "./messages.js";
import * as who from "./who.js";

const PAGE = 24;
const MAYBE = 0.5; // confidence from which on a name is suggested

let cursor = "";
let known = [];
let shown = 0;
let asked = 0;

const FIELDS = ["file", "person", "day"];

// What is searched for stands in the address: a reload and a link show the same.
function fromAddress() {
  const wanted = new URLSearchParams(location.search);
  for (const field of FIELDS) $(`search-${field}`).value = wanted.get(field) ?? "";
  $("search-unknown").checked = wanted.get("unknown") === "1";
}

function toAddress() {
  const wanted = new URLSearchParams();
  for (const field of FIELDS) if ($(`search-${field}`).value.trim()) wanted.set(field, $(`search-${field}`).value.trim());
  if ($("search-unknown").checked) wanted.set("unknown", "1");
  history.replaceState(null, "", `${location.pathname}${wanted.size ? `?${wanted}` : ""}`);
}

function query() {
  const wanted = new URLSearchParams({ limit: PAGE });
  const file = $("search-file").value.trim();
  const person = $("search-person").value.trim();
  const day = $("search-day").value;
  if (file) wanted.set("file", file);
  if (person) wanted.set("person", known.find(({ name }) => name === person)?.id ?? person);
  if (day) {
    const begin = new Date(`${day}T00:00`); // the visitor's own day
    const end = new Date(begin);
    end.setDate(end.getDate() + 1);
    wanted.set("since", begin.toISOString());
    wanted.set("until", end.toISOString());
  }
  if ($("search-unknown").checked) wanted.set("unknown", "1");
  if (cursor) wanted.set("cursor", cursor);
  return wanted;
}

// A page may hold few, when most of what was looked at is not what is searched for: then the next.
async function more() {
  const mine = ++asked;
  $("older").disabled = true;
  try {
    for (let fresh = 0; fresh < PAGE; ) {
      const page = await askJson("GET", `v1/history?${query()}`);
      if (mine !== asked) return;
      cursor = page.cursor ?? "";
      fresh += page.entries.length;
      shown += page.entries.length;
      $("cards").append(...page.entries.map(card));
      tell();
      if (!cursor) break;
    }
  } catch (problem) {
    if (mine === asked) $("found").textContent = problem.code === "no-such-person" ? "Nobody has this name." : inOneLine(problem);
  } finally {
    if (mine === asked) {
      $("older").disabled = false;
      $("older").hidden = !cursor;
    }
  }
}

function tell() {
  $("found").textContent = shown ? `${count(shown, "photo")}${cursor ? " so far" : ""}` : cursor ? "Searching …" : "Nothing found.";
}

function again() {
  cursor = "";
  shown = 0;
  $("cards").replaceChildren();
  return more();
}

function verdict({ outcome, people, unknown }) {
  const names = people.map((person) => person.name).join(", ");
  const others = unknown ? count(unknown, "unknown face") : "";
  if (names || others) return [names, others].filter(Boolean).join(" and ");
  return { "no-face": "No face found", rejected: "Not a picture that can be read", cancelled: "Cancelled" }[outcome] ?? "No answer";
}

function card(entry) {
  const state = entry.people.length ? "named" : entry.unknown ? "unknown" : "no-face";
  const frame = element("div", { class: "frame" }, element("p", { class: "blank" }, entry.video ? "Video" : "…"));
  const when = element("time", { dateTime: new Date(1000 * entry.at).toISOString() }, new Date(1000 * entry.at).toLocaleString());
  const questions = element("div", { class: "row" });
  const made = element(
    "li", { class: "card", "data-state": state }, frame,
    element("div", { class: "caption" }, element("h3", { class: "file", title: entry.file }, entry.file), element("p", { class: "verdict" }, verdict(entry)), element("p", { class: "hint" }, when), questions),
  );
  return entry.video ? made : whenSeen(made, () => fill(entry, made, frame, questions));
}

async function fill(entry, made, frame, questions) {
  try {
    const photo = await ask("GET", `v1/history/${entry.task_id}/photo`, { accept: "image/*" });
    const url = URL.createObjectURL(await photo.blob());
    const image = element("img", { src: url, alt: `The photo ${entry.file}`, onload: () => URL.revokeObjectURL(url) });
    await image.decode();
    frame.replaceChildren(image);
  } catch {
    frame.replaceChildren(element("p", { class: "blank" }, "No preview"));
  }
  if (!entry.faces) return;
  try {
    const answer = await askJson("GET", `results/${entry.task_id}`);
    frame.style.setProperty("--shape", `${answer.width} / ${answer.height}`);
    answer.faces.forEach((face, number) => frame.append(box(face, number, answer, made, entry)));
    questions.replaceChildren(...answer.faces.map((face, number) => question(face, number, made, entry)).filter(Boolean));
  } catch {
    // The answer has just been removed: its photo is shown all the same.
  }
}

const address = (entry, number) => `v1/history/${entry.task_id}/faces/${number}`;

function box(face, number, { width, height }, made, entry) {
  const [left, top, right, bottom] = face.box;
  const isKnown = face.name !== "unknown";
  const label = isKnown ? `${face.name}. Not right?` : "Unknown face. Who is this?";
  const shares = [left / width, top / height, (right - left) / width, (bottom - top) / height];
  const onclick = () => who.ask(address(entry, number), [crop(`v1/history/${entry.task_id}/photo`, shares, "The face", "?")], () => renew(made, entry));
  const button = element(
    "button", { type: "button", class: `face ${isKnown ? "known" : "unknown"}`, title: label, "aria-label": label, onclick },
    element("span", { class: "tag" }, isKnown ? face.name : "Who is this?"),
  );
  ["left", "top", "width", "height"].forEach((side, nth) => button.style.setProperty(side, `${100 * shares[nth]}%`));
  if (bottom / height > 0.88) button.classList.add("low");
  return button;
}

function question(face, number, made, entry) {
  const maybe = face.candidates?.[0];
  if (face.name !== "unknown" || !maybe?.person_id || maybe.confidence < MAYBE) return null;
  const onclick = async ({ target }) => {
    target.disabled = true;
    try {
      await who.name(address(entry, number), { person: maybe.person_id });
      await renew(made, entry);
    } catch (problem) {
      target.replaceWith(element("p", { class: "trouble", role: "alert" }, who.why(problem)));
    }
  };
  return element("button", { type: "button", class: "main", onclick }, `Is this ${maybe.name}? Yes`);
}

// The card of a photo after one of its faces was named.
async function renew(made, entry) {
  const answer = await askJson("GET", `results/${entry.task_id}`);
  const people = answer.faces.filter((face) => face.person_id).map((face) => ({ id: face.person_id, name: face.name }));
  const unique = people.filter((one, nth) => people.findIndex((other) => other.id === one.id) === nth);
  const fresh = card({ ...entry, people: unique, unknown: answer.faces.length - people.length });
  made.replaceWith(fresh);
  fresh.tabIndex = -1;
  fresh.focus();
}

$("search").onsubmit = (event) => {
  event.preventDefault();
  toAddress();
  again();
};
$("older").onclick = more;
fromAddress();
known = await suggestNames("search-known");
again();
