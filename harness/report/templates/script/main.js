// Views by the page's hash: "#", "#scenario", "#scenario?event=12&from=1&to=2&filter=kind:send".

const explorers = new Map();

class Explorer {
  constructor(root, run) {
    this.root = root;
    this.id = root.dataset.run;
    this.run = run;
    this.section = root.closest("section");
    this.pane = root.querySelector(".detail");
    this.input = root.querySelector("input.filter");
    this.form = root.querySelector("form.range");
    this.shownView = null;
    this.list = new EventList(root.querySelector(".events"), run, (i) => this.go({ event: i + 1 }));
    this.chart = new Chart(root.querySelector(".chart"), run, (from, to) => this.go({ from, to }), (t) => this.choose(run.from(t)));
    this.input.addEventListener("input", () => this.go({ filter: this.input.value }, true));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const from = Number(this.form.querySelector(".from").value), to = Number(this.form.querySelector(".to").value);
      if (to > from) this.chart.set(from, to);
    });
    this.form.querySelector(".whole").addEventListener("click", () => this.wholeRun());
    this.form.querySelector(".closer").addEventListener("click", () => this.chart.zoom(0.5));
    this.form.querySelector(".wider").addEventListener("click", () => this.chart.zoom(2));
  }

  wholeRun() { this.go({ from: null, to: null }); }

  choose(i) {
    if (i >= 0 && i < this.run.length) this.go({ event: i + 1 }, true);
  }

  step(by) { this.choose(this.list.neighbour(by)); }

  // The next event that is evidence of a violation, from the first again after the last.
  nextProof() {
    const numbers = [...this.run.evidence.keys()].sort((a, b) => a - b);
    if (numbers.length) this.choose((numbers.find((n) => n - 1 > this.list.chosen) ?? numbers[0]) - 1);
  }

  // Change the view: it goes through the hash, so that every view is a link.
  go(changed, replace = false) {
    const view = { ...currentView().query, ...changed };
    const query = new URLSearchParams();
    for (const name of ["event", "from", "to", "filter"]) {
      const value = view[name];
      if (value === null || value === undefined || value === "") continue;
      query.set(name, typeof value === "number" && name !== "event" ? Number(value.toFixed(6)) : value);
    }
    const text = query.toString(), hash = `#${this.id}${text ? "?" + text : ""}`;
    if (replace) { history.replaceState(null, "", hash); show(); } else location.hash = hash;
  }

  show(query) {
    const from = query.from === undefined ? 0 : Number(query.from) || 0;
    const to = query.to === undefined ? this.run.end : Number(query.to) || this.run.end;
    const filter = query.filter || "", event = Number(query.event) - 1;
    const whole = from <= 0 && to >= this.run.end;
    const scope = JSON.stringify([from, to, filter]);
    if (scope !== this.scope) {
      this.scope = scope;
      this.narrow(from, to, filter, whole);
    }
    const chosen = Number.isInteger(event) && event >= 0 && event < this.run.length ? event : -1;
    this.chart.show([from, to], chosen < 0 ? null : this.run.time(chosen));
    if (chosen !== this.list.chosen) {
      if (chosen >= 0) showEvent(this.pane, this.id, this.run, chosen);
      this.list.choose(chosen);
    }
  }

  // The events, the figures and the verdicts of a range.
  narrow(from, to, filter, whole) {
    const begun = performance.now();
    if (this.input.value !== filter) this.input.value = filter;
    const low = whole ? 0 : this.run.from(from), high = whole ? this.run.length : this.run.from(to + 1e-9);
    const found = applyFilter(this.run, parseFilter(filter), low, high);
    this.list.show(found);
    this.root.dataset.filterMs = (performance.now() - begun).toFixed(1);
    const unshown = this.run.packed.unshown ? `; ${this.run.packed.unshown.toLocaleString("en")} more in the history file` : "";
    this.root.querySelector(".found").textContent = `${found.length.toLocaleString("en")} of ${this.run.length.toLocaleString("en")} events${unshown}`;
    this.form.querySelector(".from").value = Number(from.toFixed(6));
    this.form.querySelector(".to").value = Number(to.toFixed(6));
    this.verdicts(low, high, whole);
  }

  verdicts(low, high, whole) {
    let inside = 0, all = 0;
    for (const row of this.section.querySelectorAll("table.invariants tbody tr")) {
      const evidence = this.run.packed.evidence[row.dataset.invariant];
      const numbers = evidence ? evidence.events : [];
      const here = numbers.filter((n) => n > low && n <= high).length;
      all += numbers.length ? 1 : 0;
      inside += here ? 1 : 0;
      row.classList.toggle("outside", !whole && !here);
      for (const item of row.querySelectorAll("[data-event]")) {
        const n = Number(item.dataset.event);
        item.hidden = !whole && !(n > low && n <= high);
      }
    }
    this.section.querySelectorAll(".in-range").forEach((note) => {
      note.textContent = whole ? "" : `in this range: evidence of ${inside} of ${all} with evidence`;
    });
  }
}

function currentView() {
  const hash = decodeURI(location.hash.slice(1)), at = hash.indexOf("?");
  const id = at < 0 ? hash : hash.slice(0, at);
  return { id, query: Object.fromEntries(new URLSearchParams(at < 0 ? "" : location.hash.slice(1).split("?")[1])) };
}

function scenarios() { return [...document.querySelectorAll("section.scenario")]; }

async function show() {
  const { id, query } = currentView();
  const section = scenarios().find((one) => one.id === id) || null;
  const before = document.body.dataset.view || "";
  document.body.classList.toggle("one", section !== null);
  document.body.dataset.view = section ? section.id : "";
  for (const one of scenarios()) one.classList.toggle("current", one === section);
  if (document.body.dataset.view !== before) {
    window.scrollTo(0, 0);
    if (section) section.querySelector("h2").focus({ preventScroll: true });
  }
  if (!section) {
    if (id) document.getElementById(id)?.scrollIntoView();
    return;
  }
  const root = section.querySelector(".explorer");
  if (!root) return;
  if (!explorers.has(id)) {
    explorers.set(id, unpack(document.getElementById(`packed-${id}`)).then((run) => {
      root.hidden = false;
      return new Explorer(root, run);
    }));
  }
  const explorer = await explorers.get(id);
  if (currentView().id === id) explorer.show(currentView().query);
  if (query.event && document.body.dataset.view !== before) root.scrollIntoView();
  root.dataset.ready = "yes";
}

function neighbourScenario(by) {
  const all = scenarios().map((one) => one.id), at = all.indexOf(currentView().id);
  if (all.length) location.hash = "#" + all[(at + by + all.length) % all.length];
}

// The rows of the overview: chosen by j and k, filtered by words.
const overview = {
  rows() { return [...document.querySelectorAll("tr.outage")].filter((row) => !row.hidden); },
  step(by) {
    const rows = this.rows(), at = rows.findIndex((row) => row.classList.contains("chosen"));
    const next = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + by))];
    for (const row of rows) row.classList.toggle("chosen", row === next);
    next?.querySelector("a").focus();
  },
  filter(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean), all = [...document.querySelectorAll("tr.outage")];
    for (const row of all) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    document.querySelector(".rows-found").textContent = words.length ? `${this.rows().length} of ${all.length} scenarios` : "";
  },
};

async function onKey(event) {
  const typing = event.target.matches("input");
  const { id } = currentView(), explorer = await explorers.get(id);
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (id) location.hash = "#";
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    const root = explorer ? explorer.root : document.getElementById("overview");
    root.querySelector("input[type=search]")?.focus();
  } else if (event.key === "j" || event.key === "k") {
    const by = event.key === "j" ? 1 : -1;
    if (explorer) explorer.step(by); else overview.step(by);
  } else if (event.key === "n" || event.key === "p") neighbourScenario(event.key === "n" ? 1 : -1);
  else if (event.key === "e") explorer?.nextProof();
  else if (event.key === "w") explorer?.wholeRun();
  else if (event.key === "?") toggleKeys();
}

function toggleKeys() {
  const panel = document.getElementById("keys");
  panel.hidden = !panel.hidden;
  document.querySelector("button.keys").setAttribute("aria-expanded", String(!panel.hidden));
}

function start() {
  document.body.classList.add("app");
  for (const one of document.querySelectorAll("nav.views, #overview .row-filter")) one.hidden = false;
  document.querySelector("button.previous").addEventListener("click", () => neighbourScenario(-1));
  document.querySelector("button.next").addEventListener("click", () => neighbourScenario(1));
  document.querySelector("button.keys").addEventListener("click", toggleKeys);
  document.querySelector("input.rows")?.addEventListener("input", (event) => overview.filter(event.target.value));
  window.addEventListener("hashchange", show);
  // A slash would be typed into the filter that it goes to.
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.matches("input")) event.preventDefault();
    onKey(event);
  });
  show();
}

start();
