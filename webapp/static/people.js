// Who is known: add, rename, remove, with hints where photos are few.

import { Problem, ask, askJson, suggestNames } from "./api.js";
import { crop, whenSeen } from "./crop.js";
import { $, count, element, say } from "./dom.js";
import { FORCEABLE, inOneLine, reason } from "./messages.js";
import { groups } from "./unknown.js";

const SHOWN = 6; // photos of one person

const PAGE = 60; // people of one request

const address = (id) => `v1/people/${id}`;

let after = "";
let shown = 0;
let asked = 0;

// The people whose name holds what is looked for, a page at a time.
async function load() {
  after = "";
  shown = 0;
  await more(true);
}

async function more(fresh = false) {
  const mine = ++asked;
  const name = $("find-name").value.trim();
  try {
    const page = await askJson("GET", `v1/people?limit=${PAGE}&name=${encodeURIComponent(name)}&after=${encodeURIComponent(after)}`.replace(/&(name|after)=(?=&|$)/g, ""));
    if (mine !== asked) return;
    if (fresh) $("people").replaceChildren();
    $("people").append(...page.people.map(person));
    after = page.next ?? "";
    shown += page.people.length;
    $("more").hidden = !after;
    $("tally").textContent = shown
      ? `${count(shown, "person", "people")}${after ? " so far" : ""}`
      : name ? "Nobody has such a name." : "Nobody yet: add somebody above, or choose an unknown face on a photo.";
  } catch (problem) {
    $("tally").textContent = inOneLine(problem);
  }
}

function person({ id, name, faces: photos }) {
  const pictures = element("div", { class: "row" }, ...Array.from({ length: Math.min(photos, SHOWN) }, () => initial(name)));
  const act = (word, dialog, quiet) =>
    element("button", { type: "button", class: quiet, "aria-label": `${word} ${name}`, onclick: () => open(dialog, id, name) }, word);
  const more = element("button", { type: "button", "aria-label": `Add photos of ${name}`, onclick: () => prefill(name) }, "Add photos");
  return element(
    "li", { class: "card person" },
    element("h3", {}, name),
    whenSeen(pictures, () => portraits(pictures, id, name, photos)),
    element("p", { class: "hint" }, hint(photos), " ", element("a", { href: `history?person=${encodeURIComponent(name)}`, "aria-label": `Past photos of ${name}` }, "Past photos")),
    element("div", { class: "row" }, more, act("Rename", "rename", ""), act("Merge", "merge", ""), act("Remove", "remove", "danger")),
  );
}

const initial = (name) => element("div", { class: "initial", "aria-hidden": "true" }, [...name][0]);

async function portraits(pictures, id, name, photos) {
  try {
    const { faces } = await askJson("GET", address(id));
    const cut = faces.slice(0, SHOWN).map((face, nth) =>
      face.has_photo ? crop(`${address(id)}/faces/${face.id}/photo`, face.box, `${name}, photo ${nth + 1}`, [...name][0]) : initial(name));
    pictures.replaceChildren(...cut, photos > SHOWN ? `and ${photos - SHOWN} more` : "");
  } catch {
    // Removed by somebody else: the initials stay.
  }
}

function hint(photos) {
  if (photos === 1) return "One photo. Add a second one, in other light: people with two are recognized far more often.";
  return photos < 4 ? `${photos} photos: good.` : `${photos} photos: more will hardly help.`;
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
  $(`${id}-title`).textContent = { rename: `Rename ${name}`, merge: `Merge ${name}`, remove: `Remove ${name}?` }[id];
  $(`${id}-trouble`).textContent = "";
  if (id === "rename") $("rename-name").value = name;
  if (id === "merge") {
    $("merge-name").value = "";
    suggestNames("merge-known", person);
  }
  $(id).showModal();
}

async function merge() {
  const name = $("merge-name").value.trim();
  const found = (await askJson("GET", `v1/people?limit=1000&name=${encodeURIComponent(name)}`)).people;
  const same = found.filter((one) => one.name === name && one.id !== chosen.id);
  if (same.length !== 1) throw new Problem({ code: same.length ? "ambiguous-name" : "no-such-person" });
  const body = new FormData();
  body.append("other", chosen.id);
  return askJson("POST", `${address(same[0].id)}/merge`, { body });
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
dialog("merge", merge, () => `${chosen.name} was merged.`);
$("add").onsubmit = add;
$("more").onclick = () => more();
$("find").onsubmit = (event) => {
  event.preventDefault();
  load();
};
let typing = 0;
$("find-name").oninput = () => {
  clearTimeout(typing);
  typing = setTimeout(load, 250);
};
const both = () => Promise.all([load(), groups(both)]);
both();
