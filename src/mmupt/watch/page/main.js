// Ties it together: what is asked of the server and when, what the address says, and the keys.

import { ask, GroupFeed, MetricsFeed } from "./api.js";
import { Detail } from "./detail.js";
import { duration, el, plain } from "./dom.js";
import { List } from "./list.js";
import { Overview } from "./overview.js";
import { EVERYTHING, Groups } from "./store.js";

const EVERY = 2000, EVERY_UNSEEN = 15000; // milliseconds between questions to the server
const FIELDS = { q: "f-q", stage: "f-stage", stepMin: "f-step-min", stepMax: "f-step-max", shareMin: "f-share-min",
  shareMax: "f-share-max", flipped: "f-flipped", read: "f-read", role: "f-role", sort: "f-sort" };
const THEMES = ["", "light", "dark"];

const at = (id) => document.getElementById(id);
const groups = new Groups();
const metrics = new MetricsFeed();
const view = { tab: "run", open: "", beside: false, curves: "", filter: { ...EVERYTHING } };
let run = null;
let found = null; // what the search of view.filter.q has found, null without one
let foundFor = ""; // the query that `found` answers
let reading = 0; // files of groups that the server has still to read

const overview = new Overview(at("run"), (stage) => go({ curves: stage }));
const list = new List(at("rows"), at("spacer"), (name) => go({ open: name, beside: false }));
const detail = new Detail(at("group"), groups, (name) => go({ open: name, beside: false }), (beside) => go({ beside }));
const feed = new GroupFeed((news, begun) => {
  reading = news.left;
  if (groups.take(news, begun)) groupsChanged();
  at("count").textContent = groups.rows.length ? groups.rows.length.toLocaleString("en") : "";
});

// ---- the address: everything that is shown has a name ----

function address() {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(view.filter)) if (value !== EVERYTHING[key]) query.set(key, value);
  if (view.open) query.set("open", view.open);
  if (view.beside) query.set("beside", "1");
  if (view.curves) query.set("curves", view.curves);
  const text = query.toString();
  return `#${view.tab}${text ? `?${text}` : ""}`;
}

function readAddress() {
  const [tab, text = ""] = location.hash.slice(1).split(/\?(.*)/s);
  const query = new URLSearchParams(text);
  view.tab = tab === "groups" ? "groups" : "run";
  view.open = query.get("open") || "";
  view.beside = query.get("beside") === "1";
  view.curves = query.get("curves") || "";
  for (const key of Object.keys(EVERYTHING)) view.filter[key] = query.get(key) ?? EVERYTHING[key];
  show(false);
}

/** Shows something else, and writes it into the address. */
function go(changes, keep = false) {
  Object.assign(view, changes);
  history.replaceState(null, "", address());
  show(keep);
}

function show(keep) {
  at("run").hidden = view.tab !== "run";
  at("groups").hidden = view.tab !== "groups";
  at("tab-run").classList.toggle("on", view.tab === "run");
  at("tab-groups").classList.toggle("on", view.tab === "groups");
  if (view.tab === "run") {
    if (run) overview.show(run, metrics.stages, view.curves);
    return;
  }
  for (const [key, id] of Object.entries(FIELDS)) if (at(id).value !== view.filter[key]) at(id).value = view.filter[key];
  if (!keep) renew(false);
  list.select(view.open);
  detail.show(groups.byName.get(view.open), view.beside);
}

// ---- groups ----

function groupsChanged() {
  options("f-stage", groups.stages, "all");
  options("f-role", groups.roles, "all");
  if (view.filter.q) search();
  if (view.tab === "groups") {
    renew(true);
    detail.show(groups.byName.get(view.open), view.beside);
  }
}

/** Filters and sorts what is there; `anchored`: the list stays where it is. */
function renew(anchored) {
  const begun = performance.now();
  const rows = groups.select(view.filter, view.filter.q ? found || new Map() : null);
  list.show(rows, anchored);
  if (!anchored) list.select(view.open);
  const total = groups.rows.length.toLocaleString("en");
  const still = reading ? `, reading ${reading.toLocaleString("en")} more files` : "";
  at("shown").textContent = groups.rows.length || !reading ? `${rows.length.toLocaleString("en")} of ${total} groups${still}` : "reading…";
  performance.measure("mmupt-filter", { start: begun });
  if (rows.length && !performance.getEntriesByName("mmupt-first-list").length) performance.mark("mmupt-first-list");
}

async function search() {
  const query = view.filter.q;
  if (!query) {
    found = null;
    foundFor = "";
    return renew(false);
  }
  const begun = performance.now();
  try {
    const answer = await ask("/api/search", { q: query });
    if (query !== view.filter.q) return; // one has typed on
    found = new Map(answer.found.map(([serial, rows]) => [serial, new Set(rows)]));
    const again = foundFor === query;
    foundFor = query;
    renew(again);
    performance.measure("mmupt-search", { start: begun });
  } catch { /* the next poll says that the server is gone */ }
}

function filterChanged() {
  for (const [key, id] of Object.entries(FIELDS)) if (key !== "q") view.filter[key] = at(id).value;
  go({}, true);
  renew(false);
}

let typing = 0;
function queryChanged() {
  view.filter.q = at("f-q").value;
  history.replaceState(null, "", address());
  clearTimeout(typing);
  typing = setTimeout(search, view.filter.q ? 120 : 0);
}

function clearFilters() {
  view.filter = { ...EVERYTHING };
  found = null;
  go({});
}

function options(id, values, everything) {
  const select = at(id);
  const wanted = ["", ...values];
  if (wanted.length === select.options.length && wanted.every((value, i) => select.options[i].value === value)) return;
  const chosen = view.filter[id === "f-stage" ? "stage" : "role"];
  select.replaceChildren(...wanted.map((value) => el("option", { value }, value === "" ? everything : plain(value))));
  select.value = chosen;
  select.closest("label").hidden = values.length < 2 && !chosen; // a choice of one is none
}

function move(by) {
  const row = list.near(by);
  if (row) go({ open: row.name, beside: false }, true);
}

function visit(by) {
  const row = groups.byName.get(view.open);
  const visits = row ? groups.visits.get(row.prompt) || [] : [];
  const next = visits[visits.indexOf(row) + by];
  if (next) go({ open: next.name, beside: false }, true);
}

// ---- keys ----

const KEYS = {
  j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
  PageDown: () => move(10), PageUp: () => move(-10), g: () => move(-Infinity), G: () => move(Infinity),
  Home: () => move(-Infinity), End: () => move(Infinity),
  ArrowLeft: () => visit(-1), ArrowRight: () => visit(1), b: () => go({ beside: !view.beside }, true),
  c: clearFilters,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || at("help").open) return;
  const typed = event.target.closest("input, select, textarea");
  if (event.key === "Escape" && typed) return typed.blur();
  if (typed) return;
  const anywhere = { 1: () => go({ tab: "run" }), 2: () => go({ tab: "groups" }), t: nextTheme, "?": () => at("help").showModal(),
    "/": () => { go({ tab: "groups" }, true); at("f-q").focus(); at("f-q").select(); } };
  const act = anywhere[event.key] || (view.tab === "groups" ? KEYS[event.key] : undefined);
  if (!act) return;
  event.preventDefault();
  act();
});

// ---- light and dark ----

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  try {
    localStorage.setItem("mmupt-theme", theme);
  } catch { /* a browser that keeps nothing: for this page only, then */ }
}

function nextTheme() {
  const now = THEMES.indexOf(document.documentElement.dataset.theme || "");
  setTheme(THEMES[(now + 1) % THEMES.length]);
}

// ---- the run, again and again ----

function tell(text) {
  at("notice").hidden = !text;
  at("notice").textContent = text;
}

function showRun() {
  document.title = `${plain(run.name)} · mmupt`;
  at("name").textContent = plain(run.name);
  const lights = run.stages.map((stage) => (stage.guard ? stage.guard.light : "")).filter(Boolean);
  at("light").className = `dot ${lights.at(-1) || "none"}`;
  at("light").title = lights.length ? "the guard of the newest stage that has one" : "no guard so far";
  const age = run.quiet === null ? "" : `, last step ${duration(run.quiet)} ago`;
  at("status").textContent = run.writing ? `running${age}` : run.report ? "ended" : `not running${age}`;
}

async function pollRun() {
  run = await ask("/api/run");
  if (groups.arrange(run.stages.map((stage) => stage.name))) groupsChanged();
  showRun();
  await metrics.poll();
  if (view.tab === "run") overview.show(run, metrics.stages, view.curves);
}

async function poll() {
  try {
    await Promise.all([feed.poll(), pollRun()]);
    if (!groups.rows.length && view.tab === "groups") renew(true);
    tell("");
  } catch (error) {
    tell(`The page gets no answer (${error.message}). Is mmupt watch still there? It asks again.`);
  }
  setTimeout(poll, document.hidden ? EVERY_UNSEEN : EVERY);
}

try {
  setTheme(localStorage.getItem("mmupt-theme") || "");
} catch { /* as above */ }
at("filters").addEventListener("submit", (event) => event.preventDefault());
at("f-q").addEventListener("input", queryChanged);
for (const [key, id] of Object.entries(FIELDS)) if (key !== "q") at(id).addEventListener("input", filterChanged);
at("f-clear").addEventListener("click", clearFilters);
at("tab-run").addEventListener("click", () => go({ tab: "run" }));
at("tab-groups").addEventListener("click", () => go({ tab: "groups" }));
at("theme").addEventListener("click", nextTheme);
at("help-button").addEventListener("click", () => at("help").showModal());
window.addEventListener("hashchange", readAddress);
options("f-stage", [], "all");
options("f-role", [], "all");
readAddress();
poll();
if (view.filter.q) search();
