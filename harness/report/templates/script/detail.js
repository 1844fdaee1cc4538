// One event, whole: what woke it, its fields, its message's life, the state before and after.

const LIFE_MAX = 200;

function element(name, properties, ...children) {
  const made = document.createElement(name);
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

function eventLink(id, i, run) {
  const link = element("a", { href: `#${id}?event=${i + 1}`, textContent: String(i + 1) });
  link.dataset.event = i + 1;
  return link;
}

function showEvent(pane, id, run, i) {
  const message = run.message(i), key = run.rest(i).key;
  const parts = [
    element("h4", {}, `Event ${i + 1}: ${run.kind(i)}`),
    element("p", {}, `${run.time(i).toFixed(6)} s, by ${run.actor(i)}`),
    wokenBy(id, run, i),
  ];
  if (run.evidence.has(i + 1)) {
    parts.push(element("p", { className: "violated" }, `✗ shows that ${run.evidence.get(i + 1).join(", ")} is broken`));
  }
  parts.push(fieldTable(run, i), stateTable(run, i, message, key));
  const life = run.life(i);
  if (life.length) parts.push(...lifeOf(id, run, i, life));
  pane.replaceChildren(...parts);
}

function wokenBy(id, run, i) {
  const cause = run.cause(i);
  if (!cause) return element("p", { className: "soft" }, "Its actor was running already, or its own timer woke it.");
  return element("p", {}, "Woken by event ", eventLink(id, cause - 1, run), ` (${run.kind(cause - 1)}, ${run.actor(cause - 1)})`);
}

function table(head, rows) {
  const body = element("tbody", {}, ...rows);
  const cells = head.map((text) => element("th", { scope: "col" }, text));
  return element("table", {}, element("thead", {}, element("tr", {}, ...cells)), body);
}

function fieldTable(run, i) {
  const rest = run.rest(i), rows = [];
  const all = run.message(i) === null ? rest : { message: run.message(i), ...rest };
  for (const name in all) {
    const value = all[name];
    const text = typeof value === "string" ? value : JSON.stringify(value);
    rows.push(element("tr", {}, element("td", {}, name), element("td", {}, element("code", {}, text))));
  }
  return rows.length ? table(["Field", "Value"], rows) : element("p", { className: "soft" }, "It has no other fields.");
}

function stateTable(run, i, message, key) {
  const state = stateAfter(run, i, run.time(i));
  const before = new Map(state.table(message, key));
  state.apply(i);
  const rows = state.table(message, key).map(([name, after]) => {
    const was = before.get(name) ?? "–";
    const row = element("tr", {}, element("td", {}, name), element("td", {}, was), element("td", {}, after));
    if (was !== after) row.className = "changed";
    return row;
  });
  return table(["State", "Before", "After"], rows);
}

function lifeOf(id, run, i, life) {
  const at = Math.max(0, life.indexOf(i));
  const start = Math.max(0, Math.min(at - LIFE_MAX / 2, life.length - LIFE_MAX));
  const shown = life.slice(start, start + LIFE_MAX);
  const items = shown.map((j) => {
    const item = element("li", {}, eventLink(id, j, run), ` ${run.time(j).toFixed(3)} s ${run.kind(j)} `, element("span", { className: "soft" }, run.actor(j)));
    if (j === i) item.setAttribute("aria-current", "true");
    return item;
  });
  const title = `The message's life: ${life.length} ${life.length === 1 ? "event" : "events"}`;
  return [element("h4", {}, title), element("ol", { className: "life" }, ...items)];
}
