// One photo or video of the visit: its picture, who is on it, and what is to be said of it.

import { ask, askJson } from "./api.js";
import { count, element } from "./dom.js";
import { called, isVideo, timeline } from "./video.js";
import { inOneLine, mayRepeat, words } from "./messages.js";

const MAYBE = 0.5; // confidence from which on a name is suggested

export class Card {
  constructor(file, { onFace, onAgain, onPerson }) {
    this.onPerson = onPerson;
    this.file = file;
    this.onFace = onFace;
    this.url = URL.createObjectURL(file);
    this.isVideo = isVideo(file);
    const onerror = () => this.image.replaceWith(element("p", { class: "blank" }, "No preview"));
    this.image = this.isVideo
      ? element("video", {
        src: this.url, controls: true, muted: true, playsInline: true, preload: "metadata",
        "aria-label": `The video ${file.name}`, onerror,
      })
      : element("img", {
        src: this.url, alt: `The photo ${file.name}`, loading: "lazy", decoding: "async", onerror,
      });
    this.frame = element("div", { class: "frame" }, this.image);
    this.bar = element("progress", { max: 1, value: 0, "aria-label": `Sending ${file.name}` });
    this.verdict = element("p", { class: "verdict" });
    this.advice = element("p", { class: "advice", hidden: true });
    this.maybe = element("div", { class: "row" });
    this.retry = element("button", { type: "button", hidden: true, onclick: () => onAgain(this) }, "Try again");
    this.stop = element("button", { type: "button", hidden: true, onclick: () => this.cancel() }, "Cancel");
    this.node = element(
      "li", { class: `card${this.isVideo ? " film" : ""}` }, this.frame,
      element(
        "div", { class: "caption" },
        element("h3", { class: "file", title: file.name }, file.name),
        this.verdict, this.bar, this.advice, this.maybe, this.retry, this.stop,
      ),
    );
    this.waiting();
  }

  drop() {
    this.dropped = true;
    this.node.remove();
    URL.revokeObjectURL(this.url);
  }

  show(state, verdict, advice = "") {
    this.state = state;
    this.node.dataset.state = state;
    this.verdict.textContent = verdict;
    this.advice.textContent = advice;
    this.advice.hidden = !advice;
    this.retry.hidden = state !== "refused" || !mayRepeat(this.problem);
    this.bar.hidden = !["waiting", "sending", "looking"].includes(state);
    this.stop.hidden = state !== "looking" || !this.taskId;
    if (state === "looking") this.bar.removeAttribute("value");
  }

  waiting() {
    this.answer = this.problem = this.taskId = null;
    this.faces([]);
    this.maybe.replaceChildren();
    this.node.querySelector(".seen")?.remove();
    this.show("waiting", "Waiting for its turn");
    this.bar.value = 0;
  }

  progress(share) {
    if (this.state === "looking") return;
    this.show("sending", "Sending");
    this.bar.value = share;
  }

  looking() {
    this.show("looking", "Looking for faces");
  }

  // A video is looked at: how far, and who has been seen so far.
  watching({ task_id, percent, people }) {
    this.taskId = task_id;
    const far = Number.isInteger(percent) ? `, ${percent} % done` : "";
    this.show("looking", `Watching${far}`, people?.length ? `Seen so far: ${people.join(", ")}` : "");
    this.bar.ariaLabel = `Watching ${this.file.name}`;
    if (far) this.bar.value = percent / 100;
  }

  async cancel() {
    this.stop.disabled = true;
    try {
      await ask("DELETE", `results/${this.taskId}`);
    } catch {
      // It has just been answered: the answer comes.
    }
    this.stop.disabled = false;
  }

  retrying(problem) {
    const { what, advice } = words(problem);
    this.show("looking", what, advice);
  }

  refused(problem) {
    this.problem = problem;
    const { what, advice } = words(problem);
    this.show("refused", what, problem.code === "network" ? "Check it, then try again." : advice);
  }

  answered(answer) {
    this.answer = answer;
    this.faces(answer.faces ?? []);
    if (answer.video) this.tellVideo();
    else this.tell();
  }

  tellVideo() {
    const people = this.answer.people ?? [];
    const short = this.answer.video.complete ? "" : "The video is damaged or cut short: this is what could be seen.";
    if (!people.length) return this.show("no-face", "No face found", short);
    this.node.append(timeline({ ...this.answer, people }, this.image, (person) => this.onPerson(this, person)));
    return this.show(this.answer.outcome, people.slice(0, 4).map(called).join(", ")
      + (people.length > 4 ? ` and ${count(people.length - 4, "more person", "more people")}` : ""), short);
  }

  // The largest face is the photo's answer; the others are named after it.
  tell() {
    const faces = this.answer.faces ?? [];
    this.maybe.replaceChildren(...faces.map((face, index) => this.suggestion(face, index)).filter(Boolean));
    const names = faces.filter((face) => face.name !== "unknown").map((face) => face.name);
    const unknown = faces.length - names.length;
    if (!faces.length && this.answer.name) names.push(this.answer.name);
    if (this.answer.outcome === "no-face") {
      this.show("no-face", "No face found", "Is it small, turned away or in the dark? Try another photo.");
    } else if (!names.length) {
      this.show("unknown", unknown > 1 ? `${unknown} unknown faces` : "Unknown face", "Choose the face to say who it is.");
    } else {
      this.show("named", names.join(", ") + (unknown ? ` and ${count(unknown, "unknown face")}` : ""));
    }
  }

  suggestion(face, index) {
    const nearest = face.candidates?.[0];
    if (face.name !== "unknown" || !nearest?.person_id || nearest.confidence < MAYBE) return null;
    const onclick = async ({ target }) => {
      target.disabled = true;
      const body = new FormData();
      body.append("person", nearest.person_id);
      try {
        const { name } = await askJson("POST", `v1/history/${this.answer.task_id}/faces/${index}`, { body });
        this.rename(index, name);
      } catch (problem) {
        target.replaceWith(element("p", { class: "trouble", role: "alert" }, inOneLine(problem)));
      }
    };
    return element("button", { type: "button", class: "main", onclick }, `Is this ${nearest.name}? Yes`);
  }

  faces(faces) {
    for (const old of this.frame.querySelectorAll(".face")) old.remove();
    const { width, height } = this.answer ?? {};
    if (!width || !height) return;
    this.frame.style.setProperty("--shape", `${width} / ${height}`);
    faces.forEach((face, index) => this.frame.append(this.box(face, index, width, height)));
  }

  box(face, index, width, height) {
    const [left, top, right, bottom] = face.box;
    const known = face.name !== "unknown";
    const sure = known && face.confidence ? `, ${Math.round(100 * face.confidence)} % sure` : "";
    const nearest = face.candidates?.[0];
    const perhaps = nearest?.confidence >= 0.5 ? `, perhaps ${nearest.name}` : "";
    const more = face.hint === "second-photo" ? ` Another photo of ${nearest.name} would make it surer.` : "";
    const label = known
      ? `${face.name}${sure}. Not right, or add this photo?${more}`
      : `Unknown face${perhaps}. Who is this?${more}`;
    const box = element(
      "button",
      {
        type: "button", class: `face ${known ? "known" : "unknown"}`, title: label, "aria-label": label,
        onclick: () => this.onFace(this, index),
      },
      element("span", { class: "tag" }, known ? face.name : "Who is this?"),
    );
    const percent = (part, whole) => `${(100 * part) / whole}%`;
    box.style.left = percent(Math.max(0, left), width);
    box.style.top = percent(Math.max(0, top), height);
    box.style.width = percent(Math.min(right, width) - Math.max(0, left), width);
    box.style.height = percent(Math.min(bottom, height) - Math.max(0, top), height);
    if (bottom / height > 0.88) box.classList.add("low");
    return box;
  }

  // What has been enrolled from this card shows at once; the server says the same of the next photo.
  rename(index, name) {
    const face = this.answer.faces[index];
    Object.assign(face, { name, confidence: null, introduced: true });
    if (index === 0) Object.assign(this.answer, { outcome: "named", name });
    this.faces(this.answer.faces);
    this.tell();
  }

  get hasUnknown() {
    if (this.answer?.video) return this.answer.people?.some((person) => !person.known) ?? false;
    return (this.answer?.faces ?? []).some((face) => face.name === "unknown");
  }
}
