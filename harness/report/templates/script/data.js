// A run's events, unpacked: columns by index (event n has index n - 1).

const FIELDS_WITH_SETS = ["kind", "actor", "message"];

async function unpack(element) {
  const text = element.textContent;
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Run(JSON.parse(await new Response(stream).text()));
}

class Run {
  constructor(packed) {
    this.packed = packed;
    this.length = packed.events.length;
    this.rows = packed.events;
    this.end = this.length ? this.rows[this.length - 1][0] : 0;
    this.dead = new Set(packed.dead);
    this.sources = new Set(packed.sources);
    this.evidence = new Map(); // event number -> names of the invariants that it shows broken
    for (const [name, one] of Object.entries(packed.evidence)) {
      if (one.verdict !== "violated") continue;
      for (const n of one.events) this.evidence.set(n, [...(this.evidence.get(n) || []), name]);
    }
    this.texts = new Array(this.length);
    for (let i = 0; i < this.length; i++) this.texts[i] = this.line(i).toLowerCase();
    this.flat = null;
  }

  time(i) { return this.rows[i][0]; }
  actor(i) { return this.packed.actors[this.rows[i][1]]; }
  kind(i) { return this.packed.kinds[this.rows[i][2]]; }
  message(i) { const id = this.rows[i][3]; return id < 0 ? null : this.packed.messages[id]; }
  cause(i) { return this.rows[i][4]; }
  rest(i) { return this.rows[i][5]; }

  line(i) {
    const parts = [i + 1, this.time(i).toFixed(3), this.actor(i), this.kind(i)];
    const message = this.message(i);
    if (message !== null) parts.push("message=" + message);
    const rest = this.rest(i);
    for (const name in rest) {
      const value = rest[name];
      parts.push(name + "=" + (typeof value === "string" ? value : JSON.stringify(value)));
    }
    return parts.join(" ");
  }

  // The first index whose time is at or after t.
  from(t) {
    let low = 0, high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle][0] < t) low = middle + 1; else high = middle;
    }
    return low;
  }

  // The indexes of everything about the message of event i, or about its key.
  life(i) {
    const message = this.rows[i][3], key = this.rest(i).key;
    if (message < 0 && key === undefined) return [];
    const ids = new Set(message < 0 ? [] : [message]);
    let wanted = key;
    for (let j = 0; wanted === undefined && j < this.length; j++) {
      if (ids.has(this.rows[j][3]) && this.rest(j).key !== undefined) wanted = this.rest(j).key;
    }
    const names = this.packed.messages, found = [];
    const known = new Set([...ids].map((id) => names[id]));
    for (let j = 0; j < this.length; j++) {
      const id = this.rows[j][3], rest = this.rest(j);
      const mine = (wanted !== undefined && rest.key === wanted) || (id >= 0 && ids.has(id)) || known.has(rest.original)
        || (Array.isArray(rest.messages) && rest.messages.some((one) => known.has(one)));
      if (!mine) continue;
      if (id >= 0 && !ids.has(id)) { ids.add(id); known.add(names[id]); }
      found.push(j);
    }
    return found;
  }
}

// Words and field:text terms, all of which must hold; a minus before one turns it round.
function parseFilter(text) {
  return (text.match(/-?(?:[a-z_]+:)?(?:"[^"]*"|\S+)/gi) || []).map((part) => {
    const negative = part.length > 1 && part[0] === "-";
    if (negative) part = part.slice(1);
    const match = /^([a-z_]+):(.+)$/i.exec(part);
    const unquoted = (one) => one.replace(/^"(.*)"$/, "$1").toLowerCase();
    if (match && match[1].toLowerCase() !== "http" && match[1].toLowerCase() !== "https") {
      return { negative, field: match[1].toLowerCase(), text: unquoted(match[2]) };
    }
    return { negative, field: "", text: unquoted(part) };
  });
}

// The indexes in [low, high) that the terms let through.
function applyFilter(run, terms, low, high) {
  const tests = terms.map((term) => {
    const { field, text } = term;
    let test;
    if (!field) {
      test = (i) => run.texts[i].includes(text);
    } else if (FIELDS_WITH_SETS.includes(field)) {
      const names = run.packed[field + "s"], column = { actor: 1, kind: 2, message: 3 }[field];
      const fits = names.map((name) => name.toLowerCase().includes(text));
      test = (i) => { const id = run.rows[i][column]; return id >= 0 && fits[id]; };
    } else if (field === "n") {
      test = (i) => String(i + 1) === text;
    } else {
      const exact = field === "key";
      test = (i) => {
        const value = run.rows[i][5][field];
        if (value === undefined || value === null) return false;
        const shown = (typeof value === "string" ? value : JSON.stringify(value)).toLowerCase();
        return exact ? shown === text : shown.includes(text);
      };
    }
    return term.negative ? (i) => !test(i) : test;
  });
  const found = [];
  outer: for (let i = low; i < high; i++) {
    for (const test of tests) if (!test(i)) continue outer;
    found.push(i);
  }
  return found;
}
