// Script objects as JavaScript sees them: what bindings are, and what they hand out.
//
// Called by the prelude before any of the script's code, with `call`, which hands a message to Python, and with `tag`,
// which begins every text that stands for something JSON cannot hold. The tag is secret, so no script writes it.
// `hand`: what the parts of the prelude share; see there.
(call, tag, isThenable, hand) => {
  "use strict";

  const { ArrayBuffer, Date, Error, Iterator, Promise, Proxy, TypeError, Uint8Array, Uint32Array } = globalThis;
  const { apply } = Reflect;
  const { bind } = Function.prototype;
  const { stringify } = JSON;
  const { defineProperty, freeze, getOwnPropertyDescriptor, getOwnPropertyNames, getPrototypeOf, hasOwn } = Object;
  const { setPrototypeOf } = Object;
  const { add, has } = WeakSet.prototype;
  const { getTime } = Date.prototype;
  const { then } = Promise.prototype;
  const { resolve } = Promise;
  const { iterator, asyncIterator } = Symbol;
  const arrayPrototype = Array.prototype;
  const iteratorPrototype = Iterator.prototype;
  const asyncIteratorPrototype = getPrototypeOf(getPrototypeOf((async function* () {}).prototype));
  const typedArrayPrototype = getPrototypeOf(Uint8Array.prototype);
  const { join, set } = typedArrayPrototype;
  const lengthOf = getOwnPropertyDescriptor(typedArrayPrototype, "length").get;

  const WORD = 4; // bytes that travel as one number

  // --- answers ---

  // An answer is a list, because a script can add to the prototype of objects: its kind, its content, and the bytes
  // that belong in the content. See values.py.
  const RESULT = 0;
  const OBJECT = 1;
  const ERROR = 2;
  const PENDING = 3;

  // Returns what Python answered, if anything; throws the error that it answered with.
  function result(answer) {
    if (!answer) return undefined;
    if (answer.length > 2) fill(answer[1], answer[2]);
    if (answer[0] === RESULT) return answer[1][0];
    if (answer[0] === OBJECT) return object(answer[1]);
    if (answer[0] === ERROR) throw failure(answer[1]);
    if (answer[0] === PENDING) return hand.wait(answer[1]);
    return new Promise((resolve) => resolve(result(answer[1]))); // what waits elsewhere was done at once
  }

  function failure({ name, message, ...details }) {
    const error = new Error(message);
    for (const key in details) put(error, key, details[key]);
    return put(error, "name", name);
  }

  function put(target, name, value) {
    return defineProperty(target, name, { __proto__: null, value, writable: true, enumerable: true, configurable: true });
  }

  // Puts each Uint8Array where Python has left a gap for it.
  function fill(content, blobs) {
    for (let i = 0; i < blobs.length; i++) {
      const path = blobs[i][0];
      let holder = content;
      for (let step = 0; step < path.length - 1; step++) holder = holder[path[step]];
      holder[path[path.length - 1]] = bytesOf(blobs[i][1], blobs[i][2]);
    }
  }

  function bytesOf(length, words) {
    const buffer = new ArrayBuffer(words.length * WORD);
    apply(set, new Uint32Array(buffer), [setPrototypeOf(words, null)]);
    const bytes = new Uint8Array(buffer, 0, length);
    return length === words.length * WORD ? bytes : new Uint8Array(bytes); // without what fills the last word
  }

  // --- arguments ---

  const ours = new WeakSet();

  function pack(name, values) {
    let simple = true;
    for (let i = values.length; i-- > 0; ) {
      const value = values[i];
      if (value === undefined && i === values.length - 1) values.length = i;
      else if (typeof value === "function") {
        if (apply(has, ours, [value])) throw new TypeError(`${shown(name)}: ${REFUSAL}`);
        throw new TypeError(`${shown(name)}: expected plain values, got a function as argument ${i + 1}`);
      } else if (typeof value === "bigint" || (typeof value === "object" && value !== null)) simple = false;
    }
    setPrototypeOf(values, null);
    try {
      return simple ? stringify(values) : stringify(values, tagged);
    } catch (error) {
      throw error === REFUSED ? new TypeError(`${shown(name)}: ${REFUSAL}`) : error;
    }
  }

  const REFUSED = {};
  const REFUSAL = "expected plain values, got an object of a binding; pass what you have read from it";

  // For JSON.stringify, which has called `toJSON` already, also that of dates.
  function tagged(key, value) {
    const original = this[key];
    if (original === undefined) return null; // left out, a condition would be gone: that of a deletion, say
    if (typeof original === "string" || typeof original === "number") return value;
    if (typeof value === "bigint") return `${tag}i${value}`;
    if ((typeof original !== "object" && typeof original !== "function") || original === null) return value;
    if (apply(has, ours, [original])) throw REFUSED;
    if (original instanceof Date) return date(original);
    if (value instanceof Uint8Array) return bytes(value);
    if (value instanceof ArrayBuffer) return bytes(new Uint8Array(value));
    return value;
  }

  function date(value) {
    const time = apply(getTime, value, []);
    return time === time ? `${tag}d${time}` : null;
  }

  function bytes(value) {
    const length = apply(lengthOf, value, []);
    const buffer = new ArrayBuffer(length + ((WORD - (length % WORD)) % WORD));
    apply(set, new Uint8Array(buffer), [value]);
    return `${tag}b${length}:${apply(join, new Uint32Array(buffer), [","])}`;
  }

  function shown(name) {
    return name === CALL ? "the call" : name;
  }

  // --- objects ---

  const CALL = "__call__";
  const shapes = { __proto__: null }; // what is the same for all objects of one class of Python's, by number

  // Where things are in the content of an answer.
  const NUMBER = 0;
  const SHAPE = 1;
  const LIFE = 2;
  const FIELDS = 3;

  // How long an object lasts: as long as the event, of which Python is to be told or has been told, or longer. See objects.py.
  const FRESH = 1;
  const LASTING = 2;
  const MOST_LASTING = 1000;
  let lasting = { __proto__: null }; // by number
  let count = 0;

  // Lets go of the objects that were made for the event in hand.
  function release() {
    hand.any = false;
    hand.wrapped = { __proto__: null };
    call("release");
  }

  function object(content) {
    const number = content[NUMBER];
    if (content[LIFE] === LASTING) return (lasting[number] ??= makeLasting(number, content));
    if (content[LIFE] === FRESH) hand.any = true;
    return (hand.wrapped[number] ??= make(number, content));
  }

  // Python does not tell when such an object is gone, so now and then all are let go, and made again when they are met.
  function makeLasting(number, content) {
    if (++count > MOST_LASTING) {
      count = 0;
      lasting = { __proto__: null };
    }
    return make(number, content);
  }

  function make(number, content) {
    const shape = (shapes[content[SHAPE]] ??= result(call("shape\n" + content[SHAPE])));
    const { methods, scopes, fields } = shape;
    const target = shape.callable ? method(number, CALL) : {};
    for (let i = 0; i < methods.length; i++) put(target, methods[i], method(number, methods[i]));
    for (let i = 0; i < scopes.length; i++) put(target, scopes[i], scoped(number, scopes[i]));
    for (let i = 0; i < fields.length; i++) put(target, fields[i], content[FIELDS + i]);
    if (shape.pages) addPages(target, number);
    const made = shape.any ? new Proxy(freeze(target), { __proto__: null, get: finder(number) }) : freeze(target);
    apply(add, ours, [made]);
    return made;
  }

  function method(number, name) {
    return apply(bind, invoke, [undefined, name, `\n${number}\n${stringify(name)}\n`]);
  }

  function invoke(name, what, ...values) {
    return result(call(request(hand.verb) + what + pack(name, values)));
  }

  // Begins a message that tells which event is in hand.
  function request(verb) {
    hand.touched = hand.at();
    return verb + "\n" + hand.touched;
  }

  // What every object has, and what the language looks for to find out what an object can do: no methods of Python's.
  const language = { __proto__: null, then: true, toJSON: true };
  const common = getOwnPropertyNames(Object.prototype);
  for (let i = 0; i < common.length; i++) language[common[i]] = true;

  function finder(number) {
    const found = { __proto__: null };
    return (target, name) => {
      if (typeof name !== "string" || name[0] === "_" || language[name] || hasOwn(target, name)) return target[name];
      return (found[name] ??= method(number, name));
    };
  }

  // --- scopes ---

  function scoped(number, name) {
    const what = `\n${number}\n${stringify(name)}\n`;
    return (work, ...values) => {
      if (typeof work !== "function") {
        throw new TypeError(`${name}: expected a function as argument 1, got ${typeof work}`);
      }
      const answer = call(request("direct") + what + pack(name, values));
      const scope = result(answer);
      return within(answer[1][NUMBER], () => work(scope));
    };
  }

  function within(number, work) {
    let value;
    try {
      value = work();
    } catch (error) {
      throw rolledBack(number, error);
    }
    if (!isThenable(value)) return commit(number, value);
    return apply(then, apply(resolve, Promise, [value]), [
      (settled) => commit(number, settled),
      (error) => { throw rolledBack(number, error); },
    ]);
  }

  function commit(number, value) {
    return result(call("commit\n" + number)) ?? value;
  }

  function rolledBack(number, error) {
    try {
      call("end\n" + number);
    } catch {
      // no memory is left to ask; Python does it when the interpreter is left
    }
    return error;
  }

  // --- pages ---

  function addPages(target, number) {
    let page = [];
    let at = 0;
    let ended = false;
    const take = (next) => {
      at = 0;
      page = next;
      ended = page.length === 0;
    };
    const step = () => (ended ? { value: undefined, done: true } : { value: page[at++], done: false });
    const ask = (kind) => {
      ended = true; // if this throws
      return result(call(kind + "\n" + number));
    };
    const close = () => {
      if (!ended) call("end\n" + number);
      ended = true;
    };
    const next = () => {
      if (!ended && at === page.length) take(ask("next"));
      return step();
    };
    const nextLater = async () => {
      if (!ended && at === page.length) take(await ask("page"));
      return step();
    };
    const all = { __proto__: iteratorPrototype, next, return: (value) => (close(), { value, done: true }) };
    const later = { __proto__: asyncIteratorPrototype, next: nextLater, return: async (value) => all.return(value) };
    defineProperty(target, iterator, { __proto__: null, value: () => all });
    defineProperty(target, asyncIterator, { __proto__: null, value: () => later });
    put(target, "close", close);
    put(target, "toArray", () => {
      const values = setPrototypeOf([], null);
      const add = () => {
        while (!ended && at < page.length) values[values.length] = page[at++];
      };
      const rest = async (asked) => {
        for (take(await asked); !ended; take(await ask("page"))) add();
        return setPrototypeOf(values, arrayPrototype);
      };
      add();
      while (!ended) {
        const asked = ask("page");
        if (asked instanceof Promise) return rest(asked);
        take(asked);
        add();
      }
      return setPrototypeOf(values, arrayPrototype);
    });
  }

  return { __proto__: null, result, failure, release };
}
