// Elements made in one line. Text is always text: nothing here parses HTML.

export const $ = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("aria-") || name.startsWith("data-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Tells those who do not see the page. What is said within a moment is said together.
let sentences = [];
export function say(sentence) {
  sentences.push(sentence);
  if (sentences.length === 1)
    setTimeout(() => {
      $("said").textContent = sentences.slice(-4).join(" ");
      sentences = [];
    }, 700);
}

export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
