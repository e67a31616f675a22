// Every code of the server in words for people: what is wrong, and what to do about it.

const WORDS = {
  empty: ["This file is empty.", "Choose another one."],
  "too-large": ["This file is too large.", "Save it smaller, or send one with fewer bytes."],
  "not-a-picture": ["This is not a picture.", "Send a JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF file, or a video."],
  "unsupported-format": [
    "This kind of picture is not read here.",
    "Save it as JPEG. On an iPhone: Settings, Camera, Formats, Most Compatible.",
  ],
  "broken-picture": ["This picture is damaged.", "Its end may be missing: copy it again from the camera."],
  "too-many-pixels": ["It has too many pixels.", "Save it smaller, 4,000 pixels wide are plenty."],
  "not-a-video": ["This is not a video.", "Send MP4, WebM, MOV, MKV, AVI or another usual kind."],
  "unsupported-codec": ["This kind of video is not read here.", "Save it as MP4 (H.264)."],
  "no-video-stream": ["There is no moving picture in this file.", "It may hold sound only."],
  "no-frames": ["This video shows nothing.", "No picture in it can be read."],
  "broken-video": ["This video is damaged.", "Copy it again from the camera."],
  "truncated-video": ["This video is cut short.", "Its end is missing: copy it again from the camera."],
  "too-long": ["This video is too long.", "Cut it into parts."],
  "too-costly": ["This video takes too much to look at.", "Save it smaller, 1920 pixels wide are plenty."],
  "crashed-decoder": ["This video cannot be read.", "Save it again with another program."],
  cancelled: ["Cancelled.", "Send it again if you want the answer after all."],
  "answered-already": ["There is an answer already.", "It stays."],
  poison: ["This photo could not be processed.", "It was set aside for the operator of this service."],
  "photo-gone": ["The photo was deleted before it was looked at.", "Send it again."],
  "no-photo-taken": ["This photo cannot be learned from.", "Choose one with the face larger and sharper."],
  "bad-name": ["This name cannot be used.", "Use letters, at most 200; no line breaks."],
  "name-taken": ["Somebody else has this name.", "Choose another one, or add the photos to that person."],
  "no-such-face": ["This face is not there any more.", "Load the page again."],
  "ambiguous-name": ["Several people have this name.", "Choose one of them on the page People."],
  "no-such-person": ["Nobody has this name any more.", "Somebody else may have removed it: load the page again."],
  "engine-mismatch": ["People were enrolled with another engine.", "Whoever runs this service can set it right."],
  "in-progress": ["The same photo is just being looked at.", "It will be answered in a moment."],
  overloaded: ["Too much is waiting just now.", "It is sent again by itself."],
  stopping: ["The service is restarting.", "It is sent again by itself."],
  "rate-limited": ["Too many requests at once.", "It is sent again by itself, more slowly."],
  "aws-unavailable": ["The service cannot reach its storage.", "It is sent again by itself."],
  "not-set-up": ["The service is not set up completely.", "Tell the operator of this service."],
  late: ["This takes longer than usual.", "The photo is safe; its answer will appear here."],
  network: ["No connection to the service.", "It is sent again as soon as there is one."],
  "too-slow": ["The connection was too slow.", "Try again, with a smaller photo if you can."],
  "storage-full": ["The service has no room to receive this file now.", "Try again later."],
  "unknown-host": ["The service does not know this address.", "Whoever runs it can add it to FACEREC_PUBLIC_HOSTS."],
  forwarded: ["The service is open to its own machine alone.", "Whoever runs it must configure its proxy."],
  "not-found": ["There is nothing at this address.", "Load the page again."],
  "method-not-allowed": ["This cannot be done here.", "Load the page again."],
  "key-missing": ["An API key is needed.", "Try again and give the key you were given."],
  "key-unknown": ["The API key is not known.", "Check it, or ask for a new one."],
  "scope-missing": ["The API key does not allow this.", "Ask the person who gave it to you."],
  "cross-site": ["Pages of other sites may not ask this.", "Open the page of this service itself."],
  "result-unknown": ["The answer is not known any more.", "Send the photo again."],
  internal: ["Something is wrong on our side.", "Try again; if it continues, tell the operator of this service."],
};

// Reasons of enrollment, which come in "refused".
const REASONS = {
  "not-a-photo": "This is not a picture that can be read.",
  "no-face": "No face was found on it. Choose a photo with the face from the front.",
  "several-faces": "Several faces are about as large, so it is not clear who is meant. Cut the photo to one face.",
  "too-small": "The face is too small. Take one where it is larger.",
  blurred: "The face is blurred. Take a sharper photo.",
};
export const FORCEABLE = new Set(["too-small", "blurred", "somebody-else", "unlike-the-others"]);

// The photo itself is at fault: sending it again would change nothing.
const FINAL = new Set([
  "empty", "too-large", "not-a-picture", "unsupported-format", "broken-picture", "too-many-pixels", "poison",
  "not-a-video", "unsupported-codec", "no-video-stream", "no-frames", "broken-video", "truncated-video", "too-long",
  "too-costly", "crashed-decoder",
]);
export const mayRepeat = (problem) => !FINAL.has(problem.code);

export function words(problem) {
  const [what, advice] = WORDS[problem.code] ?? [`Refused: ${(problem.detail || problem.code).replace(/\.+$/, "")}.`, "Try again."];
  return { what, advice };
}

export const inOneLine = (problem) => Object.values(words(problem)).join(" ");

// One sentence of ours, or the server's own, which names who the face looks like.
export function reason(refusal) {
  const own = refusal.message.charAt(0).toUpperCase() + refusal.message.slice(1);
  return REASONS[refusal.reason] ?? `${own}.`;
}
