// The globals that scripts written for Lofka's night-watcher find: `extend` of prelude.js.
//
// `extras.lofka` makes the connections (plugins/lofka), `extras.script` tells of the script (lofka.py).
(extras, api, tools) => {
  "use strict";

  const { lofka, script } = extras;
  const { emit, settings } = api;

  const global = globalThis;
  const evaluate = global.eval; // called by another name, so that it runs code in the global scope

  // Lines that come before code which is not the script's own, so that no place in it is taken for one of the script's.
  const AWAY = "\n".repeat(script.lines + 2);
  const evaluateAway = (code) => (typeof code === "string" ? evaluate(AWAY + code) : code);

  // --- what is asynchronous in Lofka ---

  // What is to be done for one event, or for open(), close() or the top level.
  class Work {
    tasks = []; // done in order, once the function that asked for them has returned
    requests = 0; // that wait for their answers
    failures = [];
    ended = () => {}; // told when nothing is left to do

    // Does all that can be done now, whatever fails.
    proceed() {
      inHand = this;
      while (this.tasks.length > 0) {
        try {
          this.tasks.shift()();
        } catch (error) {
          this.failures.push(error);
        }
      }
      if (this.requests === 0) this.ended();
    }

    // Does something when the answer is there, if `answer` is a promise of one.
    answered(answer, take, fail) {
      if (!tools.isThenable(answer)) return take(answer);
      const later = (task) => (value) => {
        this.requests--;
        this.tasks.push(() => task(value));
        this.proceed();
      };
      this.requests++;
      answer.then(later(take), later(fail));
    }
  }

  let inHand; // the work that goes on now

  // Does `task` and what it has left to do; then the first failure is thrown. Where requests wait, returns a promise.
  function complete(task) {
    const work = new Work();
    let result;
    const end = () => {
      if (work.failures.length > 0) throw work.failures[0];
      return result;
    };
    work.tasks.push(() => (result = task()));
    work.proceed();
    return work.requests === 0 ? end() : new Promise((ended) => (work.ended = ended)).then(end);
  }

  function create_thread(task) {
    return { start: () => void inHand.tasks.push(task) };
  }

  function async_execute(task) {
    const thread = create_thread(task);
    thread.start();
    return thread;
  }

  function sleep(milliseconds) {
    lofka.sleep(Number(milliseconds));
  }

  // --- log ---

  const { log, warn, error } = global.console;
  const json = (value) => JSON.stringify(value, null, 2);

  // None of these needs its `this`: they are handed around as callbacks.
  const console = {
    log, info: log, debug: log, warn, err: error, error,
    logJSON: (value) => log(json(value)),
    warnJSON: (value) => warn(json(value)),
    errJSON: (value) => error(json(value)),
  };

  // --- libraries ---

  const BUILT_IN = ["libCommon", "libHttp", "libMongoDB", "libRedis", "libSQL"];

  function load_library(name) {
    if (BUILT_IN.includes(String(name).replace(/\.js$/, ""))) return;
    console.err(
      `load_library: expected one of ${BUILT_IN.join(", ")}, got ${name}; ` +
        `put the library beside the script, as _${name}, and use load("./_${name}")`,
    );
  }

  function load(place) {
    return evaluateAway(/^https?:/i.test(place) ? lofka.load(String(place)) : script.library(String(place)));
  }

  // --- HTTP ---

  const fields = (data) => {
    const texts = {};
    for (const name in data) texts[name] = asText(data[name]);
    return texts;
  };

  const asText = (value) => (typeof value === "object" && value !== null ? JSON.stringify(value) : String(value));

  // Each sends a request, and reads its answer.
  const text = (answer) => answer;
  const get = { send: (url, data) => lofka.get(String(url), fields(data)), read: text };
  const getJSON = { send: (url, data) => lofka.get(String(url), fields(data), { json: true }), read: JSON.parse };
  const post = {
    send: (url, data) =>
      typeof data === "string" ? lofka.postText(String(url), data) : lofka.postForm(String(url), fields(data)),
    read: text,
  };

  const handOver = (value, callback) => (callback ? callback(value) : value);

  const blocking = ({ send, read }) => (url, data, callback) => handOver(read(send(url, data)), callback);

  const asynchronous = ({ send, read }) => (url, data, callback) => {
    const place = new Error().stack;
    // Where it was asked for is told of an error that has no place of the script's own.
    const fail = (error) => {
      if (error instanceof Error) error.stack += place;
      throw error;
    };
    const take = (answer) => {
      try {
        handOver(read(answer), callback);
      } catch (error) {
        fail(error);
      }
    };
    async_execute(() => {
      let answer;
      try {
        answer = tools.waiting(() => send(url, data));
      } catch (error) {
        fail(error);
      }
      inHand.answered(answer, take, fail);
    });
  };

  const syncHttp = { get: blocking(get), post: blocking(post), getJSON: blocking(getJSON) };
  const asyncHttp = { get: asynchronous(get), post: asynchronous(post), getJSON: asynchronous(getJSON) };

  // --- Redis ---

  // Collections that commands by Jedis names return: arrays and objects that also have the methods of Java's.
  class JavaList extends Array {
    static get [Symbol.species]() { return Array; }
    size() { return this.length; }
    isEmpty() { return this.length === 0; }
    get(index) { return this[index]; }
    contains(item) { return this.includes(item); }
    toArray() { return Array.from(this); }
    iterator() {
      let next = 0;
      return { hasNext: () => next < this.length, next: () => this[next++] };
    }
  }

  class JavaMap {
    size() { return Object.keys(this).length; }
    isEmpty() { return Object.keys(this).length === 0; }
    get(key) { return Object.hasOwn(this, key) ? this[key] : null; }
    containsKey(key) { return Object.hasOwn(this, key); }
    keySet() { return asInJava(Object.keys(this)); }
    values() { return asInJava(Object.values(this)); }
  }

  class Tuple {
    getElement() { return this.element; }
    getScore() { return this.score; }
  }

  function asInJava(value) {
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return Object.setPrototypeOf(value.map(asInJava), JavaList.prototype);
    const scored = "element" in value && typeof value.score === "number";
    return Object.setPrototypeOf(value, scored ? Tuple.prototype : JavaMap.prototype);
  }

  // Every name is a method of Jedis; see plugins/lofka/jedis.py.
  const jedis = (connection) => new Proxy({}, {
    get(_target, name) {
      if (typeof name === "symbol") return undefined;
      if (name === "close") return () => connection.close();
      return (...values) => asInJava(connection.command(name, values));
    },
  });

  function RedisCluster(hosts) {
    this.__conn = lofka.redis(Array.from(hosts, String));
    this.__jedis = jedis(this.__conn);
  }
  RedisCluster.prototype = {
    constructor: RedisCluster,
    get_connection() { return this.__jedis; },
    get(key) { return this.get_connection().get(key); },
    set(key, value) { return this.get_connection().set(key, value); },
    hget(key, field) { return this.get_connection().hget(key, field); },
    hgetall(key) { return java_object_to_json(this.get_connection().hgetAll(key)); },
    hmset(key, data) { return this.get_connection().hmset(key, fields(data)); },
    expire(key, seconds) { return this.get_connection().expire(key, seconds); },
    close() { this.__conn.close(); },
  };

  // --- SQL ---

  function SQLConnection(setting) {
    this.__conn = lofka.sql(setting);
  }
  SQLConnection.prototype = {
    constructor: SQLConnection,
    query(sql) { return this.__conn.query(String(sql)); },
    exec(sql) { this.__conn.exec(String(sql)); },
    close() { this.__conn.close(); },
  };

  // --- MongoDB: documents cross as extended JSON text, as they do in Lofka ---

  function MongoClient(setting) {
    this.__conn = lofka.mongo(setting);
  }
  MongoClient.prototype = {
    constructor: MongoClient,
    get_collection(db, coll) { return new MongoCollection(this.__conn.collection(String(db), String(coll))); },
    get_connection() { return refuse("com.mongodb.MongoClient"); },
    close() { this.__conn.close(); },
  };

  const extended = (value) => JSON.stringify(value ?? {});

  function MongoCollection(coll) {
    this.__coll = coll;
  }
  MongoCollection.prototype = {
    constructor: MongoCollection,
    find(filter) { return new MongoIterable(this.__coll, filter); },
    count(filter) { return this.__coll.count(extended(filter)); },
    aggregate(pipeline) { return JSON.parse(this.__coll.aggregate(extended(pipeline))); },
    insert(data) { this.__coll.insert(extended(data)); },
    remove(filter) { return this.__coll.remove(extended(filter)); },
    upsert_one(filter, data) { this.__coll.upsertOne(extended(filter), extended(data)); },
  };

  function MongoIterable(coll, filter) {
    this.__coll = coll;
    this.__query = { filter: filter ?? {} };
  }
  MongoIterable.prototype = {
    constructor: MongoIterable,
    first() { return JSON.parse(this.__coll.find(extended({ ...this.__query, limit: 1 })))[0] ?? null; },
    toArray() { return JSON.parse(this.__coll.find(extended(this.__query))); },
  };
  for (const part of ["filter", "hint", "projection", "sort", "limit", "skip"]) {
    MongoIterable.prototype[part] = function (value) {
      this.__query[part] = value;
      return this;
    };
  }

  // --- the JVM, which is not there ---

  const REPLACEMENTS = [
    ["java.lang.Thread", "sleep(milliseconds) or async_execute(function)"],
    ["java.util.concurrent", "async_execute(function)"],
    ["java.lang.System", "Date.now() for the time, console.log(text) for output"],
    ["java.util.Date", "new Date()"],
    ["java.util.Calendar", "new Date()"],
    ["java.time", "new Date()"],
    ["java.text.SimpleDateFormat", "new Date() and its toISOString()"],
    ["java.util.regex", "a regular expression: /.../"],
    ["java.util", "an array [] or an object {}"],
    ["com.google.common.collect", "an array [] or an object {}"],
    ["com.google.gson", "JSON.parse and JSON.stringify"],
    ["com.alibaba.fastjson", "JSON.parse and JSON.stringify"],
    ["java.math", "Number or BigInt"],
    ["java.net", "syncHttp or $"],
    ["org.apache.http", "syncHttp or $"],
    ["org.slf4j", "console"],
    ["redis.clients", "new RedisCluster([\"host:port\"])"],
    ["java.sql", "new SQLConnection({uri, user, password})"],
    ["com.mongodb", "new MongoClient({servers, auth})"],
    ["org.bson", "a plain object"],
    ["com.github.tsingjyujing", "the globals that docs/lofka.md lists"],
    ["java.lang", "what JavaScript has of its own"],
  ];

  function refuse(name) {
    const [, replacement] = REPLACEMENTS.find(([start]) => `${name}.`.startsWith(`${start}.`)) ?? [];
    const hint = replacement ? `use ${replacement}` : "docs/lofka.md lists what scripts have instead";
    throw new TypeError(`${name} is an object of the JVM, and there is no JVM here; ${hint}`);
  }

  // Stands for a package or class: may be named, and is refused when it is used.
  const jvm = (name) => new Proxy(function () {}, {
    get: (_target, part) => (typeof part === "symbol" ? undefined : jvm(name ? `${name}.${part}` : part)),
    apply: () => refuse(name),
    construct: () => refuse(name),
  });

  const Java = {
    type: (name) => refuse(String(name)),
    from: (list) => Array.from(list),
    to: (list) => list,
    extend: () => refuse("Java.extend"),
    super: () => refuse("Java.super"),
    synchronized: () => refuse("Java.synchronized"),
  };

  const TOOLS = "com.github.tsingjyujing.lofka.nightwatcher.engine.tool";

  const java_object_to_json_string = (value) => JSON.stringify(value);
  const java_object_to_json = (value) => JSON.parse(java_object_to_json_string(value));

  // --- the global names; scripts may replace each of them ---

  const names = {
    $: asyncHttp, asyncHttp, syncHttp, RedisCluster, SQLConnection, MongoClient, MongoCollection, MongoIterable,
    console, print: log, load, load_library, __global_eval: evaluateAway, async_execute, create_thread, sleep,
    java_object_to_json, java_object_to_json_string,
    Java, Packages: jvm(""), JavaImporter: jvm("JavaImporter"), Thread: jvm("java.lang.Thread"),
    ArrayList: jvm("java.util.ArrayList"), Document: jvm("org.bson.Document"),
    Lists: jvm("com.google.common.collect.Lists"), __ENGINE_TOOLS: jvm(`${TOOLS}.CommonTools`),
    get_tool_type: (name) => refuse(`${TOOLS}.${name}`),
    java: jvm("java"), javax: jvm("javax"), javafx: jvm("javafx"), com: jvm("com"), edu: jvm("edu"), org: jvm("org"),
  };
  for (const name in names) {
    Object.defineProperty(global, name, { value: names[name], writable: true, configurable: true });
  }

  // --- results: a text goes to a sink, if there is one for it ---

  let dropped = false;

  function deliver(result) {
    if (result === undefined || result === null) return;
    const named = settings.get("lofka.sink");
    if (named !== undefined || lofka.sinks.includes("lofka")) {
      emit(named ?? "lofka", String(result));
    } else if (!dropped) {
      dropped = true;
      warn("processing_data returns a value and nothing takes it: configure [sinks.lofka], or name a sink in " +
        "[settings.lofka] sink");
    }
  }

  // --- the script ---

  const RUN = "__lofka";
  const HEAD = "\n\n"; // as many lines as `new Function` puts before the body of a module
  const NAMES = ["open", "close", "processing_data"];
  // The last value of the code: finds what the names stand for when it is called, wherever the script has defined them.
  const FINDERS = NAMES.map((name) => `${name}: () => typeof ${name} === "undefined" ? undefined : ${name}`);
  const TAIL = `\n;({__proto__: null, ${FINDERS.join(", ")}});`;

  // Called by the module that stands for the script; see lofka.py.
  function run(source) {
    delete global[RUN];
    const defined = complete(() => evaluate(HEAD + source + TAIL));
    if (defined.processing_data() === undefined) warn("no function processing_data is defined: events pass by this script");
    const handled = (event) => complete(() => required(defined.processing_data())(event));
    const optional = (name) => () => void complete(() => defined[name]()?.());
    return {
      __proto__: null,
      timeout: script.timeout,
      open: optional("open"),
      close: optional("close"),
      handle: script.asynchronous ? async (event) => deliver(await handled(event)) : (event) => deliver(handled(event)),
    };
  }

  function required(processing_data) {
    if (typeof processing_data === "function") return processing_data;
    if (processing_data === undefined) return () => undefined; // a script of setup and experiments
    throw new TypeError(`processing_data: expected a function of that name, got ${typeof processing_data}`);
  }

  Object.defineProperty(global, RUN, { value: run, configurable: true });
}
