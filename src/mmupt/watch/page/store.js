// All groups of the run as one list: what can be filtered and sorted without asking the server.

/** What a filter is when it lets everything pass. Shares are in per cent, as people type them. */
export const EVERYTHING = Object.freeze({
  stage: "", stepMin: "", stepMax: "", shareMin: "", shareMax: "", flipped: "", read: "", role: "", q: "", sort: "new",
});

export class Groups {
  constructor() {
    this.files = new Map(); // "stage/step" -> file as the server sent it
    this.rows = []; // in the order of stages, steps, rows
    this.byName = new Map(); // "stage/step/row" -> row
    this.visits = new Map(); // stage and prompt -> its rows that answer, in order
    this.stages = [];
    this.roles = [];
    this.order = []; // names of stages as the recipe has them
  }

  /** The order of the recipe's stages; whether it is another one now. */
  arrange(names) {
    if (names.join("\n") === this.order.join("\n")) return false;
    this.order = names;
    this.build();
    return true;
  }

  /** Takes an answer of /api/groups in; whether anything has changed. `begun`: all that was known is void. */
  take(news, begun) {
    let changed = begun && this.files.size > 0;
    if (begun) this.files.clear();
    for (const [serial, stage, step] of news.gone) {
      const kept = this.files.get(`${stage}/${step}`);
      if (kept && kept.serial < serial) changed = this.files.delete(`${stage}/${step}`) || changed;
    }
    for (const file of news.files) {
      file.rows = rowsOf(file);
      this.files.set(`${file.stage}/${file.step}`, file);
      changed = true;
    }
    if (changed) this.build();
    return changed;
  }

  build() {
    const files = [...this.files.values()].sort(
      (a, b) => this.place(a.stage) - this.place(b.stage) || compare(a.stage, b.stage) || a.step - b.step,
    );
    this.rows = files.flatMap((file) => file.rows);
    this.stages = [...new Set(files.map((file) => file.stage))];
    this.roles = [...new Set(this.rows.map((row) => row.role))].sort();
    this.byName = new Map(this.rows.map((row) => [row.name, row]));
    this.visits = new Map();
    for (const row of this.rows) {
      row.place = this.stages.indexOf(row.stage);
      row.flipped = null;
      row.changed = 0;
      if (row.role !== "answer") continue;
      const visits = this.visits.get(row.prompt);
      if (visits) visits.push(row);
      else this.visits.set(row.prompt, [row]);
    }
    for (const visits of this.visits.values()) follow(visits);
  }

  place(stage) {
    const index = this.order.indexOf(stage);
    return index < 0 ? this.order.length : index;
  }

  /** The rows that pass, sorted. `found` is null, or a map from a file's serial to the set of rows a search has found. */
  select(filter, found) {
    const passed = this.rows.filter((row) => passes(row, filter, found));
    return passed.sort(ORDERS[filter.sort] || ORDERS.new);
  }
}

/** Whether the majority has changed since the last visit that had one (null: nothing to compare with), and by how much
 * the share differs between the first and the latest visit. */
function follow(visits) {
  let last = null;
  for (const row of visits) {
    if (row.key === null) continue;
    if (last !== null) row.flipped = row.key !== last;
    last = row.key;
  }
  const first = visits[0];
  const latest = visits[visits.length - 1];
  const other = first.key !== null && latest.key !== null && first.key !== latest.key ? 1 : 0;
  for (const row of visits) row.changed = visits.length > 1 ? other + Math.abs(latest.share - first.share) : -1;
}

function rowsOf(file) {
  return file.id.map((id, row) => ({
    name: `${file.stage}/${file.step}/${row}`,
    prompt: `${file.stage}\n${id}`,
    stage: file.stage, step: file.step, serial: file.serial, row, id,
    visit: file.visit[row], role: file.role[row], question: file.questions[file.question[row]],
    answer: file.answer[row], key: file.key[row], share: file.share[row], reward: file.reward[row],
    size: file.size[row], unread: file.unread[row], tie: file.tie[row], sizes: file.sizes[row],
    place: 0, flipped: null, changed: 0,
  }));
}

export function passes(row, filter, found) {
  if (filter.stage !== "" && row.stage !== filter.stage) return false;
  if (filter.role !== "" && row.role !== filter.role) return false;
  if (filter.stepMin !== "" && row.step < Number(filter.stepMin)) return false;
  if (filter.stepMax !== "" && row.step > Number(filter.stepMax)) return false;
  if (filter.shareMin !== "" && 100 * row.share < Number(filter.shareMin) - 1e-6) return false;
  if (filter.shareMax !== "" && 100 * row.share > Number(filter.shareMax) + 1e-6) return false;
  if (filter.flipped !== "" && row.flipped !== (filter.flipped === "yes")) return false;
  if (filter.read === "all" && row.unread > 0) return false;
  if (filter.read === "some" && row.unread === 0) return false;
  if (filter.read === "none" && row.unread < row.size) return false;
  if (found !== null && !(found.get(row.serial) || NONE).has(row.row)) return false;
  return true;
}

const NONE = new Set();
const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
const byAge = (a, b) => a.place - b.place || a.step - b.step || a.row - b.row;
const newest = (a, b) => b.place - a.place || b.step - a.step || a.row - b.row;
const ORDERS = {
  new: newest,
  old: byAge,
  "share-down": (a, b) => b.share - a.share || newest(a, b),
  "share-up": (a, b) => a.share - b.share || newest(a, b),
  "reward-down": (a, b) => b.reward - a.reward || newest(a, b),
  "reward-up": (a, b) => a.reward - b.reward || newest(a, b),
  unread: (a, b) => b.unread / b.size - a.unread / a.size || newest(a, b),
  changed: (a, b) => b.changed - a.changed || compare(a.prompt, b.prompt) || newest(a, b),
};
