// Elements made of parts, never of markup: whatever a model wrote gets into the page as the text it is.

// What could steer the reader's eye unseen: controls, direction overrides, zero-width and other invisible characters.
// (U+200C and U+200D join letters and emoji, and stay.)
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const MANY = 500;

/** An element; `properties` are set as they are named, children are nodes or text. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") node.className = value;
    else if (name === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (name.startsWith("aria-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

/** Puts hostile text into `node`: unseen characters are shown by their numbers, and it keeps its direction to itself. */
export function say(node, text) {
  node.dir = "auto";
  node.append(...shown(text));
  return node;
}

/** As `say`, with the part from span[0] to span[1] marked by the class `mark`. */
export function sayMarked(node, text, span, mark) {
  if (!span) return say(node, text);
  node.dir = "auto";
  const marked = el("mark", { class: mark });
  marked.append(...shown(text.slice(span[0], span[1])));
  node.append(...shown(text.slice(0, span[0])), marked, ...shown(text.slice(span[1])));
  return node;
}

const PIECE = 4000;

/** As `sayMarked`, for texts of any length: in blocks, of which the browser lays out only those in sight. */
export function sayLong(node, text, span, mark) {
  if (text.length <= 5 * PIECE) return sayMarked(node, text, span, mark);
  const [start, end] = span || [text.length, text.length];
  pieces(node, text.slice(0, start));
  if (span) node.append(sayMarked(el("div"), text.slice(start, end), [0, end - start], mark));
  pieces(node, text.slice(end));
  return node;
}

function pieces(node, text) {
  for (let from = 0; from < text.length; ) {
    let to = Math.min(text.length, from + PIECE);
    const space = text.lastIndexOf(" ", to);
    if (to < text.length && space > to - 200) to = space + 1;
    if (to < text.length && (text.charCodeAt(to - 1) & 0xfc00) === 0xd800) to += 1; // not between the halves of a sign
    node.append(say(el("div", { class: "piece" }), text.slice(from, to)));
    from = to;
  }
}

function shown(text) {
  const unseen = text.match(UNSEEN);
  if (!unseen) return [text];
  if (unseen.length > MANY) return [text.replace(UNSEEN, "\ufffd")];
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(UNSEEN)) {
    parts.push(text.slice(from, found.index));
    const code = found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    parts.push(el("span", { class: "unseen", title: "a character that is not seen" }, `U+${code}`));
    from = found.index + found[0].length;
  }
  parts.push(text.slice(from));
  return parts;
}

/** Text for places that take no elements (titles, options): unseen characters become U+FFFD. */
export function plain(text) {
  return String(text).replace(UNSEEN, "\ufffd");
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** 0.6, 1.35, -12, 1e-5: three digits at most. */
export function figure(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return value === 0 ? "0" : String(Number(value.toPrecision(3)));
}

/** "1 h 5 min", "12 min 3 s", "41 s". */
export function duration(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}
