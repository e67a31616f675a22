// "Who is this?": a face of a photo is enrolled under a name.

import { askJson } from "./api.js";
import { $, count, say } from "./dom.js";
import { FORCEABLE, inOneLine, reason } from "./messages.js";

const MARGINS = [0.6, 0.25]; // of the face's size, cut around it where there are others

let open = null; // { card, index, onDone }

export async function enrol(card, index, onDone) {
  open = { card, index, onDone };
  const face = card.answer.faces[index];
  const known = face.name !== "unknown";
  $("enrol-title").textContent = known ? "Who is this really?" : "Who is this?";
  $("enrol-name").value = known ? face.name : "";
  trouble("");
  await draw(card.file, face.box);
  $("enrol").showModal();
  $("enrol-name").select();
  names();
}

async function draw(file, box) {
  const canvas = $("enrol-face");
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  const picture = await createImageBitmap(file);
  const size = 1.5 * Math.max(box[2] - box[0], box[3] - box[1]);
  const [x, y] = [(box[0] + box[2] - size) / 2, (box[1] + box[3] - size) / 2];
  context.drawImage(picture, x, y, size, size, 0, 0, canvas.width, canvas.height);
  picture.close();
}

// For choosing; the name can be typed all the same.
async function names() {
  try {
    const { people } = await askJson("GET", "people");
    $("enrol-known").replaceChildren(...people.map(({ name }) => new Option(name, name)));
  } catch {
    $("enrol-known").replaceChildren();
  }
}

function trouble(text, forceable = false) {
  $("enrol-trouble").textContent = text;
  $("enrol-trouble").hidden = !text;
  $("enrol-force").hidden = !forceable;
}

async function remember(event) {
  event.preventDefault();
  const { card, index, onDone } = open;
  const name = $("enrol-name").value.trim();
  const force = event.submitter?.id === "enrol-force";
  busy(true);
  try {
    const done = await send(card, index, name, force);
    $("enrol").close();
    const more = done.photos === 1 ? " Add a second photo, in other light: people with two are recognized far more often." : "";
    say(`${done.name} is known now, by ${count(done.photos, "photo")}.${more}`);
    onDone(card, index, done.name);
  } catch (problem) {
    const refusal = problem.refused?.[0];
    trouble(refusal ? reason(refusal) : inOneLine(problem), FORCEABLE.has(refusal?.reason));
  } finally {
    busy(false);
  }
}

async function send(card, index, name, force) {
  const { faces } = card.answer;
  const photos = faces.length > 1 ? MARGINS.map((margin) => () => cut(card.file, faces[index].box, margin)) : [() => card.file];
  for (const [tried, photo] of photos.entries()) {
    const body = new FormData();
    body.append("name", name);
    body.append("inputFile", await photo(), card.file.name);
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
