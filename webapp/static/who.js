// "Who is this?": a name is given to faces of the past, of somebody who is known or of somebody new.

import { askJson, suggestNames } from "./api.js";
import { $, count, say } from "./dom.js";
import { inOneLine, reason } from "./messages.js";

let open = null; // { address, onDone }
let known = [];

export async function ask(address, faces, onDone) {
  open = { address, onDone };
  $("who-faces").replaceChildren(...faces);
  $("who-name").value = "";
  trouble("");
  $("who").showModal();
  $("who-name").focus();
  known = await suggestNames("who-known");
}

// One click: these faces are that person, or a new one of that name.
export async function name(address, { person, name: called }) {
  const body = new FormData();
  if (person) body.append("person", person);
  else body.append("name", called);
  const done = await askJson("POST", address, { body });
  say(`${done.name} is named on ${count(done.answers, "photo")}${done.enrolled ? `, ${count(done.enrolled, "photo")} learned from` : ""}.`);
  return done;
}

export const why = (problem) =>
  problem.refused?.length ? [...new Set(problem.refused.map(reason))].join(" ") : inOneLine(problem);

async function submit(event) {
  event.preventDefault();
  const called = $("who-name").value.trim();
  const same = known.filter((person) => person.name === called);
  trouble("");
  $("who-ok").disabled = true;
  try {
    const done = await name(open.address, { person: same.length === 1 ? same[0].id : "", name: called });
    $("who").close();
    open.onDone(done);
  } catch (problem) {
    trouble(why(problem));
  } finally {
    $("who-ok").disabled = false;
  }
}

function trouble(text) {
  $("who-trouble").textContent = text;
}

$("who").querySelector("form").onsubmit = submit;
$("who-cancel").onclick = () => $("who").close();
