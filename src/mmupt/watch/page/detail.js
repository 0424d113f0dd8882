// One group in full: picture, question, the vote, every response; or the first and the latest visit side by side.

import { ask, pictureAddress } from "./api.js";
import { el, figure, percent, plain, say, sayLong, sayMarked } from "./dom.js";

const KEPT = 60; // groups that are not asked for again

export class Detail {
  constructor(frame, groups, open, compare) {
    this.frame = frame;
    this.groups = groups;
    this.open = open; // (name) => shows another group
    this.compare = compare; // (boolean) => side by side or not
    this.kept = new Map();
    this.turn = 0;
    this.shown = "";
  }

  /** Shows a row, or nothing; `beside`: the first and the latest visit of its prompt. */
  async show(row, beside) {
    const turn = ++this.turn;
    if (!row) {
      this.shown = "";
      this.frame.replaceChildren(el("p", { class: "empty muted" }, "Choose a group: j and k move, / searches, ? shows all keys."));
      return;
    }
    const visits = row.role === "answer" ? this.groups.visits.get(row.prompt) || [row] : [row];
    const both = beside && visits.length > 1;
    const wanted = both ? [visits[0], visits[visits.length - 1]] : [row];
    const shown = JSON.stringify([wanted.map((r) => [r.name, r.serial]), visits.length, row.name, both]);
    if (shown === this.shown) return; // the list has been renewed, this group has not
    try {
      const found = await Promise.all(wanted.map((r) => this.fetch(r)));
      if (turn !== this.turn) return;
      this.shown = shown;
      const numbers = numbered(found);
      const views = found.map((group, i) => this.group(wanted[i], group, numbers, both));
      this.frame.replaceChildren(this.bar(row, visits, both), el("div", { class: both ? "pair" : "" }, ...views));
      this.frame.scrollTop = 0;
    } catch (error) {
      if (turn !== this.turn) return;
      this.shown = "";
      this.frame.replaceChildren(say(el("p", { class: "empty bad" }), `This group cannot be shown: ${error.message}`));
    }
  }

  async fetch(row, whole = false) {
    const key = `${row.serial}/${row.row}/${whole}`;
    if (!this.kept.has(key)) {
      const query = { stage: row.stage, step: row.step, row: row.row };
      const group = await ask("/api/group", whole ? { ...query, whole: 1 } : query);
      if (whole) return group; // may be large
      this.kept.set(key, group);
      if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
    }
    return this.kept.get(key);
  }

  /** Where one is among the visits of this prompt. */
  bar(row, visits, both) {
    const bar = el("div", { class: "visits" });
    if (visits.length > 1) {
      bar.append(el("span", { class: "muted" }, `${visits.length} visits`));
      const buttons = visits.length > 12 ? [...visits.slice(0, 5), null, ...visits.slice(-5)] : visits;
      for (const visit of buttons) {
        if (visit === null) bar.append(el("span", { class: "muted" }, "…"));
        else bar.append(el("button", {
          type: "button", class: visit === row && !both ? "on" : "", on: { click: () => this.open(visit.name) },
          title: visit.answer === null ? "nobody won" : `majority ${plain(visit.answer)}`,
        }, `step ${visit.step}: ${percent(visit.share)}${visit.flipped ? " ⇄" : ""}`));
      }
      bar.append(el("button", {
        type: "button", class: both ? "on" : "", title: "first and latest visit (b)",
        on: { click: () => this.compare(!both) },
      }, "before and after"));
    } else if (row.role === "answer") {
      bar.append(el("span", { class: "muted" }, "This prompt has come up once in this stage."));
    }
    return bar;
  }

  group(row, group, numbers, compact) {
    const question = el("div", { class: "asked" });
    this.text(question, group.question, row, (whole) => whole.question, { clean: (t) => t.replaceAll("<image>", "").trim() });
    const choices = el("ol", { class: "choices", type: "A" });
    for (const choice of group.choices) choices.append(say(el("li"), choice.text));
    const about = [`${plain(row.stage)}, step ${row.step}`, `visit ${group.visit + 1}`, `policy ${group.policy_version}`];
    if (group.role !== "answer") about.push(plain(group.role));
    return el("article", { class: "card" },
      el("div", { class: "head" },
        pictures(row, group),
        el("div", { class: "said" },
          question,
          group.choices.length ? choices : null,
          el("div", { class: "muted small" }, say(el("bdi"), group.id), ` · ${about.join(" · ")}`),
          verdict(row, group),
          vote(group, numbers),
        ),
      ),
      el("div", { class: "responses" }, ...group.responses.map((response, i) => this.response(row, group, response, i, numbers, compact))),
    );
  }

  response(row, group, response, i, numbers, compact) {
    const k = response.cluster === null ? null : numbers.get(group.clusters[response.cluster].key);
    const text = el("div", { class: "text" });
    const mark = k === null ? "" : `k${Math.min(k, 7)}`;
    this.text(text, response, row, (whole) => whole.responses[i], { mark });
    const answer = el("span", { class: "answer" });
    if (response.answer === null) answer.append(el("span", { class: "muted" }, "unreadable"));
    else {
      answer.append("says ");
      say(answer.appendChild(el("b")), response.answer.text.slice(0, 200));
    }
    const sign = response.advantage > 0 ? "+" : "";
    return el("div", { class: "response" },
      el("span", { class: `badge ${k === null ? "void" : mark}`, title: k === null ? "could not be read" : `cluster ${k + 1}` }, k === null ? "–" : String(k + 1)),
      el("div", {},
        text,
        el("div", { class: "muted small facts" },
          answer,
          el("span", {}, "reward ", el("b", { class: response.reward > 0 ? "good" : "" }, figure(response.reward))),
          el("span", {}, "advantage ", el("b", { class: response.advantage > 0 ? "good" : response.advantage < 0 ? "bad" : "" }, `${sign}${figure(response.advantage)}`)),
          compact ? null : el("span", {}, `${response.tokens} tokens`),
          response.stop === "length" ? el("span", { class: "flag" }, "cut off") : null,
        ),
      ),
    );
  }

  /** A text, with a button for the rest where it was too long to be sent unasked. */
  text(node, part, row, find, { mark = "", clean = (text) => text } = {}) {
    sayMarked(node, part.span ? part.text : clean(part.text), part.span, mark);
    const left = part.length - part.text.length;
    if (left <= 0) return;
    const more = el("button", { type: "button", class: "more" }, `… ${left.toLocaleString("en")} more characters: show all`);
    more.addEventListener("click", async () => {
      more.disabled = true;
      try {
        const whole = find(await this.fetch(row, true));
        node.replaceChildren();
        sayLong(node, whole.span ? whole.text : clean(whole.text), whole.span, mark);
      } catch (error) {
        more.textContent = plain(error.message);
      }
    });
    node.append(more);
  }
}

function verdict(row, group) {
  const won = group.clusters.find((cluster) => cluster.won);
  const says = el("div", { class: "verdict" });
  if (!group.clusters.length) says.append("No answer could be read.");
  else if (!won) says.append(group.tie ? "Tied: nobody won." : "Nobody won.");
  else {
    says.append(`${percent(group.share)} agree on `);
    say(says.appendChild(el("b")), won.answer.text.slice(0, 200));
    if (group.tie) says.append(", a tie that was broken");
  }
  if (row.flipped) says.append(" ", el("span", { class: "flag flipped" }, "flipped since the visit before"));
  return says;
}

/** Numbers of answers from 0, the same in all groups shown beside each other: those of the first, then what is new. */
function numbered(groups) {
  const numbers = new Map();
  for (const group of groups) for (const { key } of group.clusters) if (!numbers.has(key)) numbers.set(key, numbers.size);
  return numbers;
}

/** The clusters as bars, numbered as the responses are. */
function vote(group, numbers) {
  const size = group.responses.length;
  const rows = group.clusters.slice(0, 12).map((cluster) => {
    const k = numbers.get(cluster.key);
    return ballot(`k${Math.min(k, 7)}`, String(k + 1), say(el("span"), cluster.answer.text.slice(0, 200)), cluster.count, size);
  });
  const more = group.clusters.length - 12;
  const unread = group.responses.filter((response) => response.cluster === null).length;
  if (unread) rows.push(ballot("void", "–", el("span", { class: "muted" }, "unreadable"), unread, size));
  if (more > 0) rows.push(el("div", { class: "muted small wide" }, `${more} more answers`));
  return el("div", { class: "ballots" }, ...rows.flat());
}

function ballot(kind, name, answer, count, size) {
  const fill = el("i", { class: kind });
  fill.style.width = `${(100 * count) / size}%`;
  answer.classList.add("said-answer");
  return [
    el("span", { class: `badge ${kind}` }, name),
    answer,
    el("span", { class: "bar" }, fill),
    el("span", { class: "muted small" }, `${count} · ${percent(count / size)}`),
  ];
}

function pictures(row, group) {
  const frame = el("div", { class: "pictures" });
  group.pictures.forEach((label, number) => {
    const image = el("img", { alt: plain(label), title: plain(label), decoding: "async" });
    image.addEventListener("error", async () => {
      let why = "the picture cannot be shown";
      try {
        const answer = await fetch(image.src);
        if (!answer.ok) why = (await answer.json()).error;
      } catch { /* the server is gone, which the notice says */ }
      image.replaceWith(say(el("div", { class: "none small" }), why));
    });
    image.src = pictureAddress(row, number);
    frame.append(image);
  });
  return group.pictures.length ? frame : null;
}
