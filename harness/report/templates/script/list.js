// A list of which only what can be seen is in the page: 100,000 rows scroll like ten.

const ROW_PX = 24, EXTRA_ROWS = 8;
const MAX_LIST_PX = 8_000_000; // browsers lose precision in taller elements: longer lists are scrolled in proportion

class EventList {
  constructor(element, run, onChoose) {
    this.element = element;
    this.run = run;
    this.onChoose = onChoose;
    this.spacer = element.querySelector(".spacer");
    this.window = element.querySelector(".window");
    this.indexes = [];
    this.chosen = -1; // an index of the run, not a place in the list
    element.addEventListener("scroll", () => this.draw());
    element.addEventListener("click", (event) => {
      const row = event.target.closest("[data-index]");
      if (row) this.onChoose(Number(row.dataset.index));
    });
    new ResizeObserver(() => this.draw()).observe(element);
  }

  show(indexes) {
    this.indexes = indexes;
    this.height = Math.min(indexes.length * ROW_PX, MAX_LIST_PX);
    this.spacer.style.height = `${this.height}px`;
    this.draw();
  }

  // The first place that can be seen: in proportion where the list is taller than an element may be.
  first() {
    const view = this.element.clientHeight, whole = this.indexes.length * ROW_PX;
    const share = this.height > view ? this.element.scrollTop / (this.height - view) : 0;
    return Math.max(0, Math.floor((share * (whole - view)) / ROW_PX));
  }

  draw() {
    const view = this.element.clientHeight;
    if (!view) return;
    const first = Math.max(0, this.first() - EXTRA_ROWS);
    const last = Math.min(this.indexes.length, first + Math.ceil(view / ROW_PX) + 2 * EXTRA_ROWS);
    const scaled = this.indexes.length * ROW_PX > MAX_LIST_PX;
    const top = scaled ? this.element.scrollTop - (this.first() - first) * ROW_PX : first * ROW_PX;
    this.window.style.transform = `translateY(${top}px)`;
    const rows = [];
    for (let place = first; place < last; place++) rows.push(this.row(place));
    this.window.replaceChildren(...rows);
    const chosen = this.window.querySelector('[aria-selected="true"]');
    if (chosen) this.element.setAttribute("aria-activedescendant", chosen.id);
    else this.element.removeAttribute("aria-activedescendant");
  }

  row(place) {
    const run = this.run, i = this.indexes[place], row = document.createElement("div");
    row.id = `${this.element.closest(".explorer").dataset.run}-row-${i}`;
    row.className = "row" + (run.evidence.has(i + 1) ? " proof" : "") + (run.kind(i) === "fault.strike" ? " strike" : "");
    row.dataset.index = i;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", i === this.chosen);
    row.setAttribute("aria-setsize", this.indexes.length);
    row.setAttribute("aria-posinset", place + 1);
    for (const [name, text] of [
      ["n", i + 1], ["t", run.time(i).toFixed(3)], ["actor", run.actor(i)], ["kind", run.kind(i)], ["fields", this.fields(i)],
    ]) {
      const cell = document.createElement("span");
      cell.className = name;
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  }

  fields(i) {
    const rest = this.run.rest(i), parts = [];
    if (rest.key !== undefined) parts.push(`key=${rest.key}`);
    for (const name in rest) {
      if (name === "key" || name === "handle") continue;
      const value = rest[name];
      parts.push(`${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
    }
    const text = parts.join(" ");
    return text.length > 300 ? text.slice(0, 299) + "…" : text;
  }

  choose(i) {
    this.chosen = i;
    const place = this.placeOf(i);
    if (place >= 0) this.reveal(place);
    this.draw();
  }

  placeOf(i) {
    let low = 0, high = this.indexes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.indexes[middle] < i) low = middle + 1; else high = middle;
    }
    return this.indexes[low] === i ? low : -1;
  }

  reveal(place) {
    const view = this.element.clientHeight, whole = this.indexes.length * ROW_PX;
    const share = whole > this.height && whole > view ? (this.height - view) / (whole - view) : 1;
    const top = place * ROW_PX;
    const shown = this.element.scrollTop / share;
    if (top < shown || top + ROW_PX > shown + view) this.element.scrollTop = (top - view / 2) * share;
  }

  // The event `by` rows from the chosen one; the first one where none is chosen.
  neighbour(by) {
    if (!this.indexes.length) return -1;
    const place = this.placeOf(this.chosen);
    if (place < 0) {
      const after = this.indexes.findIndex((i) => i > this.chosen);
      return this.indexes[after < 0 ? this.indexes.length - 1 : by > 0 ? after : Math.max(0, after - 1)];
    }
    return this.indexes[Math.min(this.indexes.length - 1, Math.max(0, place + by))];
  }
}
