// Patterns as scripts write them: `begin("a").where("x > 1").next("b").within("20s")`, with the words of Flink's Pattern.
//
// Called by the prelude before any of the script's code, with the script's name. What a pattern serialises to is the JSON
// of rules (docs/cep.md). What a rule may not be is said when the script is loaded, by Python, which reads that JSON.
(script) => {
  "use strict";

  const { Set, String, TypeError } = globalThis;
  const { freeze, getPrototypeOf, prototype: plainPrototype } = Object;
  const { isArray } = Array;

  const CLASSES = "org.apache.flink.cep.pattern.conditions.";
  const UNITS = [["DAYS", 86_400_000], ["HOURS", 3_600_000], ["MINUTES", 60_000], ["SECONDS", 1000], ["MILLISECONDS", 1]];
  const SUFFIXES = { __proto__: null, ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  const DURATION = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*$/;
  const LONGEST = 100 * 365 * 86_400_000;
  const SINGLE = freeze({ consumingStrategy: "SKIP_TILL_NEXT", properties: ["SINGLE"] });

  function refused(stage, expected, got) {
    return new TypeError(`${stage}: expected ${expected}, got ${shown(got)}`);
  }

  function shown(value) {
    return typeof value === "string" ? `'${value}'` : typeof value === "function" ? "a function" : String(value);
  }

  function time(stage, duration) {
    const match = typeof duration === "string" ? DURATION.exec(duration) : undefined;
    const size = match ? match[1] * SUFFIXES[match[2]] : typeof duration === "number" ? duration * 1000 : NaN;
    if (!(size >= 0.5 && size <= LONGEST)) {
      throw refused(stage, 'a duration such as "200ms", "5s", "2m", "1h", "1d", or a number of seconds', duration);
    }
    const milliseconds = Math.round(size);
    const [unit, length] = UNITS.find((each) => milliseconds % each[1] === 0);
    return { unit, size: milliseconds / length };
  }

  function count(stage, number, least) {
    if (Number.isSafeInteger(number) && number >= least) return number;
    throw refused(stage, `a whole number from ${least} on`, number);
  }

  function conditionOf(stage, condition) {
    if (typeof condition === "string" && condition !== "") return { type: "AVIATOR", expression: condition };
    if (typeof condition === "function" || isPlain(condition)) return condition;
    throw refused(stage, "a condition: an expression or a function (event, partial) => boolean", condition);
  }

  function isPlain(value) {
    if (typeof value !== "object" || value === null || isArray(value)) return false;
    const prototype = getPrototypeOf(value);
    return prototype === plainPrototype || prototype === null;
  }

  function stageOf(edge, stage, options) {
    const base = { edge, repeat: "SINGLE", optional: false, greedy: false, inner: "SKIP_TILL_NEXT", windows: [] };
    if (stage instanceof Pattern) return { ...base, name: options?.name ?? "", group: stage };
    if (typeof stage === "string" && stage !== "") return { ...base, name: stage };
    throw refused("stage", "the name of a stage, or a group: another pattern", stage);
  }

  class Pattern {
    #stages;
    #skip;

    constructor(stages, skip) {
      this.#stages = stages;
      this.#skip = skip;
      freeze(this);
    }

    // --- stages ---

    next(stage, options) {
      return this.#followed("STRICT", stage, options);
    }

    followedBy(stage, options) {
      return this.#followed("SKIP_TILL_NEXT", stage, options);
    }

    followedByAny(stage, options) {
      return this.#followed("SKIP_TILL_ANY", stage, options);
    }

    notNext(stage) {
      return this.#followed("NOT_NEXT", stage);
    }

    notFollowedBy(stage) {
      return this.#followed("NOT_FOLLOW", stage);
    }

    // --- conditions ---

    where(condition) {
      return this.#joined("RichAndCondition", condition);
    }

    or(condition) {
      return this.#joined("RichOrCondition", condition);
    }

    until(condition) {
      if (this.#last.until !== undefined) throw refused(this.#last.name, "until once", "a second one");
      return this.#with({ until: conditionOf(this.#last.name, condition) });
    }

    // --- how often ---

    times(least, most, options) {
      const [to, given] = typeof most === "object" && most !== null ? [undefined, most] : [most, options];
      const name = this.#last.name;
      return this.#repeated("TIMES", count(name, least, 0), count(name, to ?? least, 1), given);
    }

    timesOrMore(least, options) {
      return this.#repeated("LOOPING", count(this.#last.name, least, 1), least, options);
    }

    oneOrMore(options) {
      return this.#repeated("LOOPING", 1, 1, options);
    }

    optional() {
      return this.#with({ optional: true });
    }

    greedy() {
      return this.#with({ greedy: true });
    }

    consecutive() {
      return this.#between("STRICT");
    }

    allowCombinations() {
      return this.#between("SKIP_TILL_ANY");
    }

    // --- the whole ---

    within(duration, options) {
      const type = options?.previous ? "PREVIOUS_AND_CURRENT" : "FIRST_AND_LAST";
      const others = this.#last.windows.filter((window) => window.type !== type);
      return this.#with({ windows: [...others, { type, time: time(this.#last.name, duration) }] });
    }

    noSkip() {
      return new Pattern(this.#stages, { type: "NO_SKIP" });
    }

    skipToNext() {
      return new Pattern(this.#stages, { type: "SKIP_TO_NEXT" });
    }

    skipPastLastEvent() {
      return new Pattern(this.#stages, { type: "SKIP_PAST_LAST_EVENT" });
    }

    skipToFirst(stage) {
      return new Pattern(this.#stages, { type: "SKIP_TO_FIRST", patternName: stage });
    }

    skipToLast(stage) {
      return new Pattern(this.#stages, { type: "SKIP_TO_LAST", patternName: stage });
    }

    // The functions that are conditions; the JSON names them by their place here: "SCRIPT#@0".
    get functions() {
      const functions = [];
      this.#json(functions);
      return functions;
    }

    toJSON() {
      return this.#json([]);
    }

    // --- how it is done ---

    get #last() {
      return this.#stages[this.#stages.length - 1];
    }

    #with(changes) {
      return new Pattern([...this.#stages.slice(0, -1), { ...this.#last, ...changes }], this.#skip);
    }

    #followed(edge, stage, options) {
      return new Pattern([...this.#stages, stageOf(edge, stage, options)], this.#skip);
    }

    #joined(name, condition) {
      const { condition: before, name: stage } = this.#last;
      const given = conditionOf(stage, condition);
      const nestedConditions = [before, given];
      return this.#with({
        condition: before === undefined ? given : { type: "CLASS", className: CLASSES + name, nestedConditions },
      });
    }

    #repeated(repeat, from, to, options) {
      const { name, repeat: before } = this.#last;
      if (before !== "SINGLE") throw refused(name, "one quantifier", `another one, beside ${before}`);
      const within = options?.within;
      const windowTime = within === undefined || within === null ? undefined : time(name, within);
      return this.#with({ repeat, times: { from, to, windowTime } });
    }

    #between(inner) {
      const { inner: before, name } = this.#last;
      if (before !== "SKIP_TILL_NEXT" && before !== inner) throw refused(name, "consecutive or allowCombinations", "both");
      return this.#with({ inner });
    }

    #json(functions) {
      const names = new Set(this.#names());
      const unused = (wanted) => {
        let name = wanted;
        for (let n = 2; names.has(name); n++) name = `${wanted}_${n}`;
        names.add(name);
        return name;
      };
      return {
        name: unused("pattern"),
        type: "COMPOSITE",
        quantifier: SINGLE,
        ...this.#graph(functions, unused),
        afterMatchStrategy: this.#skip,
        version: 1,
      };
    }

    *#names() {
      for (const { name, group } of this.#stages) {
        if (name !== "") yield name;
        if (group !== undefined) yield* group.#names();
      }
    }

    #graph(functions, unused) {
      const stages = this.#stages.map((stage) => (stage.name === "" ? { ...stage, name: unused("group") } : stage));
      const last = stages.length - 1;
      return {
        nodes: stages.map((stage, number) => {
          const windows = number === last ? stage.windows.slice(0, -1) : stage.windows;
          const node = {
            name: stage.name,
            type: stage.group === undefined ? "ATOMIC" : "COMPOSITE",
            quantifier: quantifierOf(stage, functions),
            condition: portable(stage.condition, functions),
            windows: windows.length > 0 ? windows : undefined,
          };
          if (stage.group === undefined) return node;
          return { ...node, ...stage.group.#graph(functions, unused), afterMatchStrategy: { type: "NO_SKIP" } };
        }),
        edges: stages.slice(1).map(({ name, edge }, number) => ({ source: stages[number].name, target: name, type: edge })),
        window: stages[last].windows.at(-1),
      };
    }
  }

  freeze(Pattern.prototype);

  function quantifierOf({ repeat, times, optional, greedy, inner, until }, functions) {
    const properties = [repeat, ...(optional ? ["OPTIONAL"] : []), ...(greedy ? ["GREEDY"] : [])];
    const isPlainLoop = repeat === "LOOPING" && times.from === 1 && times.windowTime === undefined;
    return {
      consumingStrategy: inner,
      properties,
      times: isPlainLoop ? undefined : times,
      untilCondition: portable(until, functions),
    };
  }

  // A value as JSON can hold it, with the name of a function in the place of each function.
  function portable(value, functions) {
    if (typeof value === "function") {
      const known = functions.indexOf(value);
      const number = known < 0 ? functions.push(value) - 1 : known;
      return { type: "JS", function: `${script}#@${number}` };
    }
    if (isArray(value)) return value.map((each) => portable(each, functions));
    if (!isPlain(value)) return value;
    const copy = {};
    for (const name in value) copy[name] = portable(value[name], functions);
    return copy;
  }

  const begin = (stage, options) => new Pattern([stageOf("STRICT", stage, options)], { type: "NO_SKIP" });

  // What a script has exported as `pattern`: the JSON of it and its functions. Undefined: it is something else.
  function exported(value) {
    if (value instanceof Pattern) return { __proto__: null, json: value.toJSON(), functions: value.functions };
    if (!isPlain(value) || !isArray(value.nodes)) return undefined;
    const functions = [];
    return { __proto__: null, json: portable(value, functions), functions };
  }

  return freeze({ __proto__: null, begin, api: freeze({ begin }), exported });
}
