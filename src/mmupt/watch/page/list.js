// A list of any length: only the rows in sight are elements, and they are used again as one scrolls.

import { el, percent, plain, say } from "./dom.js";

const HEIGHT = 50; // pixels a row, as in style.css
const BEYOND = 6; // rows kept above and below the sight

export class List {
  constructor(frame, spacer, open) {
    this.frame = frame;
    this.spacer = spacer;
    this.rows = [];
    this.selected = null; // name of a row
    this.places = new Map(); // name -> index
    this.elements = new Map(); // index -> element
    this.waiting = false;
    frame.addEventListener("scroll", () => this.soon());
    new ResizeObserver(() => this.soon()).observe(frame);
    spacer.addEventListener("click", (event) => {
      const row = event.target.closest(".item");
      if (row) open(row.dataset.name);
    });
  }

  /** Shows `rows`. What stood on top stays on top where it still is there, unless one was at the very top. */
  show(rows, anchored) {
    const top = this.rows[Math.floor(this.frame.scrollTop / HEIGHT)];
    const rest = this.frame.scrollTop % HEIGHT;
    this.rows = rows;
    this.places = new Map(rows.map((row, index) => [row.name, index]));
    this.spacer.style.height = `${rows.length * HEIGHT}px`;
    for (const element of this.elements.values()) element.remove();
    this.elements.clear();
    if (!anchored) this.frame.scrollTop = 0;
    else if (this.frame.scrollTop > 0 && top && this.places.has(top.name)) {
      this.frame.scrollTop = this.places.get(top.name) * HEIGHT + rest;
    }
    this.draw();
  }

  select(name) {
    this.selected = name;
    const index = this.places.get(name);
    if (index !== undefined) {
      const top = index * HEIGHT;
      const { scrollTop, clientHeight } = this.frame;
      if (top < scrollTop) this.frame.scrollTop = top;
      else if (top + HEIGHT > scrollTop + clientHeight) this.frame.scrollTop = top + HEIGHT - clientHeight;
    }
    for (const element of this.elements.values()) mark(element, element.dataset.name === name);
    this.draw();
  }

  /** The row `by` places from the selected one; the first where none is selected. */
  near(by) {
    const index = this.places.get(this.selected);
    const next = index === undefined ? 0 : Math.min(this.rows.length - 1, Math.max(0, index + by));
    return this.rows[next];
  }

  soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    const first = Math.max(0, Math.floor(this.frame.scrollTop / HEIGHT) - BEYOND);
    const last = Math.min(this.rows.length, Math.ceil((this.frame.scrollTop + this.frame.clientHeight) / HEIGHT) + BEYOND);
    for (const [index, element] of this.elements) {
      if (index < first || index >= last) {
        element.remove();
        this.elements.delete(index);
      }
    }
    const added = document.createDocumentFragment();
    for (let index = first; index < last; index += 1) {
      if (this.elements.has(index)) continue;
      const element = item(this.rows[index]);
      element.style.top = `${index * HEIGHT}px`;
      mark(element, this.rows[index].name === this.selected);
      this.elements.set(index, element);
      added.append(element);
    }
    this.spacer.append(added);
  }
}

function mark(element, selected) {
  element.classList.toggle("selected", selected);
  element.setAttribute("aria-selected", String(selected));
}

function item(row) {
  const answer = row.answer === null ? el("span", { class: "muted" }, row.tie ? "tie" : "none") : say(el("b"), row.answer);
  const element = el(
    "div", { class: "item", role: "option" },
    el("div", { class: "line" },
      say(el("span", { class: "question" }), row.question.replaceAll("<image>", "").trim() || "(no question)"),
      row.flipped ? el("span", { class: "flag flipped", title: "the majority has changed since the visit before" }, "flipped") : null,
      row.unread ? el("span", { class: "flag", title: "answers that could not be read" }, `${row.unread} unread`) : null,
      row.role !== "answer" ? el("span", { class: "flag" }, plain(row.role)) : null,
    ),
    el("div", { class: "line muted" },
      el("span", { class: "step" }, `${plain(row.stage)} ${row.step}`),
      ballot(row),
      el("span", { class: "share" }, percent(row.share)),
      el("span", { class: "answer" }, answer),
    ),
  );
  element.dataset.name = row.name;
  return element;
}

/** The vote as one bar: the clusters side by side, what could not be read hatched. */
function ballot(row) {
  const bar = el("span", { class: "ballot", title: row.sizes.join(" : ") });
  row.sizes.forEach((size, k) => {
    const part = el("i", { class: `k${Math.min(k, 7)}` });
    part.style.width = `${(100 * size) / row.size}%`;
    bar.append(part);
  });
  if (row.unread) {
    const part = el("i", { class: "void" });
    part.style.width = `${(100 * row.unread) / row.size}%`;
    bar.append(part);
  }
  return bar;
}
