// The visit's results as files: CSV with a line for every face, JSON with everything.

const COLUMNS = ["file", "outcome", "name", "confidence", "distance", "left", "top", "right", "bottom", "code"];

export function csv(cards) {
  return [COLUMNS, ...cards.flatMap(rows)].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

function rows({ file, answer, problem }) {
  if (problem) return [[file.name, "refused", ...Array(7).fill(""), problem.code]];
  if (answer?.people) return answer.people.map((person) => [
    file.name, answer.outcome, person.name, round(person.confidence, 4), ...Array(5).fill(""), "",
  ]);
  if (!answer) return [[file.name, "pending", ...Array(8).fill("")]];
  const faces = answer.faces?.length ? answer.faces : [{ name: answer.name ?? "" }];
  return faces.map((face) => [
    file.name, answer.outcome, face.name, round(face.confidence, 4), round(face.distance, 4),
    ...(face.box ?? Array(4).fill("")).map((edge) => round(edge, 1)), "",
  ]);
}

const round = (value, digits) => (typeof value === "number" ? Number(value.toFixed(digits)) : "");

// A name that begins as a formula would be carried out by a spreadsheet.
function cell(value) {
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function json(cards) {
  const made = cards.map(({ file, answer, problem }) => ({
    file: file.name,
    ...(problem ? { outcome: "refused", code: problem.code, detail: problem.message } : answer ?? { outcome: "pending" }),
  }));
  return JSON.stringify(made, null, 1);
}

export function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
