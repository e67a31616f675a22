// Groups of faces nobody knows, each perhaps one person: named, confirmed or put away.

import { ask, askJson } from "./api.js";
import { crop } from "./crop.js";
import { $, count, element, say } from "./dom.js";
import { inOneLine } from "./messages.js";
import * as who from "./who.js";

export async function groups(onNamed) {
  let found;
  try {
    ({ groups: found } = await askJson("GET", "v1/unknown"));
  } catch (problem) {
    $("unknown-trouble").textContent = inOneLine(problem);
    $("unknown-part").hidden = false;
    return;
  }
  $("unknown-trouble").textContent = "";
  $("unknown-part").hidden = !found.length;
  $("unknown").replaceChildren(...found.map((group) => card(group, onNamed)));
}

function card(group, onNamed) {
  const called = `Somebody, ${count(group.photos, "photo")}`;
  const address = `v1/unknown/${group.id}`;
  const faces = () => group.faces.map((face, nth) =>
    crop(`v1/history/${face.task_id}/photo`, face.box, `${called}: face ${nth + 1}`, "?"));
  const trouble = element("p", { class: "trouble", role: "alert" });
  const button = (text, kind, onclick) =>
    element("button", { type: "button", class: kind, "aria-label": `${text} ${called}`, onclick }, text);
  const act = async (event, action) => {
    event.target.disabled = true;
    trouble.textContent = "";
    try {
      await action();
      onNamed();
    } catch (problem) {
      trouble.textContent = who.why(problem);
      event.target.disabled = false;
    }
  };
  const { maybe } = group;
  return element(
    "li", { class: "card person" },
    element("h3", {}, called),
    element("div", { class: "row" }, ...faces()),
    maybe ? button(`Is this ${maybe.name}? Yes`, "main", (event) => act(event, () => who.name(address, { person: maybe.id }))) : null,
    element(
      "div", { class: "row" },
      button("Name", maybe ? "" : "main", () => who.ask(address, faces(), onNamed)),
      button("Not of interest", "quiet", (event) => act(event, async () => {
        await ask("DELETE", address);
        say(`${called}: put away.`);
      })),
    ),
    trouble,
  );
}
