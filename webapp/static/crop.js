// A face cut out of its photo, fetched when it comes into view, with the key an <img> cannot send.

import { ask } from "./api.js";
import { element } from "./dom.js";

const SIZE = 88;
const AROUND = 0.35; // of the face's size, so that hair and chin are seen
const MOST_KEPT = 40; // photos

const photos = new Map();

function photo(path) {
  if (!photos.has(path)) {
    photos.set(path, ask("GET", path, { accept: "image/*" }).then((answer) => answer.blob()));
    if (photos.size > MOST_KEPT) photos.delete(photos.keys().next().value);
  }
  return photos.get(path);
}

const soon = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    soon.unobserve(target);
    target.dispatchEvent(new Event("seen"));
  }
}, { rootMargin: "200px" });

export function whenSeen(node, action) {
  node.addEventListener("seen", action, { once: true });
  soon.observe(node);
  return node;
}

// box: left, top, width and height as shares of the photo, or none for all of it.
export function crop(path, box, label, initial) {
  const place = element("div", { class: "initial", "aria-hidden": "true" }, initial);
  return whenSeen(place, async () => {
    try {
      const picture = await createImageBitmap(await photo(path));
      const canvas = element("canvas", { class: "crop", width: 2 * SIZE, height: 2 * SIZE, role: "img", "aria-label": label });
      canvas.getContext("2d").drawImage(picture, ...square(picture, box ?? [0, 0, 1, 1], box ? AROUND : 0), 0, 0, 2 * SIZE, 2 * SIZE);
      picture.close();
      place.replaceWith(canvas);
    } catch {
      // Imported people have no photos, and a TIFF cannot be shown: the initial stays.
    }
  });
}

function square({ width, height }, [left, top, across, down], around) {
  const side = Math.min(width, height, (1 + 2 * around) * Math.max(across * width, down * height));
  const within = (middle, most) => Math.max(0, Math.min(most - side, middle - side / 2));
  return [within((left + across / 2) * width, width), within((top + down / 2) * height, height), side, side];
}
