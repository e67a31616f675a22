// Photos with more pixels than recognition needs, made smaller before they are sent, where the visitor has chosen so.

export const ENOUGH = 4000; // pixels of the longer side
const WORTH_IT = 1e6; // bytes; fewer are sent as they are
const KEY = "facerec-smaller";

// Ties the choice to its checkbox and remembers it; returns whether it is made.
export function choice(box) {
  box.checked = localStorage.getItem(KEY) === "yes";
  box.onchange = () => localStorage.setItem(KEY, box.checked ? "yes" : "no");
  return () => box.checked;
}

// The photo, or a smaller JPEG of it: upright, since it takes no EXIF along. What the browser cannot read stays as it is.
export async function shrunk(file) {
  if (file.size < WORTH_IT) return file;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return file;
  }
  try {
    const scale = ENOUGH / Math.max(bitmap.width, bitmap.height);
    if (scale >= 1) return file;
    const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
    return blob.size < file.size ? new File([blob], file.name, { type: blob.type }) : file;
  } catch {
    return file;
  } finally {
    bitmap.close();
  }
}
