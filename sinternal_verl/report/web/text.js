// Elements are made of text alone: nothing here reads text as HTML, and the page's policy would stop it.

const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
const HIDDEN_RUN = /(?:(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}])+/gu;
const SHOWN_CHARACTERS = 10_000;

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") made.addEventListener(name, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Text with each hidden character as its code point, so that a direction mark is seen and not obeyed.
function inert(text) {
  const made = document.createDocumentFragment();
  let done = 0;
  for (const found of HIDDEN.test(text) ? text.matchAll(HIDDEN_RUN) : []) {
    const codes = [...found[0]].map((each) => `U+${each.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`);
    made.append(text.slice(done, found.index), el("span", { class: "hidden-character" }, codes.join(" ")));
    done = found.index + found[0].length;
  }
  made.append(text.slice(done));
  return made;
}

// A text to read: a long one comes in parts, since a browser takes seconds for a million characters at once.
function reading(text) {
  const holder = el("div", { class: "reading" });
  // Each line has its own direction by unicode-bidi: plaintext; dir="auto" takes time with the square of the length.
  const pre = el("pre", { tabindex: "0" });
  const more = el("button", { type: "button", click: next });
  let end = 0;
  function next() {
    const part = cut(text, end, end ? 5 * SHOWN_CHARACTERS : SHOWN_CHARACTERS);
    pre.append(inert(part));
    end += part.length;
    more.textContent = `Show more (${count(text.length - end, "character")} left)`;
    more.hidden = end >= text.length;
  }
  next();
  holder.append(pre, more);
  return holder;
}

// A part of a text that ends with no half of a character.
function cut(text, begin, length) {
  const last = text.charCodeAt(begin + length - 1);
  return text.slice(begin, begin + length + (last >= 0xd800 && last < 0xdc00 ? 1 : 0));
}
