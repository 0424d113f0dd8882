// Questions to the server of this page.

export async function ask(path, query = {}) {
  const answer = await fetch(`${path}?${new URLSearchParams(query)}`, { cache: "no-store" });
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error || `the server answered ${answer.status}`);
  return value;
}

export function pictureAddress(row, number) {
  return `/picture?${new URLSearchParams({ stage: row.stage, step: row.step, row: row.row, number, v: row.serial })}`;
}

/** Groups, kept up to date: hands every answer with news to `take` until there is no more for now. */
export class GroupFeed {
  constructor(take) {
    this.take = take;
    this.boot = "";
    this.after = 0;
  }

  async poll() {
    for (;;) {
      const news = await ask("/api/groups", { boot: this.boot, after: this.after });
      const begun = news.boot !== this.boot;
      this.boot = news.boot;
      this.after = news.next;
      this.take(news, begun);
      if (!news.more) return;
    }
  }
}

/** Metrics, kept up to date: `stages` maps a name to {kind, step: [...], KEY: [...]}. */
export class MetricsFeed {
  constructor() {
    this.stages = new Map();
    this.place = "";
  }

  /** Whether there was anything new. */
  async poll() {
    let changed = false;
    for (;;) {
      const news = await ask("/api/metrics", { after: this.place });
      if (news.reset) this.stages.clear();
      changed = changed || news.reset || Object.keys(news.stages).length > 0;
      for (const [name, part] of Object.entries(news.stages)) this.append(name, part);
      this.place = news.next;
      if (!news.more) return changed;
    }
  }

  append(name, part) {
    const own = this.stages.get(name) || { kind: part.kind, step: [] };
    this.stages.set(name, own);
    const before = own.step.length;
    const count = part.step.length;
    for (const key of new Set([...Object.keys(own), ...Object.keys(part)])) {
      if (key === "kind") continue;
      if (!own[key]) own[key] = new Array(before).fill(null);
      for (const value of part[key] || new Array(count).fill(null)) own[key].push(value);
    }
  }
}
