// Sends photos: several in one request, some requests at once, each photo until it has its answer.
//
// Every photo has an idempotency key, so that what is sent again after a cut connection is not
// looked at twice; the server says which of a request's photos a line of its answer belongs to.

import { Problem, ask, authorization, described, mended, offline } from "./api.js";
import { shrunk } from "./shrink.js";

const MOST_FILES = 8;
const MOST_BYTES = 6e6;
const AT_ONCE = 2; // requests: more would share a slow line, and each would be slower
const FEW = 4; // so many photos go one by one: each with a progress of its own
const ATTEMPTS = 10;
const LONGEST_PAUSE = 15;
const RETRIED = new Set([
  "network", "overloaded", "stopping", "rate-limited", "aws-unavailable", "in-progress", "too-slow", "storage-full",
]);

export function batches(photos) {
  const most = photos.length <= FEW ? 1 : MOST_FILES;
  const made = [];
  let room = 0;
  for (const photo of photos) {
    const last = made.at(-1);
    if (photo.isVideo) {
      made.push([photo]);
      room = 0;
    } else if (last && last.length < most && photo.file.size <= room) {
      last.push(photo);
      room -= photo.file.size;
    } else {
      made.push([photo]);
      room = MOST_BYTES - photo.file.size;
    }
  }
  return made;
}

// Who gives photos is told of each: progress(photo, share), looking(photo), watching(photo, progress),
// retrying(photo, problem), answered(photo, answer), refused(photo, problem). `smaller` says whether large
// photos are to be made smaller.
export class Sender {
  constructor(told, smaller) {
    this.told = told;
    this.smaller = smaller;
    this.queue = [];
    this.running = 0;
  }

  add(photos) {
    for (const batch of batches(photos)) {
      const key = crypto.getRandomValues(new Uint32Array(4)).join("-");
      batch.forEach((photo, index) => {
        photo.key = batch.length > 1 ? `${key}/${index}` : key;
        photo.attempts = 0;
        photo.sent = this.smaller() && !photo.isVideo ? null : photo.file;
      });
      this.queue.push({ batch, key });
    }
    this.next();
  }

  next() {
    while (this.running < AT_ONCE && this.queue.length) {
      const { batch, key } = this.queue.shift();
      this.running += 1;
      this.send(batch, key).finally(() => {
        this.running -= 1;
        this.next();
      });
    }
  }

  async send(batch, key) {
    const open = new Set(batch.filter((photo) => !photo.dropped));
    const settle = (photo, fields) => {
      if (!open.delete(photo)) return;
      if (fields.code && fields.outcome === undefined) this.failed(photo, new Problem(fields));
      else this.told.answered(photo, fields);
    };
    if (!open.size) return;
    const chosen = [...open];
    // A request of fewer photos than the key was made for would give them other numbers.
    const one = chosen.length === batch.length ? key : null;
    if (one === null) {
      this.queue.unshift(...chosen.map((photo) => ({ batch: [photo], key: photo.key })));
      return;
    }
    try {
      // Once: what is sent again with the same key must have the same bytes.
      for (const photo of chosen) photo.sent ??= await shrunk(photo.file);
      await post(chosen, one, this.told, (index, fields) => settle(chosen[index], fields));
      for (const photo of [...open]) settle(photo, offline());
    } catch (problem) {
      if (await mended(problem)) return this.send(batch, key);
      for (const photo of [...open]) this.failed(photo, problem);
    }
  }

  async failed(photo, problem) {
    if (problem.code === "late" && problem.task_id) return this.follow(photo, problem);
    photo.attempts += 1;
    if (!RETRIED.has(problem.code) || photo.attempts >= ATTEMPTS) return this.told.refused(photo, problem);
    this.told.retrying(photo, problem);
    const pause = Math.min(2 ** (photo.attempts - 1), LONGEST_PAUSE);
    await rest(Math.max(problem.retryAfter ?? 0, pause), problem.code === "network");
    this.queue.push({ batch: [photo], key: photo.key });
    this.next();
  }

  // The request is over, its task is not: the record will have the answer. A video tells how far
  // it is, and may take hours.
  async follow(photo, problem) {
    if (!photo.isVideo) this.told.retrying(photo, problem);
    for (let i = 0; (photo.isVideo || i < 60) && !photo.dropped; i += 1) {
      await rest(photo.isVideo ? 1.5 : Math.min(2 + i, LONGEST_PAUSE));
      try {
        const response = await ask("GET", `results/${problem.task_id}`);
        const told = await response.json();
        if (response.status === 200) return this.told.answered(photo, told);
        if (photo.isVideo) this.told.watching(photo, told);
      } catch (found) {
        if (!RETRIED.has(found.code)) return this.told.refused(photo, found);
      }
    }
    return this.told.refused(photo, problem);
  }
}

// A while, or until the connection is back.
function rest(seconds, untilOnline = false) {
  return new Promise((resolve) => {
    setTimeout(resolve, 1000 * seconds * (1 + Math.random() / 4));
    if (untilOnline) addEventListener("online", resolve, { once: true });
  });
}

// XMLHttpRequest, since fetch does not tell how much has been sent.
function post(photos, key, told, settle) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    for (const photo of photos) form.append("inputFile", photo.sent, photo.file.name);
    request.open("POST", photos[0].isVideo ? "./?wait=0" : "./");
    const headers = { Accept: "application/json", "Idempotency-Key": key, ...authorization() };
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => share(photos, event.loaded / event.total, told);
    request.upload.onload = () => photos.forEach((photo) => told.looking(photo));
    const lines = new Lines(settle);
    const several = () => request.getResponseHeader("Content-Type")?.includes("ndjson");
    request.onprogress = () => several() && lines.take(request.responseText);
    request.onerror = request.onabort = () => reject(offline());
    request.onload = () => {
      if (several()) lines.take(request.responseText);
      else if (request.status === 200) settle(0, JSON.parse(request.responseText));
      else if (request.status === 202)
        settle(0, { code: "late", task_id: JSON.parse(request.responseText).task_id });
      else {
        const after = Number(request.getResponseHeader("Retry-After")) || undefined;
        return reject(described(request.responseText, request.status, after));
      }
      return resolve();
    };
    request.send(form);
  });
}

// The files of a form go one after the other.
function share(photos, part, told) {
  const total = photos.reduce((sum, photo) => sum + photo.sent.size, 0);
  let left = part * total;
  for (const photo of photos) {
    const size = photo.sent.size || 1;
    told.progress(photo, Math.max(0, Math.min(1, left / size)));
    left -= size;
  }
}

class Lines {
  constructor(settle) {
    this.settle = settle;
    this.read = 0;
  }

  take(text) {
    for (let end; (end = text.indexOf("\n", this.read)) >= 0; this.read = end + 1) {
      const fields = JSON.parse(text.slice(this.read, end));
      if (fields.index !== undefined) this.settle(fields.index, fields);
    }
  }
}
