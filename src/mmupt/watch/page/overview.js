// The run as a whole: how far it is, its results, its guard, its curves.

import { chart } from "./curves.js";
import { duration, el, plain, say } from "./dom.js";

export class Overview {
  constructor(frame, choose) {
    this.frame = frame;
    this.choose = choose; // (stage) => shows the curves of another stage
    this.shown = "";
  }

  /** Draws anew only what has changed. `chosen` is the stage whose curves are shown, "" for the newest. */
  show(run, metrics, chosen) {
    const names = [...new Set([...run.stages.filter((s) => s.trains).map((s) => s.name), ...metrics.keys()])];
    const begun = names.filter((name) => metrics.has(name));
    const stage = names.includes(chosen) ? chosen : begun.at(-1) || names.at(-1) || "";
    const counts = [...metrics].map(([name, own]) => [name, own.step.length, own.step.at(-1)]);
    const shown = JSON.stringify([{ ...run, quiet: 0, writing: run.writing }, counts, stage]);
    if (shown === this.shown) return;
    this.shown = shown;
    const plan = run.stages.find((s) => s.name === stage);
    const guard = plan ? plan.guard : null;
    this.frame.replaceChildren(
      about(run),
      this.stages(run, metrics, names, stage),
      ...run.tables.map(results),
      guard ? guardCard(guard, stage) : "",
      curves(run, metrics.get(stage), guard),
      guard ? measured(run, guard) : "",
      problems(run),
    );
  }

  stages(run, metrics, names, chosen) {
    const cards = names.map((name) => {
      const plan = run.stages.find((s) => s.name === name);
      const own = metrics.get(name);
      const done = own ? own.step.at(-1) : 0;
      const total = plan && plan.steps ? plan.steps : null;
      const fill = el("i");
      fill.style.width = `${total ? Math.min(100, (100 * done) / total) : done ? 100 : 0}%`;
      const facts = [];
      if (own && own.seconds) facts.push(duration(sum(own.seconds)));
      const left = own && total && run.writing && done < total ? timeLeft(own.seconds, total - done) : null;
      if (left) facts.push(`about ${duration(left)} left`);
      if (own && own.tokens_per_second) facts.push(`${Math.round(own.tokens_per_second.at(-1) || 0).toLocaleString("en")} tokens a second`);
      const card = el("button", { type: "button", class: `card stage ${name === chosen ? "on" : ""}`, on: { click: () => this.choose(name) } },
        el("div", { class: "line" },
          say(el("b"), name),
          el("span", { class: "muted small" }, plan ? plan.words || plain(plan.kind) : ""),
          plan && plan.guard ? el("i", { class: `dot ${plan.guard.light}`, title: plain(`guard: ${plan.guard.did}`) }) : null,
        ),
        el("div", { class: "bar" }, fill),
        el("div", { class: "muted small" }, done ? `step ${done}${total ? ` of ${total}` : ""}` : "not begun", ...facts.map((fact) => ` · ${fact}`)),
      );
      return card;
    });
    return el("section", { class: "stages" }, ...cards);
  }
}

/** Seconds, by the middle of the last steps: one slow step does not count. */
function timeLeft(seconds, steps) {
  const last = (seconds || []).slice(-20).filter((s) => s !== null).sort((a, b) => a - b);
  return last.length ? last[Math.floor(last.length / 2)] * steps : null;
}

function sum(values) {
  return values.reduce((total, value) => total + (value || 0), 0);
}

function about(run) {
  const facts = run.facts.map(([key, value]) => el("div", {}, el("dt", {}, plain(key)), say(el("dd"), value)));
  return el("section", {},
    run.description ? say(el("p", { class: "lead" }), run.description) : "",
    el("dl", { class: "facts" }, ...facts),
  );
}

function results(table) {
  const head = ["model", ...table.columns, "unreadable", "questions"];
  const rows = table.rows.map((row) => el("tr", {},
    say(el("td", { class: "name" }), row.name),
    ...row.figures.map((f) => (f === null ? el("td", {}, "–") : el("td", { class: "figure" },
      el("b", {}, f.text),
      f.change ? el("span", { class: f.verdict > 0 ? "good" : f.verdict < 0 ? "bad" : "muted" }, ` ${f.change}`) : "",
      f.low === null ? "" : el("div", { class: "muted small" }, `${f.low.toFixed(1)} – ${f.high.toFixed(1)}`),
    ))),
    el("td", {}, row.unreadable), el("td", {}, plain(row.questions)),
  ));
  return el("section", {},
    el("h2", {}, table.title ? plain(table.title) : "Results so far", el("small", {}, " per cent, 95 % intervals; changes against the row above, coloured where chance is unlikely")),
    el("div", { class: "card scroll" }, el("table", { class: "results" },
      el("thead", {}, el("tr", {}, ...head.map((name) => el("th", {}, plain(name))))), el("tbody", {}, ...rows))),
  );
}

function guardCard(guard, stage) {
  const rows = guard.events.slice(-30).reverse().map((event) => el("tr", {},
    el("td", {}, event.step),
    el("td", { class: "wide" }, say(el("b"), event.signal), say(el("div", { class: "muted" }), event.text)),
    el("td", {}, event.start), el("td", {}, event.value), el("td", {}, event.bound),
    el("td", {}, ...event.done.map((done) => el("span", { class: `chip ${event.level}` }, plain(done))),
      ...event.not_done.map((done) => el("span", { class: "chip" }, `${plain(done)} not allowed`))),
  ));
  const head = ["step", "what was seen", "compared with", "seen", "bound", "what was done"];
  return el("section", {},
    el("h2", {}, "Guard", el("small", {}, ` of ${plain(stage)}: what it saw and did, without labels`)),
    el("div", { class: "card guard" },
      el("p", {}, el("i", { class: `dot ${guard.light}` }), say(el("b"), ` It ${guard.did}.`), " ", say(el("span", { class: "muted" }), guard.watched)),
      rows.length ? el("div", { class: "scroll" }, el("table", { class: "events" },
        el("thead", {}, el("tr", {}, ...head.map((name) => el("th", {}, name)))), el("tbody", {}, ...rows))) : "",
    ),
  );
}

function curves(run, own, guard) {
  if (!own) return el("p", { class: "muted" }, "No step yet: curves appear with the first two.");
  const charts = [];
  for (const [key, title, share, onlyIfItMoves] of run.names.curves) {
    const values = own[key];
    if (!values || (onlyIfItMoves && new Set(values.filter((v) => v !== null)).size === 1)) continue;
    const drawn = chart({ title, steps: own.step, values, share, marks: guard ? guard.marks : [] });
    if (drawn) charts.push(drawn);
  }
  if (!charts.length) return el("p", { class: "muted" }, "Too few steps for curves.");
  return el("section", {}, el("h2", {}, "Curves", el("small", {}, ` ${own.step.length} steps`)), el("div", { class: "charts" }, ...charts));
}

function measured(run, guard) {
  const steps = [0, ...guard.measurements.map((m) => m.step)];
  const charts = [];
  for (const [key, title, share] of run.names.measured) {
    const start = guard.start[key];
    if (start === null || start === undefined) continue;
    const values = [start, ...guard.measurements.map((m) => m[key])];
    const drawn = chart({ title, steps, values, share, marks: guard.marks, start, best: guard.best });
    if (drawn) charts.push(drawn);
  }
  if (!charts.length) return "";
  return el("section", {},
    el("h2", {}, "What the guard measured", el("small", {}, " on the watched prompts; dashed: the start; dot: the best model so far")),
    el("div", { class: "charts" }, ...charts));
}

function problems(run) {
  if (!run.problems.length) return "";
  return el("section", {}, el("h2", {}, "Missing"), el("ul", { class: "muted" }, ...run.problems.map((problem) => say(el("li"), problem))));
}

