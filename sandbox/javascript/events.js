// The event in hand: `emit`, `ctx`, and the loop that takes a batch of events through a handler that does not wait.
//
// Called by the prelude before any of the script's code, with its tools, the names of the sinks, and what `ctx` tells of
// the script.
(tools, sinkNames, script) => {
  "use strict";

  const { apply, call, ask, result, release, describe, isOutOfMemory, isThenable, found, hand } = tools;
  const { Error, String, Symbol, TypeError } = globalThis;
  const { stringify } = JSON;
  const { setPrototypeOf } = Object;
  const { join } = Array.prototype;
  const now = performance.now;

  const FLUSH = 1 << 18; // characters emitted until they are handed over within a batch
  const PROMISE =
    "expected a plain function to end before it returns, got a promise; write async function, and the host waits for it";

  // --- emit ---

  let emitted; // by sink: the numbers of events, and what they emitted; undefined: no event is in hand
  let cursor = 0; // the event in hand, or the next one
  let size; // characters in `emitted`
  let spare; // buffers that are empty

  function emit(sink, value) {
    if (emitted === undefined) {
      throw new Error("emit works only while an event is handled; await what an event starts before handle returns");
    }
    const json = stringify(value);
    if (typeof json !== "string") {
      throw new TypeError(`emit expects a value that JSON can hold, got ${typeof value}`);
    }
    const buffer = emitted[sink];
    if (buffer === undefined) {
      const known = apply(join, sinkNames, [", "]) || "none is configured";
      throw new Error(`unknown sink ${stringify(String(sink))}; expected one of: ${known}`);
    }
    const { at, lines } = buffer;
    lines[at.length] = json;
    at[at.length] = cursor;
    size += json.length;
  }

  function buffers() {
    const made = { __proto__: null };
    for (let i = 0; i < sinkNames.length; i++) {
      made[sinkNames[i]] = { __proto__: null, at: setPrototypeOf([], null), lines: setPrototypeOf([], null) };
    }
    return made;
  }

  // Begins to gather what an event emits that comes alone; `is` false: it may emit nothing.
  function gather(is) {
    if (emitted !== undefined) spare = undefined; // what an event has left in it that was broken off
    emitted = is ? (spare ??= buffers()) : undefined;
  }

  // Returns what was gathered, by sink; undefined: nothing.
  function gathered() {
    if (emitted === undefined) return undefined;
    let all;
    for (let i = 0; i < sinkNames.length; i++) {
      const { lines } = emitted[sinkNames[i]];
      if (lines.length > 0) (all ??= { __proto__: null })[sinkNames[i]] = lines;
    }
    emitted = undefined;
    if (all !== undefined) spare = undefined;
    return all;
  }

  function dropEmitted(index) {
    for (let i = 0; i < sinkNames.length; i++) {
      const { at, lines } = emitted[sinkNames[i]];
      while (at.length > 0 && at[at.length - 1] === index) at.length--;
      lines.length = at.length;
    }
  }

  // --- ctx ---

  const BATCH = Symbol("batch");
  const INDEX = Symbol("index");

  class Context {
    get id() { return fact(this, "id"); }
    get source() { return this[BATCH].source; }
    get key() { return fact(this, "key") ?? null; }
    get timestamp() { return fact(this, "timestamp") ?? this[BATCH].arrival; }
    get generation() { return this[BATCH].generation; }
    get parameters() { return fact(this, "parameters") ?? {}; }
    get script() { return script.name; }
    get version() { return script.version; }
    toJSON() {
      const { id, source, key, timestamp, generation, script, version } = this;
      return { id, source, key, timestamp, generation, script, version };
    }
  }

  // Most scripts read few of these, so they are fetched when first read, for all events of the batch at once.
  function fact(context, kind) {
    const batch = context[BATCH];
    if (batch.number === undefined) return batch[kind]; // the event has come alone, with its facts
    return (batch[kind] ??= ask(kind, batch.number))[context[INDEX]];
  }

  // Returns the context of an event that comes alone, or what those of a batch have in common.
  function context(facts) {
    return { __proto__: Context.prototype, [BATCH]: setPrototypeOf(facts, null) };
  }

  // --- the loop ---

  let handle;
  let events; // of the batch in hand
  let active = false; // event number `cursor` is in hand
  let reported; // the first event that no report covers
  let faults;
  let sampled; // the event whose time is taken
  let sample;
  let shared; // the prototype of all contexts of the batch
  let marked; // when the host was last told that a new event has begun
  let interval; // milliseconds until it is told again

  hand.at = () => (active ? cursor : -1);

  function begin(command) {
    handle = found[command.handler];
    events = command.events;
    cursor = reported = 0;
    sampled = command.sampled;
    interval = command.interval;
    shared = context(command);
    proceed();
  }

  function clear() {
    size = 0;
    emitted = buffers();
    faults = setPrototypeOf([], null);
    sample = null;
  }

  function proceed() {
    const count = events.length;
    hand.wrapped = { __proto__: null };
    hand.any = false;
    clear();
    active = true;
    marked = now(); // the limit starts anew whenever the interpreter is entered
    while (cursor < count) {
      const started = now();
      if (started - marked >= interval) {
        call("mark");
        marked = started;
      }
      try {
        const result = handle(events[cursor], { __proto__: shared, [INDEX]: cursor });
        if (result !== undefined && isThenable(result)) throw new TypeError(PROMISE);
      } catch (error) {
        if (fail(error)) return void finish(true);
      }
      if (hand.any) release();
      if (cursor === sampled) sample = now() - started;
      cursor++;
      if (size > FLUSH) report(false);
    }
    finish(false);
  }

  // Records the failure of the event in hand. Returns whether memory is full: then the interpreter is to be replaced.
  function fail(error) {
    failWith(describe(error));
    return isOutOfMemory(error);
  }

  function failWith(fault) {
    dropEmitted(cursor);
    if (hand.touched === cursor) call("undo\n" + cursor); // at once: the next event must not see what it has changed
    fault.at = cursor;
    faults[faults.length] = fault;
  }

  function finish(full) {
    active = false;
    if (full) cursor++;
    report(full);
    emitted = undefined;
  }

  // The event in hand was stopped by the host.
  function stop({ fault }) {
    if (events !== undefined && cursor < events.length) {
      failWith({ __proto__: null, name: fault.name, message: fault.message, stack: "" });
      cursor++;
    }
    finish(false);
  }

  function report(full) {
    const at = { __proto__: null };
    const parts = setPrototypeOf([], null);
    for (let i = 0; i < sinkNames.length; i++) {
      const buffer = emitted[sinkNames[i]];
      if (buffer.at.length === 0) continue;
      at[sinkNames[i]] = buffer.at;
      parts[parts.length] = apply(join, buffer.lines, ["\n"]);
    }
    const head = { __proto__: null, start: reported, next: cursor, full, faults, sample, at };
    const message = "report\n" + stringify(head) + "\n" + apply(join, parts, ["\n"]);
    reported = cursor;
    clear();
    result(call(message));
  }

  return { __proto__: null, emit, begin, proceed, stop, gather, gathered, context };
}
