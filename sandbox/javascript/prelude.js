// The host's half inside each interpreter, run once before any of the script's code.
//
// Python enters by setting the global `dukpy` to a command and reading it back, which runs the command. The prelude
// calls Python through `call_python`, which scripts never see. A script may overwrite every built-in of its own
// interpreter, so everything needed after the start is captured here, and what crosses to Python is made of strings
// and of objects without a prototype.
//
// `connect`: see objects.js. `extend`, where there is one, adds what only some scripts find: called before any of the
// script's code with its own script objects, by name, with what scripts import, and with tools of the prelude. It may
// return `adopt`, which makes of what a script defines what the prelude expects.
(connect, extend) => {
  "use strict";

  const native = globalThis.call_python;
  const start = globalThis.dukpy;
  const { token, tag, script, sinks: sinkNames, bindings, extras, memoryExceeded } = start;

  const { Error, Function, InternalError, Promise, TypeError, String } = globalThis;
  const { apply } = Reflect;
  const { stringify } = JSON;
  const { freeze, defineProperty, getOwnPropertyDescriptor, getPrototypeOf, hasOwn, setPrototypeOf } = Object;
  const { isArray } = Array;
  const { join, map } = Array.prototype;
  const { slice, split, toWellFormed } = String.prototype;
  const { then } = Promise.prototype;
  const { resolve } = Promise;
  const now = performance.now;

  const LONGEST_TEXT = 4000; // characters of an error's message or stack that are kept
  const FLUSH = 1 << 18; // characters emitted until they are handed over within a batch

  // What Error.prepareStackTrace gets could hand out the functions of the prelude that are at work.
  Error.prepareStackTrace = (_error, sites) => sites;
  const site = getPrototypeOf(new Error().stack[0]);
  Error.prepareStackTrace = undefined;
  delete site.getFunction;

  // --- calls to Python ---

  // The message is one string, because arguments would go through JSON and through toJSON methods of the script's.
  function call(message) {
    try {
      return native(message);
    } catch (error) {
      // The time limit struck inside the call, where a script could catch it. The next tick of the timer ends this
      // loop in a way that no script can catch.
      if (error instanceof InternalError && !isOutOfMemory(error)) for (;;);
      throw error;
    }
  }

  function ask(kind, body) {
    return result(call(kind + "\n" + stringify(body)));
  }

  const { result, held, release, forget } = connect(call, tag, isThenable);

  // QuickJS throws null where there is no memory left for an error object.
  function isOutOfMemory(error) {
    return error === null || (error instanceof InternalError && error.message === "out of memory");
  }

  function describe(error) {
    const fault = { __proto__: null, name: "Error", message: "", stack: "" };
    try {
      if (isOutOfMemory(error)) {
        fault.name = memoryExceeded.name;
        fault.message = memoryExceeded.message;
        fault.stack = error === null ? "" : shorten(error.stack);
      } else if (typeof error === "object" && "message" in error) {
        fault.message = shorten(error.message);
        fault.stack = typeof error.stack === "string" ? shorten(error.stack) : "";
        fault.name = typeof error.name === "string" ? shorten(error.name) : "Error";
      } else {
        fault.message = shorten(text(error));
      }
    } catch {
      fault.message ||= "something was thrown that cannot be shown";
    }
    return fault;
  }

  function shorten(value) {
    return apply(toWellFormed, apply(slice, String(value), [0, LONGEST_TEXT]), []);
  }

  function text(value) {
    if (typeof value === "string") return value;
    if (value instanceof Error) return String(value.stack ? `${value}\n${value.stack}` : value);
    try {
      return (typeof value === "object" && stringify(value)) || String(value);
    } catch {
      return `[${typeof value} that cannot be shown]`;
    }
  }

  // --- what scripts import from "trimtab" ---

  let active = false; // an event is in hand: number `cursor` of the batch
  let emitted; // by sink: the indexes of events, and what they emitted
  let size; // characters in `emitted`

  function emit(sink, value) {
    if (!active) {
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

  function clearEmitted() {
    size = 0;
    emitted = { __proto__: null };
    for (let i = 0; i < sinkNames.length; i++) {
      emitted[sinkNames[i]] = { __proto__: null, at: setPrototypeOf([], null), lines: setPrototypeOf([], null) };
    }
  }

  function dropEmitted(index) {
    for (let i = 0; i < sinkNames.length; i++) {
      const { at, lines } = emitted[sinkNames[i]];
      while (at.length > 0 && at[at.length - 1] === index) at.length--;
      lines.length = at.length;
    }
  }

  let settingsTree;
  let settingsRead; // by path, what settings.get found

  function setSettings({ tree }) {
    settingsTree = tree;
    settingsRead = { __proto__: null };
  }

  function readSetting(path) {
    if (typeof path !== "string") throw new TypeError(`settings.get expects a dotted path, got ${typeof path}`);
    let value = settingsTree;
    const parts = apply(split, path, ["."]);
    for (let i = 0; i < parts.length; i++) {
      const inside = typeof value === "object" && value !== null && !isArray(value) && hasOwn(value, parts[i]);
      if (!inside) return undefined;
      value = value[parts[i]];
    }
    return value;
  }

  const settings = freeze({
    get(path, otherwise) {
      const known = settingsRead[path];
      if (known !== undefined) return known;
      const value = readSetting(path);
      if (value === undefined) return otherwise;
      return (settingsRead[path] = value);
    },
  });

  setSettings({ tree: start.settings });

  function objects(numbers) {
    const found = { __proto__: null };
    for (const name in numbers) found[name] = result(call("object\n" + numbers[name]));
    return found;
  }

  const api = freeze({ emit, settings, ...objects(bindings) });

  const levels = { __proto__: null, log: "info", info: "info", debug: "info", warn: "warn", error: "error" };
  const console = {};
  for (const method in levels) {
    console[method] = (...values) => {
      const parts = apply(map, values, [(value) => apply(toWellFormed, text(value), [])]);
      const message = apply(join, parts, [" "]);
      if (api.log) api.log[levels[method]](message);
      else ask("console", { __proto__: null, level: levels[method], message });
    };
  }
  globalThis.console = console;

  // --- CommonJS modules ---

  const modules = { __proto__: null };

  function requireFrom(base) {
    return function require(specifier) {
      const id = ask("resolve", { __proto__: null, base, specifier: String(specifier) });
      return requireById(id);
    };
  }

  function requireById(id) {
    if (id === "trimtab") return api;
    if (!modules[id]) runCommonJs(id);
    return modules[id].exports;
  }

  function compile(source) {
    return new Function("exports", "require", "module", "__filename", "__dirname", source);
  }

  // Returns what the body returned: the entry script's top-level names (see modules.py).
  function runCommonJs(id) {
    const { source, folder } = ask("source", { __proto__: null, id });
    const module = (modules[id] = { id, filename: id, exports: {}, require: requireFrom(id) });
    try {
      return apply(compile(source), module.exports, [module.exports, module.require, module, id, folder]);
    } catch (error) {
      delete modules[id];
      throw error;
    }
  }

  // ES modules that stand for "trimtab" and for CommonJS modules find what they export through this.
  defineProperty(globalThis, "__trimtab_require", { value: requireById });

  // --- loading, open, close ---

  const extension = extend?.(freeze(objects(extras)), api, freeze({ __proto__: null, text, isThenable, apply }));
  let found; // what the script defines

  function adopt(defined) {
    const names = extension?.adopt?.(defined) ?? defined;
    expect("handle", names.handle, "a function handle(event, ctx), exported or at the top level", "function");
    found = {
      __proto__: null,
      handle: names.handle,
      open: optional("open", names.open, "a function", "function"),
      close: optional("close", names.close, "a function", "function"),
    };
    return {
      __proto__: null,
      source: optional("source", names.source, "the name of a source, as text", "string"),
      where: optional("where", names.where, "an expression, as text", "string"),
      timeout: optional("timeout", names.timeout, 'seconds or a text such as "200ms"', "number", "string"),
    };
  }

  function optional(name, value, expected, type, otherType) {
    return value === undefined || value === null ? undefined : expect(name, value, expected, type, otherType);
  }

  function expect(name, value, expected, type, otherType) {
    if (typeof value === type || typeof value === otherType) return value;
    throw new TypeError(`${name}: expected ${expected}, got ${value === undefined ? "none" : typeof value}`);
  }

  // The result is read after all promise jobs have run, when Python turns it to JSON.
  function outcome(work) {
    const result = { __proto__: null, pending: true };
    settle(work, (value) => {
      result.pending = false;
      result.value = value;
    }, (error) => {
      result.pending = false;
      result.error = describe(error);
    });
    return { __proto__: null, toJSON: () => result };
  }

  function settle(work, done, failed) {
    try {
      const value = work();
      if (isThenable(value)) apply(then, apply(resolve, Promise, [value]), [done, failed]);
      else done(value);
    } catch (error) {
      failed(error);
    }
  }

  function isThenable(value) {
    return typeof value === "object" && value !== null && (value instanceof Promise || typeof value.then === "function");
  }

  function load({ id, format }) {
    return outcome(() => {
      if (format === "module") return apply(then, import(id), [adopt]);
      const names = runCommonJs(id);
      const { exports } = modules[id];
      return adopt(names === undefined || exports?.handle !== undefined ? exports ?? {} : names);
    });
  }

  // --- events ---

  const BATCH = Symbol("batch");
  const INDEX = Symbol("index");

  class Context {
    get id() { return fact(this, "ids"); }
    get source() { return this[BATCH].source; }
    get key() { return fact(this, "keys") ?? null; }
    get timestamp() { return fact(this, "timestamps") ?? this[BATCH].arrival; }
    get generation() { return this[BATCH].generation; }
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
    const facts = (batch[kind] ??= ask(kind, batch.number));
    return facts[context[INDEX]];
  }

  let events; // of the batch in hand
  let cursor = 0; // the event in hand, or the next one
  let reported; // the first event that no report covers
  let faults;
  let sampled; // the event whose time is taken
  let sample;
  let shared; // the prototype of all contexts of the batch
  let awaited; // how the promise of the event in hand stands
  let marked; // when the host was last told that a new event has begun
  let interval; // milliseconds until it is told again
  let reserve = new ArrayBuffer(1 << 21); // let go when memory is full, so that the report can still be made

  function begin(command) {
    events = command.events;
    cursor = reported = 0;
    sampled = command.sampled;
    interval = command.interval;
    awaited = undefined;
    shared = setPrototypeOf({ [BATCH]: setPrototypeOf(command, null) }, Context.prototype);
    forget();
    clear();
    return proceed();
  }

  function clear() {
    clearEmitted();
    faults = setPrototypeOf([], null);
    sample = null;
  }

  function proceed() {
    const { handle } = found;
    const count = events.length;
    active = true;
    marked = now(); // the limit starts anew whenever the interpreter is entered
    while (cursor < count) {
      const started = now();
      if (started - marked >= interval) {
        call("mark");
        marked = started;
      }
      let promise;
      try {
        const result = handle(events[cursor], { __proto__: shared, [INDEX]: cursor });
        if (result !== undefined && isThenable(result)) promise = result;
      } catch (error) {
        if (fail(error)) return finish(true);
      }
      if (promise !== undefined) return wait(promise, started);
      if (held.any) release();
      if (cursor === sampled) sample = now() - started;
      cursor++;
      if (size > FLUSH) report(false, false);
    }
    return finish(false);
  }

  // Records the failure of the event in hand. Returns whether memory is full: then the interpreter is to be replaced.
  function fail(error) {
    const full = isOutOfMemory(error);
    if (full) reserve = undefined;
    failWith(describe(error));
    return full;
  }

  function failWith(fault) {
    dropEmitted(cursor);
    fault.at = cursor;
    faults[faults.length] = fault;
  }

  function finish(full) {
    active = false;
    if (full) cursor++;
    report(false, full);
  }

  // Everything before the event in hand is reported first: an interrupt among its promise jobs loses nothing then.
  function wait(promise, started) {
    const ticket = (awaited = { __proto__: null, pending: true });
    report(true, false);
    settle(() => promise, () => {
      ticket.pending = false;
      if (cursor === sampled && awaited === ticket) sample = now() - started;
    }, (error) => {
      ticket.pending = false;
      ticket.failed = true;
      ticket.error = error;
    });
  }

  function proceedAfterJobs() {
    const ticket = awaited;
    awaited = undefined;
    forget();
    if (ticket !== undefined) {
      if (ticket.pending) fail(new Error("the promise that handle returned was never settled; nothing can settle it"));
      else if (ticket.failed && fail(ticket.error)) return finish(true);
      cursor++;
    }
    return proceed();
  }

  // The event in hand was stopped by the host.
  function stop({ fault }) {
    awaited = undefined;
    if (events !== undefined && cursor < events.length) {
      failWith({ __proto__: null, name: fault.name, message: fault.message, stack: "" });
      cursor++;
    }
    finish(false);
  }

  function report(awaiting, full) {
    const at = { __proto__: null };
    const parts = setPrototypeOf([], null);
    for (let i = 0; i < sinkNames.length; i++) {
      const buffer = emitted[sinkNames[i]];
      if (buffer.at.length === 0) continue;
      at[sinkNames[i]] = buffer.at;
      parts[parts.length] = apply(join, buffer.lines, ["\n"]);
    }
    const head = { __proto__: null, start: reported, next: cursor, awaiting, full, faults, sample, at };
    const message = "report\n" + stringify(head) + "\n" + apply(join, parts, ["\n"]);
    reported = cursor;
    clear();
    result(call(message));
  }

  // --- commands ---

  const commands = {
    __proto__: null,
    compiles: ({ source }) => outcome(() => void compile(source)),
    load,
    open: () => outcome(() => found.open?.()),
    close: () => outcome(() => found.close?.()),
    settings: setSettings,
    begin,
    resume: proceedAfterJobs,
    stop,
  };

  let input;
  const hidden = getOwnPropertyDescriptor({ get dukpy() {
    const command = input;
    input = undefined;
    return command?.token === token ? commands[command.do](command) : undefined;
  }, set dukpy(command) {
    input = command;
  } }, "dukpy");
  hidden.configurable = hidden.enumerable = false;
  defineProperty(globalThis, "dukpy", hidden);
  defineProperty(globalThis, "call_python", { get: undefined, set() {}, configurable: false, enumerable: false });
}
