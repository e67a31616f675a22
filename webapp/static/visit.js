// The photos of this visit, kept for when the page is loaded again: task ids, and never a photo.

import { ask, askJson } from "./api.js";

const KEY = "facerec-visit";
const MOST = 100;

const ids = () => JSON.parse(sessionStorage.getItem(KEY) ?? "[]");

export function remember(answer) {
  if (!answer?.task_id) return;
  const kept = ids().filter((id) => id !== answer.task_id);
  sessionStorage.setItem(KEY, JSON.stringify([...kept, answer.task_id].slice(-MOST)));
}

export const forget = () => sessionStorage.removeItem(KEY);

// In the order they were answered; what was purged since is left out.
export async function* earlier() {
  for (const id of ids()) {
    let answer;
    try {
      answer = await askJson("GET", `results/${id}`);
    } catch {
      continue;
    }
    yield { answer, file: await photo(id, answer) };
  }
}

// The service keeps it; whoever may not see the history gets a card without a picture.
async function photo(id, answer) {
  const type = answer.video?.container ?? "image/jpeg";
  if (answer.video) return new File([], answer.key, { type });
  try {
    const found = await ask("GET", `v1/history/${id}/photo`, { accept: "image/*" });
    return new File([await found.blob()], answer.key, { type: found.headers.get("Content-Type") ?? type });
  } catch {
    return new File([], answer.key, { type });
  }
}
