// What is said of a video: who is seen, and when; a click on a time shows that moment.

import { ask } from "./api.js";
import { count, element } from "./dom.js";

const MOST_TIMES = 6;

export const isVideo = (file) => file.type.startsWith("video/") || /\.(mkv|flv|ts|mpe?g|wmv|ogv)$/i.test(file.name);

export function clock(seconds) {
  const whole = Math.round(seconds);
  const two = (n) => String(n).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? `${minutes}:${two(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}

export const called = (person) =>
  person.known ? person.name : person.name.replace("unknown-", "Unknown person ");

// A list of people, each with their picture, their times, and a bar that shows these at a glance.
export function timeline({ people, video }, player, onPerson) {
  return element("ul", { class: "seen" }, ...people.map((person) => row(person, video.seconds, player, onPerson)));
}

function row(person, seconds, player, onPerson) {
  const name = called(person);
  const face = element("img", { alt: "", width: 56, height: 56 });
  if (person.crop) picture(person.crop, face);
  const times = person.spans.slice(0, MOST_TIMES).map((span) => moment(span, name, player));
  const left = person.spans.length - times.length;
  const ask = person.known || !person.crop ? null : element(
    "button", { type: "button", "aria-label": `Who is ${name}?`, onclick: () => onPerson(person) }, "Who is this?",
  );
  return element(
    "li", {}, face,
    element(
      "div", {},
      element("b", {}, name), ` ${Math.round(person.seconds)} s`,
      element("div", { class: "track", "aria-hidden": "true" }, ...person.spans.map((span) => mark(span, seconds))),
      element("p", { class: "times" }, ...times, left ? ` and ${count(left, "more time")}` : null),
      ask,
    ),
  );
}

function moment([begin, end], name, player) {
  const show = () => {
    player.currentTime = begin;
    player.play().catch(() => {}); // a format this browser does not play
  };
  const label = `${name}, from ${clock(begin)} to ${clock(end)}`;
  return element("button", { type: "button", class: "quiet", onclick: show, "aria-label": label }, `${clock(begin)}–${clock(end)}`);
}

function mark([begin, end], seconds) {
  const made = element("i");
  made.style.left = `${(100 * begin) / seconds}%`;
  made.style.width = `${(100 * (end - begin)) / seconds}%`;
  return made;
}

// Asked with the visitor's key, which an address of an image cannot carry.
export async function portrait(address) {
  const response = await ask("GET", address.slice(address.indexOf("results/")), { accept: "image/jpeg" });
  return response.blob();
}

async function picture(address, image) {
  try {
    image.src = URL.createObjectURL(await portrait(address));
    image.onload = () => URL.revokeObjectURL(image.src);
  } catch {
    image.remove();
  }
}
