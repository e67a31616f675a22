// Photos from the camera: in the page where the browser lets us, else the telephone's own way.

import { $, say } from "./dom.js";

const TROUBLE = {
  NotAllowedError: "The browser does not let this page use the camera: allow it beside the address.",
  NotFoundError: "There is no camera.",
  NotReadableError: "The camera is used by another program.",
};

export function camera(onPhoto) {
  const view = $("camera-view");

  async function open() {
    // Without https browsers give no camera, except to pages of this machine.
    if (!navigator.mediaDevices) return capture(onPhoto);
    trouble("");
    $("camera").showModal();
    try {
      view.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
      if (!$("camera").open) return stop();
      await view.play();
      $("camera-take").disabled = false;
    } catch (error) {
      trouble(TROUBLE[error.name] ?? "The camera does not work.");
    }
  }

  function stop() {
    for (const track of view.srcObject?.getTracks() ?? []) track.stop();
    view.srcObject = null;
  }

  function take() {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: view.videoWidth, height: view.videoHeight });
    canvas.getContext("2d").drawImage(view, 0, 0);
    canvas.toBlob((blob) => {
      const name = `camera-${new Date().toISOString().slice(0, 19).replaceAll(/[:T]/g, "-")}.jpg`;
      onPhoto([new File([blob], name, { type: "image/jpeg" })]);
      say("Photo taken.");
    }, "image/jpeg", 0.92);
  }

  $("camera-open").onclick = open;
  $("camera-take").onclick = take;
  $("camera").onclose = stop;
}

function trouble(text) {
  $("camera-trouble").textContent = text;
  $("camera-trouble").hidden = !text;
  $("camera-take").disabled = true;
}

function capture(onPhoto) {
  const input = document.createElement("input");
  Object.assign(input, { type: "file", accept: "image/jpeg", capture: "user" });
  input.onchange = () => onPhoto(input.files);
  input.click();
}
