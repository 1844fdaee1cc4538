// The timeline that can be zoomed: lanes for faults, breakers and marks, curves for rates and queues.

const LANE_PX = 18, CURVE_PX = 74, MAP_PX = 22, GAP_PX = 22, LANES_MAX = 10;
const MARKS = {
  "process.crash": "crash", "process.sigterm": "SIGTERM", "process.pause": "pause", "quarantine": "quarantined",
  "expire": "expired", "message.lost": "message lost", "clock.jump": "clock jump", "effect.lost": "effect lost",
  "lambda.throttled": "throttled", "lambda.filtered": "filtered",
};

function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  made.append(...children);
  return made;
}

// What the chart draws of a run, read once.
function chartData(run) {
  const lanes = run.packed.plan.map((fault) => ({ label: `${fault.target} ${fault.kind}`, title: fault.words, fault, strikes: [] }));
  const breakers = new Map(), marks = new Map(), levels = [], events = { sent: [], processed: [], failed: [] };
  const state = new State(run);
  const mark = (row, i) => { if (!marks.has(row)) marks.set(row, []); marks.get(row).push(run.time(i)); };
  const breaker = (name, t, to) => {
    if (!breakers.has(name)) breakers.set(name, []);
    const spans = breakers.get(name);
    if (spans.length && spans[spans.length - 1].state === to) return;
    if (spans.length) spans[spans.length - 1].end = t;
    spans.push({ start: t, end: run.end, state: to });
  };
  for (let i = 0; i < run.length; i++) {
    const kind = run.kind(i), rest = run.rest(i), t = run.time(i);
    state.apply(i);
    const last = levels[levels.length - 1];
    if (!last || last[1] !== state.waiting || last[2] !== state.flight || last[3] !== state.dead) {
      levels.push([t, state.waiting, state.flight, state.dead]);
    }
    if (kind === "send" && run.dead.has(rest.queue)) mark("dead letter", i);
    else if (kind === "send" && (!run.sources.size || run.sources.has(rest.queue))) events.sent.push(t);
    else if (kind === "move" && run.dead.has(rest.to)) mark("dead letter", i);
    else if (kind === (run.packed.effects ? "effect" : "delete")) events.processed.push(t);
    else if (kind === "call.failed" || (kind === "handler.end" && rest.outcome !== "ok")) events.failed.push(t);
    else if (kind === "fault.strike" && lanes[rest.fault]) lanes[rest.fault].strikes.push(t);
    else if (kind === "breaker.transition") {
      if (!breakers.has(rest.breaker)) breaker(rest.breaker, 0, String(rest.from).replace("_", "-"));
      breaker(rest.breaker, t, String(rest.to).replace("_", "-"));
    } else if (MARKS[kind]) mark(MARKS[kind], i);
    if (run.evidence.has(i + 1)) mark("evidence", i);
  }
  return { lanes, breakers, marks, levels, events };
}

class Chart {
  constructor(element, run, onRange, onMoment) {
    this.element = element;
    this.run = run;
    this.onRange = onRange;
    this.onMoment = onMoment;
    this.data = chartData(run);
    this.range = [0, run.end];
    this.moment = null;
    this.seen = 0;
    new ResizeObserver(() => { if (this.element.clientWidth !== this.seen) this.draw(); }).observe(element);
    element.addEventListener("keydown", (event) => this.key(event));
    element.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 0.5 : 2, this.time(event.offsetX));
    }, { passive: false });
  }

  key(event) {
    const [a, b] = this.range, step = (b - a) / 4;
    const moves = { ArrowLeft: -step, ArrowRight: step };
    if (event.key in moves) this.set(a + moves[event.key], b + moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom(0.5);
    else if (event.key === "-") this.zoom(2);
    else return;
    event.preventDefault();
  }

  zoom(by, around = (this.range[0] + this.range[1]) / 2) {
    const [a, b] = this.range;
    this.set(around - (around - a) * by, around + (b - around) * by);
  }

  // Ask for a range; it is kept inside the run and not shorter than a millisecond.
  set(a, b) {
    const width = Math.min(this.run.end, Math.max(b - a, 0.001));
    const start = Math.max(0, Math.min(a, this.run.end - width));
    this.onRange(start, start + width);
  }

  show(range, moment) {
    this.range = range;
    this.moment = moment;
    this.draw();
  }

  x(t) { return this.left + ((t - this.range[0]) / (this.range[1] - this.range[0] || 1)) * this.width; }
  time(x) { return this.range[0] + ((x - this.left) / this.width) * (this.range[1] - this.range[0]); }

  draw() {
    const whole = this.element.clientWidth;
    if (!whole) return;
    this.seen = whole;
    this.left = whole < 640 ? 96 : 210;
    this.width = Math.max(40, whole - this.left - 14);
    this.y = 4;
    const root = svg("svg", { width: whole, class: "plot" });
    this.root = root;
    this.clip = `clip-${this.element.closest(".explorer").dataset.run}`;
    this.map();
    const top = this.y;
    this.faults();
    this.curve("Messages a second", [["processed", this.rates("processed")], ["sent", this.rates("sent")]]);
    if (this.data.events.failed.length) this.curve("Failures a second", [["failed", this.rates("failed")]]);
    this.curve("In queues", this.queueCurves());
    this.breakerLanes();
    this.markLanes();
    this.axis();
    root.setAttribute("height", this.y);
    root.prepend(svg("clipPath", { id: this.clip }, svg("rect", { x: this.left, y: 0, width: this.width, height: this.y })));
    if (this.moment !== null && this.moment >= this.range[0] && this.moment <= this.range[1]) {
      root.append(svg("line", { class: "moment", x1: this.x(this.moment), x2: this.x(this.moment), y1: top, y2: this.y - 18 }));
    }
    this.brush(root, top);
    this.element.replaceChildren(root);
  }

  // The whole run as a strip, with the range that is shown.
  map() {
    const { run, left, width } = this, at = (t) => left + (t / (run.end || 1)) * width;
    const strip = svg("g", { class: "map" }, svg("rect", { x: left, y: this.y, width, height: MAP_PX, class: "panel" }));
    for (const lane of this.data.lanes) {
      for (const t of thinned(lane.strikes, 0, run.end, width)) strip.append(svg("line", { class: "strike", x1: at(t), x2: at(t), y1: this.y + 5, y2: this.y + MAP_PX - 5 }));
    }
    strip.append(svg("rect", { class: "shown", x: at(this.range[0]), y: this.y, width: Math.max(3, at(this.range[1]) - at(this.range[0])), height: MAP_PX }));
    this.label("Whole run", this.y + MAP_PX / 2);
    this.root.append(strip);
    this.y += MAP_PX + 10;
  }

  label(text, y, title) {
    const limit = Math.floor((this.left - 10) / 6.4);
    const shown = text.length > limit ? text.slice(0, limit - 1) + "…" : text;
    const made = svg("text", { x: this.left - 8, y: y + 4, class: "label" }, shown);
    if (title || shown !== text) made.append(svg("title", {}, title || text));
    this.root.append(made);
  }

  lane(label, title) {
    const y = this.y;
    this.y += LANE_PX;
    this.root.append(svg("rect", { x: this.left, y, width: this.width, height: LANE_PX - 2, class: "panel" }));
    this.label(label, y + (LANE_PX - 2) / 2, title);
    const group = svg("g", { "clip-path": `url(#${this.clip})` });
    this.root.append(group);
    return [group, y, LANE_PX - 2];
  }

  faults() {
    const { lanes } = this.data;
    for (const lane of lanes.slice(0, LANES_MAX)) {
      const [group, y, height] = this.lane(lane.label, lane.title);
      if (lane.fault.window) {
        const [a, b] = lane.fault.window.map((t) => this.x(t));
        group.append(svg("rect", { class: "window", x: a, y: y + 2, width: Math.max(1, b - a), height: height - 4 }));
      }
      for (const t of thinned(lane.strikes, ...this.range, this.width)) {
        group.append(svg("line", { class: "strike", x1: this.x(t), x2: this.x(t), y1: y + 1, y2: y + height - 1 }));
      }
    }
    if (lanes.length > LANES_MAX) this.note(`and ${lanes.length - LANES_MAX} more faults`);
    this.y += 6;
  }

  note(text) {
    this.root.append(svg("text", { x: this.left, y: this.y + 11, class: "note" }, text));
    this.y += 14;
  }

  rates(name) {
    const bins = Math.max(20, Math.min(240, Math.floor(this.width / 4))), [a, b] = this.range;
    const width = (b - a) / bins || 1, counts = new Array(bins).fill(0), times = this.data.events[name];
    for (let i = lowerBound(times, a); i < times.length && times[i] <= b; i++) {
      counts[Math.min(bins - 1, Math.floor((times[i] - a) / width))]++;
    }
    return counts.map((count, bin) => [a + bin * width, count / width]);
  }

  // The three levels: in each pixel the highest value, then the one it is left with.
  queueCurves() {
    const curves = [["backlog", 1], ["in-flight", 2], ["dead", 3]], { levels } = this.data, [a, b] = this.range;
    let first = levels.findIndex((level) => level[0] > a);
    first = Math.max(0, (first < 0 ? levels.length : first) - 1);
    return curves.map(([name, column]) => {
      const points = [];
      let pixel = null, last = 0;
      const leave = () => { if (points.length && points[points.length - 1][1] !== last) points.push([points[points.length - 1][0], last]); };
      for (let i = first; i < levels.length && levels[i][0] <= b; i++) {
        const t = Math.max(a, levels[i][0]), here = Math.round(this.x(t)), value = levels[i][column];
        if (here === pixel) points[points.length - 1][1] = Math.max(points[points.length - 1][1], value);
        else { leave(); points.push([t, value]); }
        pixel = here;
        last = value;
      }
      leave();
      return [name, points];
    }).filter(([name, points]) => name !== "dead" || points.some((point) => point[1]));
  }

  curve(title, series) {
    const y = this.y, top = Math.max(...series.map(([, points]) => Math.max(0, ...points.map((point) => point[1])))) || 1;
    const up = (value) => y + CURVE_PX - (value / top) * (CURVE_PX - 6);
    this.root.append(svg("rect", { x: this.left, y, width: this.width, height: CURVE_PX, class: "panel" }));
    this.label(title, y + 10);
    this.root.append(svg("text", { x: this.left + 3, y: y + 12, class: "note" }, top.toLocaleString("en", { maximumSignificantDigits: 3 })));
    series.forEach(([name], index) => {
      const at = y + 28 + index * 14, right = this.left - 8;
      this.root.append(svg("text", { x: right - 22, y: at + 4, class: "label" }, name.replace("-", " ")));
      this.root.append(svg("line", { class: `curve ${name}`, x1: right - 18, x2: right, y1: at, y2: at }));
    });
    for (const [name, points] of series) {
      let path = "";
      points.forEach(([t, value], index) => {
        path += index ? `H${this.x(t).toFixed(1)}V${up(value).toFixed(1)}` : `M${this.x(t).toFixed(1)},${up(value).toFixed(1)}`;
      });
      if (path) this.root.append(svg("path", { class: `curve ${name}`, d: `${path}H${this.left + this.width}`, "clip-path": `url(#${this.clip})` }));
    }
    this.y += CURVE_PX + 8;
  }

  breakerLanes() {
    const moving = [...this.data.breakers].filter(([, spans]) => spans.length > 1);
    for (const [name, spans] of moving.slice(0, LANES_MAX)) {
      const [group, y, height] = this.lane(name);
      for (const span of spans) {
        const a = this.x(span.start), width = Math.max(1, this.x(span.end) - a);
        group.append(svg("rect", { class: `breaker ${span.state}`, x: a, y: y + 1, width, height: height - 2 }, svg("title", {}, span.state)));
        if (width > 8 * span.state.length) group.append(svg("text", { class: `state ${span.state}`, x: Math.max(a, this.left) + 5, y: y + height - 4 }, span.state));
      }
    }
    if (moving.length > LANES_MAX) this.note(`and ${moving.length - LANES_MAX} more breakers`);
    if (moving.length) this.y += 6;
  }

  markLanes() {
    for (const [name, times] of this.data.marks) {
      const [group, y, height] = this.lane(`${name} ×${times.length}`);
      for (const t of thinned(times, ...this.range, this.width / 2)) {
        const x = this.x(t), middle = y + height / 2;
        group.append(svg("path", { class: `mark ${name.replace(" ", "-")}`, d: `M${x - 4},${middle - 4}L${x + 4},${middle + 4}M${x + 4},${middle - 4}L${x - 4},${middle + 4}` }));
      }
    }
  }

  axis() {
    const [a, b] = this.range, step = niceStep((b - a) / Math.max(3, Math.floor(this.width / 110)));
    for (let t = Math.ceil(a / step) * step; t <= b + 1e-9; t += step) {
      const x = this.x(t);
      this.root.append(svg("line", { class: "tick", x1: x, x2: x, y1: this.y, y2: this.y + 4 }));
      this.root.append(svg("text", { x, y: this.y + 16, class: "tick-label" }, `${Number(t.toFixed(6))} s`));
    }
    this.y += 20;
  }

  // Drawing across the chart chooses a range; a click chooses a moment.
  brush(root, top) {
    let start = null, box = null;
    const inside = (event) => Math.max(this.left, Math.min(this.left + this.width, event.clientX - root.getBoundingClientRect().left));
    root.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.clientX - root.getBoundingClientRect().left < this.left) return;
      start = inside(event);
      box = svg("rect", { class: "brush", x: start, y: top, width: 0, height: this.y - top - 20 });
      root.append(box);
      root.setPointerCapture(event.pointerId);
    });
    root.addEventListener("pointermove", (event) => {
      if (start === null) return;
      box.setAttribute("x", Math.min(start, inside(event)));
      box.setAttribute("width", Math.abs(inside(event) - start));
    });
    root.addEventListener("pointerup", (event) => {
      if (start === null) return;
      const [a, b] = [start, inside(event)].sort((one, other) => one - other);
      const onMap = event.clientY - root.getBoundingClientRect().top < top;
      const time = (x) => onMap ? ((x - this.left) / this.width) * this.run.end : this.time(x);
      start = null;
      box.remove();
      if (b - a > 4) this.set(time(a), time(b)); else this.onMoment(time(a));
    });
  }
}

function lowerBound(times, t) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < t) low = middle + 1; else high = middle;
  }
  return low;
}

// At most one moment for each pixel: nothing more can be seen.
function thinned(times, a, b, cells) {
  const seen = new Map(), width = (b - a) / cells || 1;
  for (let i = lowerBound(times, a); i < times.length && times[i] <= b; i++) {
    const cell = Math.floor((times[i] - a) / width);
    if (!seen.has(cell)) seen.set(cell, times[i]);
  }
  return [...seen.values()];
}

function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= least);
}
