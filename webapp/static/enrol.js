// "Who is this?": a face of a photo is enrolled under a name.

import { askJson, suggestNames } from "./api.js";
import { $, count, say } from "./dom.js";
import { FORCEABLE, inOneLine, reason } from "./messages.js";

const MARGINS = [0.6, 0.25]; // of the face's size, cut around it where there are others

let open = null; // { file, name, box, isAlone, onDone }

// A face of a photo.
export function enrol(card, index, onDone) {
  const { faces } = card.answer;
  const { box, name } = faces[index];
  const done = (called) => onDone(card, index, called);
  return show({ file: card.file, name: card.file.name, box, isAlone: faces.length === 1, onDone: done }, name);
}

// A person of a video, by their best picture.
export const enrolPicture = (file, name, onDone) => show({ file, name, box: null, isAlone: true, onDone }, "unknown");

async function show(chosen, name) {
  open = chosen;
  const known = name !== "unknown";
  $("enrol-title").textContent = known ? "Who is this really?" : "Who is this?";
  $("enrol-name").value = known ? name : "";
  trouble("");
  await draw(chosen.file, chosen.box);
  $("enrol").showModal();
  $("enrol-name").select();
  suggestNames("enrol-known");
}

async function draw(file, box) {
  const canvas = $("enrol-face");
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  const picture = await createImageBitmap(file);
  const [left, top, right, bottom] = box ?? [0, 0, picture.width, picture.height];
  const size = (box ? 1.5 : 1) * Math.max(right - left, bottom - top);
  const [x, y] = [(left + right - size) / 2, (top + bottom - size) / 2];
  context.drawImage(picture, x, y, size, size, 0, 0, canvas.width, canvas.height);
  picture.close();
}

function trouble(text, forceable = false) {
  $("enrol-trouble").textContent = text;
  $("enrol-trouble").hidden = !text;
  $("enrol-force").hidden = !forceable;
}

async function remember(event) {
  event.preventDefault();
  const { onDone } = open;
  const name = $("enrol-name").value.trim();
  const force = event.submitter?.id === "enrol-force";
  busy(true);
  try {
    const done = await send(open, name, force);
    $("enrol").close();
    const more = done.photos === 1 ? " Add a second photo, in other light: people with two are recognized far more often." : "";
    say(`${done.name} is known now, by ${count(done.photos, "photo")}.${more}`);
    onDone(done.name);
  } catch (problem) {
    const refusal = problem.refused?.[0];
    trouble(refusal ? reason(refusal) : inOneLine(problem), FORCEABLE.has(refusal?.reason));
  } finally {
    busy(false);
  }
}

async function send({ file, name: fileName, box, isAlone }, name, force) {
  const photos = isAlone ? [() => file] : MARGINS.map((margin) => () => cut(file, box, margin));
  for (const [tried, photo] of photos.entries()) {
    const body = new FormData();
    body.append("name", name);
    body.append("inputFile", await photo(), fileName);
    try {
      return await askJson("POST", force ? "people?force=1" : "people", { body });
    } catch (problem) {
      const crowded = problem.refused?.[0]?.reason === "several-faces";
      if (!crowded || tried === photos.length - 1) throw problem;
    }
  }
}

async function cut(file, [left, top, right, bottom], margin) {
  const picture = await createImageBitmap(file);
  const rim = margin * Math.max(right - left, bottom - top);
  const [x, y] = [Math.max(0, left - rim), Math.max(0, top - rim)];
  const width = Math.min(picture.width, right + rim) - x;
  const height = Math.min(picture.height, bottom + rim) - y;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: Math.round(width), height: Math.round(height) });
  canvas.getContext("2d").drawImage(picture, x, y, width, height, 0, 0, canvas.width, canvas.height);
  picture.close();
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
}

function busy(is) {
  for (const id of ["enrol-ok", "enrol-force"]) $(id).disabled = is;
  $("enrol-ok").textContent = is ? "One moment …" : "Add person";
}

$("enrol").querySelector("form").onsubmit = remember;
$("enrol-cancel").onclick = () => $("enrol").close();
