// The host's half inside each interpreter, run once before any of the script's code.
//
// Python enters by setting the global `dukpy` to a command and reading it back, which runs the command. The prelude
// calls Python through `call_python`, which scripts never see. A script may overwrite every built-in of its own
// interpreter, so everything needed after the start is captured here, and what crosses to Python is made of strings
// and of objects without a prototype.
//
// `connect`: see objects.js; `loop`: events.js; `fly`: tickets.js; `build`: pattern.js. `extend`, where there is one, adds what only some
// scripts find: called before any of the script's code with its own script objects, by name, with what scripts import,
// and with tools of the prelude. It may return `adopt`, which makes of what a script defines what the prelude expects.
(connect, loop, fly, build, extend) => {
  "use strict";

  const native = globalThis.call_python;
  const start = globalThis.dukpy;
  const { token, tag, script, sinks: sinkNames, bindings, extras, memoryExceeded } = start;

  const { Boolean, Error, Function, InternalError, Promise, Proxy, RegExp, TypeError, String } = globalThis;
  const { apply } = Reflect;
  const { stringify } = JSON;
  const { freeze, defineProperty, getOwnPropertyDescriptor, getPrototypeOf, hasOwn } = Object;
  const { isArray } = Array;
  const { join, map, some } = Array.prototype;
  const { exec } = RegExp.prototype;
  const { toString: source } = Function.prototype;
  const { slice, split, toWellFormed } = String.prototype;
  const { then } = Promise.prototype;
  const { resolve } = Promise;
  const AsyncFunction = getPrototypeOf(async () => {}).constructor;

  const LONGEST_TEXT = 4000; // characters of an error's message or stack that are kept

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

  // What the parts of the prelude share of the moment.
  const hand = {
    __proto__: null,
    at: () => -1, // number of the event in hand in its batch; -1: none is
    touched: -1, // the last event that has called Python
    verb: "call", // how calls of script objects are asked for: "call" may give a promise, "direct" never does
    wait: undefined, // makes the promise of a call that waits
    any: false, // whether Python has made objects that end with the event in hand
    wrapped: { __proto__: null }, // script objects by number
  };
  const { result, failure, release } = connect(call, tag, isThenable, hand);

  // QuickJS throws null where there is no memory left for an error object.
  function isOutOfMemory(error) {
    return error === null || (error instanceof InternalError && error.message === "out of memory");
  }

  let reserve = new ArrayBuffer(1 << 21); // let go when memory is full, so that this can still be told

  function describe(error) {
    if (isOutOfMemory(error)) reserve = undefined;
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

  const found = { __proto__: null }; // the functions of the script
  const tools = freeze({
    __proto__: null, apply, call, ask, result, failure, release, describe, isOutOfMemory, isThenable, found, hand,
  });
  const events = loop(tools, sinkNames, script);
  const { emit, begin, proceed, stop } = events;
  const flights = fly(tools, events);

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

  const patterns = build(script.name);
  const api = freeze({ emit, settings, pattern: patterns.api, begin: patterns.begin, ...objects(bindings) });

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

  // Calls of script objects inside `work` may give promises, others of the extension's do not.
  function waiting(work) {
    hand.verb = "call";
    try {
      return work();
    } finally {
      hand.verb = "direct";
    }
  }

  const extension = extend?.(freeze(objects(extras)), api, freeze({ __proto__: null, text, isThenable, apply, waiting }));

  if (extend) hand.verb = "direct";

  const OPTIONAL = ["open", "close", "onTimer", "migrate"];
  const DURATION = 'seconds or a text such as "200ms"';

  let own; // what the script defines, by name
  let rule; // the pattern that it looks for
  const PARAMETERS = /^(?:async\s+)?(?:function\s*[\w$]*\s*)?\(?\s*([\w$]+)?(?:\s*,\s*([\w$]+))?/;

  // Rules call these: they take a match, or a partial match, or are called `process`.
  function isForRules(name) {
    if (typeof own[name] !== "function") return false;
    const [, first, second] = apply(exec, PARAMETERS, [apply(source, own[name], [])]) ?? [];
    return first === "match" || second === "partial" || name === "process";
  }

  // Functions inside the pattern of the script are named by their places there: "@0".
  function functionOf(name) {
    return name[0] === "@" ? rule?.functions[apply(slice, name, [1])] : own[name];
  }

  function functionNames() {
    const names = [];
    for (const name in own) if (typeof own[name] === "function") names[names.length] = name;
    return names;
  }

  // Makes a function of the script one of those that events can be handed to. Returns whether it is asynchronous.
  function callable({ name }) {
    return outcome(() => {
      const named = functionOf(name);
      if (typeof named !== "function") return { __proto__: null, names: functionNames() };
      found[name] = named;
      return { __proto__: null, asynchronous: named instanceof AsyncFunction };
    });
  }

  function asked({ name, event, partial }) {
    return outcome(() => {
      const condition = functionOf(name);
      if (typeof condition !== "function") throw new TypeError(`expected a function ${name}, got none`);
      const stages = new Proxy(partial, { get: (all, stage) => (hasOwn(all, stage) ? all[stage] : []) });
      return Boolean(condition(event, stages));
    });
  }

  function adopt(defined) {
    const names = (own = extension?.adopt?.(defined) ?? defined);
    rule = patterns.exported(names.pattern);
    const needed = rule || names.handle !== undefined || !apply(some, functionNames(), [isForRules]);
    if (needed) {
      const what = `a function handle(${rule ? "match" : "event"}, ctx), exported or at the top level`;
      found.handle = expect("handle", names.handle, what, "function");
    }
    for (let i = 0; i < OPTIONAL.length; i++) {
      found[OPTIONAL[i]] = optional(OPTIONAL[i], names[OPTIONAL[i]], "a function", "function");
    }
    const functions = { __proto__: null }; // by name, whether it is asynchronous
    for (const name in found) {
      if (found[name] !== undefined) functions[name] = found[name] instanceof AsyncFunction;
    }
    return {
      __proto__: null,
      functions,
      source: optional("source", names.source, "the name of a source, as text", "string"),
      where: optional("where", names.where, "an expression, as text", "string"),
      timeout: optional("timeout", names.timeout, DURATION, "number", "string"),
      attempts: optional("attempts", names.attempts, "a whole number", "number"),
      backoff: optional("backoff", names.backoff, DURATION, "number", "string"),
      concurrency: optional("concurrency", names.concurrency, "a whole number", "number"),
      state: typeof names.state === "string" ? names.state : undefined, // else what the script imports by this name
      pattern: rule?.json,
    };
  }

  function optional(name, value, expected, type, otherType) {
    return value === undefined || value === null ? undefined : expect(name, value, expected, type, otherType);
  }

  function expect(name, value, expected, type, otherType) {
    const number = typeof value === "number";
    if ((typeof value === type || typeof value === otherType) && !(number && value - value !== 0)) return value;
    throw new TypeError(`${name}: expected ${expected}, got ${value === undefined ? "none" : number ? value : typeof value}`);
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

  // Returns the values that take the place of those that another version has left.
  function migrate({ values, version }) {
    return outcome(() => {
      const made = found.migrate(values, version) ?? values;
      if (typeof made === "object" && !isArray(made) && !isThenable(made)) return made;
      throw new TypeError(`migrate: expected an object with the values, got ${isArray(made) ? "an array" : text(made)}`);
    });
  }

  // --- commands ---

  const commands = {
    __proto__: null,
    compiles: ({ source }) => outcome(() => void compile(source)),
    load,
    open: () => outcome(() => found.open?.()),
    close: () => outcome(() => found.close?.()),
    settings: setSettings,
    migrate,
    callable,
    asked,
    begin,
    proceed,
    stop,
    ...flights,
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
