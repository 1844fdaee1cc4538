// The state of the run as its events tell it: queues, messages, breakers, processes, fault windows.

class State {
  constructor(run) {
    this.run = run;
    this.messages = new Map(); // id -> {queue, until, receives, gone}
    this.queues = new Map(); // name -> {waiting, flight}
    this.breakers = new Map();
    this.processes = new Map();
    this.levels = new Map();
    this.windows = new Set();
    this.effects = new Map();
    this.heap = []; // [until, id], the earliest first
    this.waiting = this.flight = this.dead = 0;
  }

  queue(name) {
    let found = this.queues.get(name);
    if (!found) this.queues.set(name, found = { waiting: 0, flight: 0 });
    return found;
  }

  count(name, waiting, flight) {
    const queue = this.queue(name);
    queue.waiting += waiting;
    queue.flight += flight;
    if (this.run.dead.has(name)) this.dead += waiting + flight;
    else { this.waiting += waiting; this.flight += flight; }
  }

  put(id, queue) {
    if (this.messages.get(id)?.queue) return;
    this.messages.set(id, { queue, until: null, receives: 0, gone: "" });
    this.count(queue, 1, 0);
  }

  take(id, until, receives) {
    const one = this.messages.get(id);
    if (!one || !one.queue) return;
    if (one.until === null) this.count(one.queue, -1, 1);
    one.until = until === null ? Infinity : until;
    one.receives = receives;
    if (one.until !== Infinity) this.push(one.until, id);
  }

  drop(id, how) {
    const one = this.messages.get(id);
    if (!one || !one.queue) return;
    if (one.until === null) this.count(one.queue, -1, 0); else this.count(one.queue, 0, -1);
    this.messages.set(id, { queue: "", until: null, receives: one.receives, gone: how });
  }

  push(until, id) {
    const heap = this.heap;
    let at = heap.push([until, id]) - 1;
    while (at) {
      const parent = (at - 1) >> 1;
      if (heap[parent][0] <= heap[at][0]) break;
      [heap[parent], heap[at]] = [heap[at], heap[parent]];
      at = parent;
    }
  }

  pop() {
    const heap = this.heap, first = heap[0], last = heap.pop();
    if (!heap.length) return first;
    heap[0] = last;
    for (let at = 0; ;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && heap[child][0] < heap[least][0]) least = child;
      }
      if (least === at) return first;
      [heap[at], heap[least]] = [heap[least], heap[at]];
      at = least;
    }
  }

  // Deliveries whose visibility timeout is over by t go back into their queues.
  returnDue(t) {
    while (this.heap.length && this.heap[0][0] <= t) {
      const [until, id] = this.pop(), one = this.messages.get(id);
      if (one && one.queue && one.until === until) {
        one.until = null;
        this.count(one.queue, 1, -1);
      }
    }
  }

  apply(i) {
    const run = this.run, rest = run.rest(i), id = run.message(i);
    this.returnDue(run.time(i));
    switch (run.kind(i)) {
      case "send": if (id) this.put(id, rest.queue); break;
      case "receive": this.take(id, rest.visible_at ?? null, rest.receive_count); break;
      case "visibility": this.changeVisibility(id, rest.visible_at ?? run.time(i), run.time(i)); break;
      case "move": this.drop(id, ""); this.put(id, rest.to); break;
      case "delete": if (rest.found !== false) this.drop(id, "acknowledged"); break;
      case "expire": this.drop(id, "expired"); break;
      case "message.lost": this.drop(id, "lost by its server"); break;
      case "purge": case "queue.delete": for (const one of rest.messages || []) this.drop(one, "purged"); break;
      case "effect": this.effects.set(rest.key, (this.effects.get(rest.key) || 0) + 1); break;
      case "effect.lost": this.effects.set(rest.key, (this.effects.get(rest.key) || 0) - 1); break;
      case "breaker.created": if (!this.breakers.has(rest.breaker)) this.breakers.set(rest.breaker, rest.state || "closed"); break;
      case "breaker.transition": this.breakers.set(rest.breaker, rest.to); break;
      case "degradation.level": this.levels.set(rest.manager, rest.level); break;
      case "process.start": case "process.resume": this.processes.set(rest.process, "running"); break;
      case "process.pause": this.processes.set(rest.process, "paused"); break;
      case "process.crash": this.processes.set(rest.process, "killed"); break;
      case "process.exit": this.processes.set(rest.process, "ended"); break;
      case "fault.start": this.windows.add(rest.fault); break;
      case "fault.end": this.windows.delete(rest.fault); break;
    }
  }

  changeVisibility(id, until, now) {
    const one = this.messages.get(id);
    if (!one || !one.queue || one.until === null) return;
    one.until = until;
    if (until <= now) { one.until = null; this.count(one.queue, 1, -1); } else this.push(until, id);
  }

  // [name, value] rows for people; of messages only this one and its key.
  table(message, key) {
    const rows = [];
    if (message !== null) rows.push(["this message", this.whereabouts(message)]);
    if (key !== undefined) rows.push([`effects of key ${key}`, String(this.effects.get(key) || 0)]);
    for (const [name, queue] of [...this.queues].sort()) {
      rows.push([`queue ${name}`, `${queue.waiting} waiting, ${queue.flight} in flight`]);
    }
    for (const [name, state] of this.breakers) rows.push([`breaker ${name}`, String(state).replace("_", "-")]);
    for (const [name, level] of this.levels) rows.push([`level of ${name}`, String(level)]);
    for (const [name, state] of [...this.processes].sort()) rows.push([`process ${name}`, state]);
    const open = [...this.windows].map((index) => this.run.packed.plan[index]?.words || `fault ${index}`);
    rows.push(["faults in force", open.join("; ") || "none"]);
    return rows;
  }

  whereabouts(message) {
    const one = this.messages.get(message);
    if (!one) return "not sent yet";
    if (!one.queue) return one.gone || "gone";
    const times = one.receives ? `, received ${one.receives} ${one.receives === 1 ? "time" : "times"}` : "";
    if (one.until === null) return `waiting in ${one.queue}${times}`;
    return `in flight from ${one.queue}${one.until === Infinity ? "" : ` until ${one.until.toFixed(3)} s`}${times}`;
  }
}

// The state after the first `count` events, as they stand at the time of the event after them.
function stateAfter(run, count, at) {
  const state = new State(run);
  for (let i = 0; i < count; i++) state.apply(i);
  if (at !== undefined) state.returnDue(at);
  return state;
}
