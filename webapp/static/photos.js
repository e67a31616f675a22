// The first page: photos and videos in, names on their faces.

import { camera } from "./camera.js";
import { Card } from "./photo-card.js";
import { $, count, say } from "./dom.js";
import { enrol, enrolPicture } from "./enrol.js";
import { isVideo, portrait } from "./video.js";
import { earlier, forget, remember } from "./visit.js";
import { csv, json, save } from "./results.js";
import { Sender } from "./upload.js";
import { choice } from "./shrink.js";
import { Problem } from "./api.js";

const drop = $("drop");
const mostBytes = { photo: Number(drop.dataset.maxBytes), video: Number(drop.dataset.maxVideoBytes) };
const smaller = choice($("smaller"));
let cards = [];

const sender = new Sender({
  progress: (card, share) => card.progress(share),
  looking: (card) => card.looking(),
  watching: (card, told) => card.watching(told),
  retrying: (card, problem) => card.retrying(problem),
  answered: (card, answer) => done(card, () => card.answered(answer)),
  refused: (card, problem) => done(card, () => card.refused(problem)),
}, smaller);

function done(card, show) {
  if (card.dropped) return;
  show();
  remember(card.answer);
  say(`${card.file.name}: ${card.verdict.textContent}.`);
  tally();
}

function take(files) {
  const fresh = [...files].map(added);
  if (!fresh.length) return;
  say(`${count(fresh.length, fresh.some((card) => card.isVideo) ? "file" : "photo")} taken.`);
  send(fresh);
}

function added(file) {
  const card = new Card(file, { onFace: introduce, onAgain: (one) => again([one]), onPerson: introducePerson });
  cards.push(card);
  $("visit").hidden = false;
  $("cards").prepend(card.node);
  return card;
}

// What was answered before the page was loaded again.
async function restore() {
  for await (const { file, answer } of earlier()) {
    added(file).answered(answer);
    tally();
  }
}

// What cannot succeed is not sent.
function send(chosen) {
  const fault = ({ file: { size }, isVideo }) =>
    size === 0 ? "empty" : size <= mostBytes[isVideo ? "video" : "photo"] || (smaller() && !isVideo) ? null : "too-large";
  for (const card of chosen) {
    const code = fault(card);
    if (code) done(card, () => card.refused(new Problem({ code })));
  }
  sender.add(chosen.filter((card) => !fault(card)));
  tally();
}

function again(chosen) {
  chosen.forEach((card) => card.waiting());
  send(chosen);
}

function introduce(card, index) {
  enrol(card, index, (_, __, name) => {
    card.rename(index, name);
    card.frame.querySelectorAll(".face")[index]?.focus();
    tally(true);
  });
}

async function introducePerson(card, person) {
  const picture = new File([await portrait(person.crop)], "person.jpg", { type: "image/jpeg" });
  enrolPicture(picture, card.file.name, (name) => {
    Object.assign(person, { name, known: true });
    card.node.querySelector(".seen")?.remove();
    card.tellVideo();
    tally(true);
  });
}

const unknown = () => cards.filter((card) => card.hasUnknown);
let introduced = false;

function tally(newcomer = false) {
  introduced ||= newcomer;
  const states = Object.groupBy
    ? Object.groupBy(cards, (card) => card.state)
    : cards.reduce((all, card) => ({ ...all, [card.state]: [...(all[card.state] ?? []), card] }), {});
  const n = (...names) => names.reduce((sum, name) => sum + (states[name]?.length ?? 0), 0);
  const parts = [
    count(cards.length, cards.some((card) => card.isVideo) ? "file" : "photo"),
    [n("waiting", "sending", "looking"), "on the way"], [n("named"), "named"], [n("unknown"), "unknown"],
    [n("no-face"), "without a face"], [n("refused"), "refused"],
  ];
  $("tally").textContent = parts
    .filter((part) => typeof part === "string" || part[0])
    .map((part) => (typeof part === "string" ? part : part.join(" ")))
    .join(" · ");
  const left = unknown();
  $("again").hidden = !introduced || !left.length;
  $("again").textContent = `Look again at ${count(left.length, "photo")}`;
}

// Some systems know no media type for what phones make.
const isPhoto = (file) => file.type.startsWith("image/") || /\.(hei[cf]|avif)$/i.test(file.name);

// Photos, also those in folders that are dropped.
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return take(transfer.files);
  const files = await Promise.all(entries.map(within));
  return take(files.flat().filter((file) => isPhoto(file) || isVideo(file)));
}

async function within(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  for (let some; (some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))).length; )
    found.push(...some);
  return (await Promise.all(found.map(within))).flat();
}

$("files").multiple = true;
$("files").onchange = ({ target }) => {
  take(target.files);
  target.value = "";
};
drop.onsubmit = (event) => event.preventDefault();
addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
for (const over of ["dragleave", "drop"])
  addEventListener(over, (event) => (over === "drop" || !event.relatedTarget) && drop.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer) dropped(event.dataTransfer);
});
addEventListener("paste", (event) => take(event.clipboardData.files));
camera(take);

$("csv").onclick = () => save("facerec.csv", "text/csv", csv(cards));
$("json").onclick = () => save("facerec.json", "application/json", json(cards));
$("again").onclick = () => {
  introduced = false;
  again(unknown());
};
$("clear").onclick = () => {
  forget();
  cards.forEach((card) => card.drop());
  cards = [];
  $("visit").hidden = true;
  $("files").focus();
};
restore();
