// Curves of a stage, drawn as the report draws them: the values pale, their running mean strong, the guard's steps marked.

import { el, figure, svg } from "./dom.js";

const WIDTH = 360, HEIGHT = 150, LEFT = 44, RIGHT = 8, TOP = 8, BOTTOM = 20;
const POINTS = 600; // more are drawn as the least and the largest of each stretch
const SMOOTH_FROM = 40; // steps

/** A figure with a curve; `null` where there are too few values. */
export function chart({ title, steps, values, share, marks = [], start = null, best = null }) {
  const points = [];
  for (let i = 0; i < steps.length; i += 1) {
    if (values[i] !== null && values[i] !== undefined) points.push([steps[i], values[i]]);
  }
  if (points.length < 2) return null;
  const shown = (value) => (share ? `${(100 * value).toFixed(1)} %` : figure(value));
  const last = el("span", { class: "muted" }, start === null ? shown(points.at(-1)[1]) : `${shown(start)} → ${shown(points.at(-1)[1])}`);
  const all = points.map((point) => point[1]).concat(start === null ? [] : [start]);
  const low = Math.min(...range(all)), high = Math.max(...range(all));
  const room = Math.max(0.08 * (high - low), share ? 0.02 : 0) || 0.1 * Math.abs(high) || 0.1;
  const bottom = share && low >= 0 ? Math.max(low - room, -0.01) : low - room;
  const ceiling = share && high <= 1 ? Math.min(high + room, 1.01) : high + room;
  const from = points[0][0], to = points.at(-1)[0];
  const x = (step) => LEFT + ((step - from) / (to - from || 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + ((ceiling - value) / (ceiling - bottom)) * (HEIGHT - TOP - BOTTOM);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  for (const tick of ticks(bottom, ceiling, 6)) {
    drawing.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }));
    drawing.append(label(LEFT - 6, y(tick) + 3, "end", share ? `${figure(100 * tick)}%` : figure(tick)));
  }
  for (const tick of ticks(from, to, 5)) {
    const anchor = x(tick) > WIDTH - 24 ? "end" : "middle";
    if (Number.isInteger(tick)) drawing.append(label(anchor === "end" ? WIDTH - 2 : x(tick), HEIGHT - 6, anchor, String(tick)));
  }
  for (const [step, grave] of marks) {
    if (step < from || step > to) continue;
    drawing.append(svg("line", { class: grave ? "mark grave" : "mark", x1: x(step), x2: x(step), y1: TOP, y2: HEIGHT - BOTTOM }));
  }
  if (start !== null) drawing.append(svg("line", { class: "start", x1: LEFT, x2: WIDTH - RIGHT, y1: y(start), y2: y(start) }));
  const smooth = points.length >= SMOOTH_FROM && new Set(all).size > 5;
  drawing.append(svg("path", { class: smooth ? "curve pale" : "curve", d: path(thinned(points), x, y) }));
  if (smooth) drawing.append(svg("path", { class: "curve", d: path(thinned(runningMean(points)), x, y) }));
  const bestPoint = best === null ? undefined : points.find((point) => point[0] === best);
  if (bestPoint) drawing.append(svg("circle", { class: "best", cx: x(bestPoint[0]), cy: y(bestPoint[1]), r: 4 }));
  follow(drawing, last, points, x, y, shown);
  return el("figure", { class: "card chart" }, el("figcaption", {}, title, last), drawing);
}

/** [least, largest], however many there are. */
function range(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}

function runningMean(points) {
  const reach = Math.floor(points.length / 20);
  const sums = [0];
  for (const [, value] of points) sums.push(sums.at(-1) + value);
  return points.map(([step], i) => {
    const from = Math.max(0, i - reach), to = Math.min(points.length, i + reach + 1);
    return [step, (sums[to] - sums[from]) / (to - from)];
  });
}

function thinned(points) {
  if (points.length <= POINTS) return points;
  const stretch = Math.ceil((2 * points.length) / POINTS);
  const kept = [];
  for (let i = 0; i < points.length; i += stretch) {
    const part = points.slice(i, i + stretch);
    const low = part.reduce((a, b) => (b[1] < a[1] ? b : a)), high = part.reduce((a, b) => (b[1] > a[1] ? b : a));
    kept.push(...(low[0] <= high[0] ? [low, high] : [high, low]));
  }
  return kept;
}

function path(points, x, y) {
  return points.map(([step, value], i) => `${i ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
}

function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  if (!(rough > 0)) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].find((u) => u * power >= rough) * power;
  const found = [];
  for (let k = Math.ceil(low / unit); k * unit <= high; k += 1) found.push(Number((k * unit).toPrecision(6)));
  return found;
}

function label(x, y, anchor, text) {
  return svg("text", { x, y, "text-anchor": anchor }, text);
}

/** Under the pointer: the nearest step and its value. */
function follow(drawing, last, points, x, y, shown) {
  const still = last.textContent;
  const dot = svg("circle", { class: "dot", r: 3.5, visibility: "hidden" });
  drawing.append(dot);
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * WIDTH;
    let nearest = points[0];
    for (const point of points) if (Math.abs(x(point[0]) - at) < Math.abs(x(nearest[0]) - at)) nearest = point;
    dot.setAttribute("cx", x(nearest[0]));
    dot.setAttribute("cy", y(nearest[1]));
    dot.setAttribute("visibility", "visible");
    last.textContent = `step ${nearest[0]}: ${shown(nearest[1])}`;
  });
  drawing.addEventListener("pointerleave", () => {
    dot.setAttribute("visibility", "hidden");
    last.textContent = still;
  });
}
