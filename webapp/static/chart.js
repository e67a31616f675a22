// Small charts as SVG: areas on top of each other, or lines, over the same minutes.

const SPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [560, 190];
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 8, 10, 26];

function shape(tag, attributes, text) {
  const made = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// The next of 1, 2, 4, 6, 10, 20 … that is enough: its half is whole, but for 1.
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return [1, 2, 4, 6, 10].map((step) => step * power).find((step) => step >= value * 0.999) ?? 10 * power;
}

export class Chart {
  // kind: "areas" stand on each other, "lines" do not. least: of the scale's end.
  constructor(names, { kind, least = 1, unit = "" }) {
    Object.assign(this, { names, kind, least, unit });
    this.svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  }

  draw(series, minutes, label) {
    const rows = this.names.map((name) => series[name].slice((-60 * minutes) / series.step));
    const tops = this.kind === "lines" ? rows : stacked(rows);
    const most = ceiling(Math.max(this.least, ...tops.flat().filter((value) => value !== null)));
    const x = (index) => LEFT + ((WIDTH - LEFT - RIGHT) * index) / rows[0].length;
    const y = (value) => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * value) / most;
    const shapes = this.kind === "lines" ? this.lines(rows, x, y) : this.areas(tops, x, y);
    this.svg.replaceChildren(...this.scale(most, minutes, x, y, rows[0].length), ...shapes);
    this.svg.setAttribute("aria-label", label);
  }

  scale(most, minutes, x, y, slots) {
    const values = [0, most / 2, most].map((value) => [
      shape("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
      shape("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, `${Number(value.toPrecision(2))}${this.unit}`),
    ]);
    const times = ["start", "middle", "end"].map((anchor, index) =>
      shape(
        "text",
        { x: x((slots * index) / 2), y: HEIGHT - 6, "text-anchor": anchor },
        index === 2 ? "now" : `−${minutes * (1 - index / 2)} min`,
      ),
    );
    return [...values.flat(), ...times];
  }

  areas(tops, x, y) {
    return this.names.map((name, row) => {
      const path = tops[row].map((top, index) => {
        const below = row ? tops[row - 1][index] : 0;
        if (top === null || top <= below) return "";
        return `M${f(x(index))} ${f(y(below))}V${f(y(top))}H${f(x(index + 1))}V${f(y(below))}Z`;
      });
      return shape("path", { class: `area ${name}`, d: path.join("") });
    });
  }

  // A slot without a value breaks the line; a lone value is a short dash.
  lines(rows, x, y) {
    return this.names.map((name, row) => {
      let path = "";
      rows[row].forEach((value, index) => {
        if (value === null) return;
        const joined = index > 0 && rows[row][index - 1] !== null;
        path += `${joined ? "L" : "M"}${f(x(index))} ${f(y(value))}`;
        if (!joined) path += `h${f(x(1) - x(0))}`;
      });
      return shape("path", { class: `line ${name}`, d: path });
    });
  }
}

const f = (number) => number.toFixed(1);

function stacked(rows) {
  const tops = [];
  for (const row of rows) tops.push(row.map((value, index) => (value === null ? null : value + (tops.at(-1)?.[index] ?? 0))));
  return tops;
}
