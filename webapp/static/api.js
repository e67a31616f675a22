// Asks the server. What goes wrong is a Problem with a code (RFC 9457), never a mere status.

import { $ } from "./dom.js";

export class Problem extends Error {
  constructor(fields) {
    super(fields.detail || fields.code);
    Object.assign(this, fields);
  }
}

export const offline = () => new Problem({ code: "network", detail: "no connection" });

const KEY = "facerec-key";

export function authorization() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

let asking = null;

// Asks the person for an API key, once for all requests that wait for it; false when there is none.
export function askForKey(why) {
  asking ??= new Promise((resolve) => {
    const dialog = $("access");
    const form = dialog.querySelector("form");
    if (why) $("access-why").textContent = why;
    form.elements.key.value = "";
    form.querySelector("[value=cancel]").onclick = () => dialog.close("cancel");
    dialog.returnValue = "";
    dialog.onclose = () => {
      asking = null;
      const given = dialog.returnValue === "ok" && form.elements.key.value.trim();
      if (given) sessionStorage.setItem(KEY, given);
      resolve(Boolean(given));
    };
    dialog.showModal();
  });
  return asking;
}

const REFUSED = {
  "key-unknown": "This key is not known here. Please check it.",
  "scope-missing": "This key is not good for what this page does. Please give another one.",
};

// Whether a problem was that of a key, and another one has been given.
export async function mended(problem) {
  if (problem.status !== 401 && problem.code !== "scope-missing") return false;
  return askForKey(REFUSED[problem.code]);
}

export async function ask(method, path, { body, accept = "application/json", signal } = {}) {
  let response;
  try {
    const headers = { Accept: accept, ...authorization() };
    response = await fetch(path, { method, body, headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw offline();
  }
  if (response.ok) return response;
  const found = await problem(response);
  if (await mended(found)) return ask(method, path, { body, accept, signal });
  throw found;
}

export async function askJson(method, path, options) {
  const response = await ask(method, path, options);
  return response.status === 204 ? null : response.json();
}

// Fills a list with the names of those who are known, and gives them. A name can be typed all the same.
export async function suggestNames(list, except) {
  const { people } = await askJson("GET", "v1/people?limit=1000").catch(() => ({ people: [] }));
  const others = people.filter(({ id }) => id !== except);
  $(list).replaceChildren(...others.map(({ name }) => new Option(name, name)));
  return people;
}

async function problem(response) {
  const after = Number(response.headers.get("Retry-After")) || undefined;
  return described(await response.text(), response.status, after);
}

export function described(text, status, retryAfter) {
  let fields = { code: status >= 500 || status === 0 ? "internal" : "bad-request", detail: text };
  try {
    const parsed = JSON.parse(text);
    if (parsed && parsed.code) fields = parsed;
  } catch {
    // A proxy in between may answer anything.
  }
  return new Problem({ ...fields, status, retryAfter });
}
