// Who is known: add, rename, remove, with hints where photos are few.

import { ask, askJson } from "./api.js";
import { $, count, element, say } from "./dom.js";
import { FORCEABLE, inOneLine, reason } from "./messages.js";

const SHOWN = 6; // photos of one person

const PAGE = 200; // people of one request

const address = (id) => `v1/people/${id}`;

async function load() {
  try {
    const people = await everybody();
    $("people").replaceChildren(...people.map(person));
    $("tally").textContent = people.length
      ? `${count(people.length, "person", "people")}, ${count(people.reduce((sum, one) => sum + one.faces, 0), "photo")}`
      : "Nobody yet: add somebody above, or choose an unknown face on a photo.";
  } catch (problem) {
    $("tally").textContent = inOneLine(problem);
  }
}

async function everybody() {
  const found = [];
  let after = "";
  do {
    const page = await askJson("GET", `v1/people?limit=${PAGE}${after && `&after=${encodeURIComponent(after)}`}`);
    found.push(...page.people);
    after = page.next ?? "";
  } while (after);
  return found;
}

function person({ id, name, faces: photos }) {
  const pictures = Array.from({ length: Math.min(photos, SHOWN) }, (_, number) => portrait(id, name, number));
  const act = (word, dialog, quiet) =>
    element("button", { type: "button", class: quiet, "aria-label": `${word} ${name}`, onclick: () => open(dialog, id, name) }, word);
  const more = element("button", { type: "button", "aria-label": `Add photos of ${name}`, onclick: () => prefill(name) }, "Add photos");
  return element(
    "li", { class: "card person" },
    element("h3", {}, name),
    element("div", { class: "row" }, ...pictures, photos > SHOWN ? `and ${photos - SHOWN} more` : null),
    element("p", { class: "hint" }, hint(photos)),
    element("div", { class: "row" }, more, act("Rename", "rename", ""), act("Remove", "remove", "danger")),
  );
}

function hint(photos) {
  if (photos === 1) return "One photo. Add a second one, in other light: people with two are recognized far more often.";
  return photos < 4 ? `${photos} photos: good.` : `${photos} photos: more will hardly help.`;
}

// Loaded when it comes into view; with the key, which an <img> could not send.
const soon = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    soon.unobserve(target);
    show(target);
  }
}, { rootMargin: "200px" });

function portrait(id, name, number) {
  const place = element(
    "div", { class: "initial", "data-person": id, "data-name": name, "data-number": number, "aria-hidden": "true" }, [...name][0],
  );
  soon.observe(place);
  return place;
}

async function show(place) {
  const { person: id, name, number } = place.dataset;
  try {
    const { faces } = await askJson("GET", address(id));
    const photo = await ask("GET", `${address(id)}/faces/${faces[number].id}/photo`, { accept: "image/*" });
    const url = URL.createObjectURL(await photo.blob());
    const alt = `${name}, photo ${Number(number) + 1}`;
    const image = element("img", { src: url, alt, onload: () => URL.revokeObjectURL(url) });
    await image.decode();
    place.replaceWith(image);
  } catch {
    // Imported people have no photos, and a TIFF cannot be shown: the initial stays.
  }
}

function prefill(name) {
  $("add-name").value = name;
  $("add-files").focus();
  $("add").scrollIntoView({ block: "nearest" });
}

async function add(event) {
  event.preventDefault();
  const force = event.submitter?.id === "add-force";
  const body = new FormData($("add"));
  const files = body.getAll("inputFile");
  trouble([]);
  busy(true);
  try {
    const done = await askJson("POST", force ? "people?force=1" : "people", { body });
    say(`${count(done.enrolled, "photo")} of ${done.name} added.`);
    trouble(done.refused, files);
    if (!done.refused.length) $("add").reset();
    await load();
  } catch (problem) {
    if (problem.refused) trouble(problem.refused, files);
    else $("add-trouble").textContent = inOneLine(problem);
  } finally {
    busy(false);
  }
}

function trouble(refused, files = []) {
  const lines = refused.map((one) => element("p", {}, `${files[one.index]?.name ?? "Photo"}: ${reason(one)}`));
  $("add-trouble").replaceChildren(...lines);
  $("add-force").hidden = !refused.some((one) => FORCEABLE.has(one.reason));
}

function busy(is) {
  $("add-ok").disabled = $("add-force").disabled = is;
  $("add-ok").textContent = is ? "One moment …" : "Add";
}

let chosen = { id: "", name: "" };

function open(id, person, name) {
  chosen = { id: person, name };
  $(`${id}-title`).textContent = id === "rename" ? `Rename ${name}` : `Remove ${name}?`;
  $(`${id}-trouble`).textContent = "";
  if (id === "rename") $("rename-name").value = name;
  $(id).showModal();
}

function dialog(id, action, said) {
  $(`${id}-cancel`).onclick = () => $(id).close();
  $(id).querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    const button = event.submitter ?? $(id).querySelector("button:not([type])");
    button.disabled = true;
    try {
      await action();
      $(id).close();
      say(said());
      await load();
    } catch (problem) {
      $(`${id}-trouble`).textContent = inOneLine(problem);
    } finally {
      button.disabled = false;
    }
  };
}

dialog("remove", () => ask("DELETE", address(chosen.id)), () => `${chosen.name} was removed.`);
dialog(
  "rename",
  () => {
    const body = new FormData();
    body.append("name", $("rename-name").value.trim());
    return askJson("PATCH", address(chosen.id), { body });
  },
  () => `${chosen.name} was renamed.`,
);
$("add").onsubmit = add;
load();
