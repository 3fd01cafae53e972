/**
 * What scripts import from "trimtab". A script exports (or, as a plain script, defines at its top level):
 *
 *     export const source = "gps";            // optional: only events of this source
 *     export const where = "speed > 60";      // optional: only events for which this is true
 *     export const timeout = "200ms";         // optional: what one event may take, waiting included; default 1 s
 *     export const attempts = 3;              // optional: how often an event is tried before it is a dead letter; default 1
 *     export const backoff = "100ms";         // optional: how long until the second attempt, at most; then twice as long
 *     export const concurrency = 100;         // optional: how many events of an async handle may be in flight in a lane
 *     export function open() {}               // optional, may be async: before the first event
 *     export function handle(event, ctx) {}   // may be async
 *     export function onTimer(timer, ctx) {}  // optional, may be async: when a timer is due that the script has set
 *     export function close() {}              // optional, may be async: after the last event
 *     export function migrate(values, fromVersion) {}  // optional: makes the state of another version its own
 *     export { discard as state }             // optional, with const discard = "discard": another version's state is dropped
 *     export const pattern = begin("a").where("x > 1").next("b")  // optional: handle gets matches of this, not events
 *
 * In an async function, calls of bindings that go to an outside system return promises, and other events go on while it
 * awaits them: `const answer = await http.get(url)`, `for await (const row of await sql("orders").iterate(...))`. In any
 * other function the same calls wait and return their result. The types below say the result: `await` takes both.
 * Transactions and pipelines wait everywhere, and so does what is called in them. An event has ended when the promise
 * of `handle` is settled: await what it starts.
 */
declare module "trimtab" {
  /** A value as JSON can hold it. */
  export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

  /** What `handle` gets beside the event. To be read while the event is handled. */
  export interface Context {
    /** Identity of the event: the same each time it is handled again. Makes outside calls idempotent. */
    readonly id: string;
    /** Name of the source. */
    readonly source: string;
    /** The event's key, or null. */
    readonly key: any;
    /** Event time in ms since the epoch; arrival time where the event has none. */
    readonly timestamp: number;
    /** The `parameters` of the rule that the script is called for; empty where it is called for no rule. */
    readonly parameters: Record<string, any>;
    /** Number of the generation that handles the event. */
    readonly generation: number;
    /** Name of this script. */
    readonly script: string;
    /** Version of this script: the first 12 hex digits of the SHA-256 of its bytes. */
    readonly version: string;
    /** Returns all of these as a plain object: they are getters, which `Object.keys` and `{ ...ctx }` do not see. */
    toJSON(): Omit<Context, "toJSON">;
  }

  /** The type of `handle`: `Handler<{ speed: number }>` also types the event. */
  export type Handler<Event = any> = (event: Event, ctx: Context) => void | Promise<void>;

  /** A timer that is due. */
  export interface Timer<Data = any> {
    /** Its name, or one that was made for it. */
    readonly name: string;
    /** The time for which it was set, in ms since the epoch; also `ctx.timestamp`. */
    readonly at: number;
    /** What it was set with, or null. */
    readonly data: Data;
  }

  /** The type of `onTimer`. `ctx` is that of the event that has set the timer, but for `id` and `timestamp`. */
  export type TimerHandler<Data = any> = (timer: Timer<Data>, ctx: Context) => void | Promise<void>;

  /**
   * The type of `migrate`: gets the values of one key and the version that has left them, when that key is first asked
   * for. Returns the values that take their place, or changes the ones that it got.
   */
  export type Migration = (values: Record<string, any>, fromVersion: string) => Record<string, any> | void;

  /** How long: a number of seconds, or a text such as "200ms", "2s", "1m". */
  export type Duration = number | string;

  /**
   * Sends a value to a sink, as it is now. It goes out when the handler has ended without an error.
   *
   * Throws a TypeError for a value that JSON cannot hold, an Error for a sink that is not configured or when no event
   * is being handled.
   */
  export function emit(sink: string, value: unknown): void;

  /**
   * What this script keeps for the key of the event: JSON values by name. A copy goes in and comes out. What an event
   * changes counts when it has been handled without an error; it outlives the script's version and the host.
   *
   * Each method throws an error when no event is being handled.
   */
  export const state: {
    /** Returns a value; without it `otherwise`, or null. */
    get<Value = any>(name: string, otherwise?: Value): Value;
    /** Stores a value; with `ttl` it is gone after that time. */
    set(name: string, value: unknown, options?: { ttl?: Duration }): void;
    /** Drops a value; returns whether there was one. */
    delete(name: string): boolean;
    /** Adds to a number, 0 where there is none; returns the sum. `by`: default 1. */
    incr(name: string, by?: number): number;
    /** Returns all values by name. */
    items(): Record<string, any>;
  };

  /** What a timer may be set with. */
  export interface TimerOptions {
    /** A timer of the same name for the same key is replaced; without a name, each is another one. */
    name?: string;
    /** By which time: that of events or the clock's. Default: "event" where the source has a timestamp. */
    time?: "event" | "processing";
  }

  /** Calls `onTimer` of this script later, for the key of the event. Works only while an event is handled. */
  export const timer: {
    /** Sets a timer for a time in ms since the epoch. Returns its name. */
    at(when: number, data?: unknown, options?: TimerOptions): string;
    /** Sets a timer for a while after the event's timestamp, or after now. Returns its name. */
    after(delay: Duration, data?: unknown, options?: TimerOptions): string;
    /** Cancels a timer; returns whether there was one. */
    cancel(name: string): boolean;
  };

  /** The `[settings]` of the configuration, always of the running generation. */
  export const settings: {
    /** Returns the value at a dotted path, or `otherwise` where there is none. */
    get<Value = any>(path: string, otherwise?: Value): Value;
  };

  /** Writes to the host's log, with the script and its version. `console` does too. */
  export const log: {
    /** Logs what is good to know. */
    info(message: string, fields?: Record<string, unknown>): void;
    /** Logs what somebody should look at. */
    warn(message: string, fields?: Record<string, unknown>): void;
    /** Logs what went wrong. */
    error(message: string, fields?: Record<string, unknown>): void;
  };

  /** What is found in the events of a key: a match of a pattern, or, for who asks for them, one whose time was up. */
  export interface Match<Event = any> {
    readonly id: string;
    /** Name of the rule, or of the script that holds the pattern. */
    readonly rule: string;
    readonly kind: "match" | "timeout";
    readonly key: any;
    /** When it was found, in ms since the epoch. */
    readonly timestamp: number;
    /** The events that each stage has taken, by its name; a stage that took none is not there. */
    readonly events: Record<string, Event[]>;
  }

  /** The type of `handle` in a script that exports a `pattern`. */
  export type MatchHandler<Event = any> = (match: Match<Event>, ctx: Context) => void | Promise<void>;

  /**
   * A condition: an expression such as "speed > 60 && fuel < last('low').fuel", or a function that gets the event and
   * the events that each stage has taken so far, [] for one that has taken none.
   */
  export type Condition<Event = any> = string | ((event: Event, partial: Record<string, Event[]>) => boolean) | object;

  /** A stage that follows: its name, or a group, another pattern. */
  export type PatternStage = string | Pattern;

  /** A pattern. Every method returns another one, and says something of the last stage or adds one. See docs/cep.md. */
  export interface Pattern<Event = any> {
    /** Adds a stage that takes the very next event. `name`: of a group. */
    next(stage: PatternStage, options?: { name?: string }): Pattern<Event>;
    /** Adds a stage; events that do not fit may lie before its own. */
    followedBy(stage: PatternStage, options?: { name?: string }): Pattern<Event>;
    /** Adds a stage; any events may lie before its own. */
    followedByAny(stage: PatternStage, options?: { name?: string }): Pattern<Event>;
    /** Adds a stage for an event that must not come next. */
    notNext(stage: string): Pattern<Event>;
    /** Adds a stage for an event that must not come before the next stage's, or before the window ends. */
    notFollowedBy(stage: string): Pattern<Event>;
    /** The stage takes only events for which this is true, too. */
    where(condition: Condition<Event>): Pattern<Event>;
    /** The stage takes also events for which this is true. */
    or(condition: Condition<Event>): Pattern<Event>;
    /** The loop ends at an event for which this is true. */
    until(condition: Condition<Event>): Pattern<Event>;
    /** The stage takes events that often, or from `least` to `most` times. `within`: the most between them. */
    times(least: number, options?: { within?: Duration }): Pattern<Event>;
    times(least: number, most: number, options?: { within?: Duration }): Pattern<Event>;
    timesOrMore(least: number, options?: { within?: Duration }): Pattern<Event>;
    oneOrMore(options?: { within?: Duration }): Pattern<Event>;
    /** The stage may take nothing. */
    optional(): Pattern<Event>;
    /** A stage that repeats takes all that it can, before the next one does. */
    greedy(): Pattern<Event>;
    /** Nothing lies between the events of a stage that repeats. */
    consecutive(): Pattern<Event>;
    /** A stage that repeats may leave out events that fit. */
    allowCombinations(): Pattern<Event>;
    /** The most that a match may take; `previous`: that may lie before the last stage so far. */
    within(duration: Duration, options?: { previous?: boolean }): Pattern<Event>;
    /** What else is dropped when a match is found: nothing, which is the default. */
    noSkip(): Pattern<Event>;
    /** What begins with the first event of the match. */
    skipToNext(): Pattern<Event>;
    /** What began before the end of the match. */
    skipPastLastEvent(): Pattern<Event>;
    /** What began before the first event of a stage. */
    skipToFirst(stage: string): Pattern<Event>;
    /** What began before the last event of a stage. */
    skipToLast(stage: string): Pattern<Event>;
    /** The functions that are conditions: the JSON names them by their places here. */
    readonly functions: ((event: Event, partial: Record<string, Event[]>) => boolean)[];
    /** Returns the JSON of the pattern, in the dialect of dynamic Flink CEP. */
    toJSON(): object;
  }

  /**
   * Begins a pattern. A script that exports one as `pattern` gets its matches in `handle(match, ctx)`:
   *
   *     export const pattern = begin("low").where("fuel < 10").next("lower").where("fuel < last('low').fuel").within("1h");
   */
  export function begin<Event = any>(stage: PatternStage, options?: { name?: string }): Pattern<Event>;

  /** The same under another name: `pattern.begin(...)`. */
  export const pattern: {
    begin<Event = any>(stage: PatternStage, options?: { name?: string }): Pattern<Event>;
  };

  /** A value of a parameter, a form field or a header; null and undefined leave it out. */
  export type HttpPlain = string | number | boolean | Date | null | undefined;

  /** What may be given with a request. At most one body: json, form, text or bytes. */
  export interface HttpOptions {
    /** Put behind the query of the URL; an array repeats the name. */
    params?: Record<string, HttpPlain | HttpPlain[]>;
    headers?: Record<string, HttpPlain>;
    /** A body as JSON. */
    json?: unknown;
    /** A body as an HTML form sends it, URL-encoded. */
    form?: Record<string, HttpPlain | HttpPlain[]>;
    /** A body as text, in UTF-8. */
    text?: string;
    /** A body as it is. */
    bytes?: Uint8Array;
    /** `[user, password]` for basic authentication. */
    auth?: [string, string];
    /** A bearer token. */
    bearer?: string;
    /** What the call may take with its retries and redirects. Default: the resource's. */
    timeout?: Duration;
    /** How many redirects to follow. Default 0: the redirect is the answer. */
    redirects?: number;
    /** How often to send the request again where that is safe. Default: the resource's. */
    retries?: number;
  }

  /** An answer, of any status, read to its end. */
  export interface HttpResponse {
    readonly status: number;
    /** Whether the status is from 200 to 299. */
    readonly ok: boolean;
    /** Where it came from in the end. */
    readonly url: string;
    /** By lower-case name; the values of a name that came twice are joined by ", ". */
    readonly headers: Readonly<Record<string, string>>;
    /** The body as text, in the charset that it says, else UTF-8. */
    readonly text: string;
    /** The body, inflated. */
    readonly bytes: Uint8Array;
    /** Returns the JSON value of the body, null for an empty one. Throws an HttpError where it is none. */
    json<Value = any>(): Value;
  }

  /**
   * Sends requests to a URL, or to a path below the resource's `base_url`, and waits for the answer.
   *
   * Errors have a `name`: "ConnectionError" and "TimeoutError" (both retryable), "PolicyError" (the configuration does
   * not allow it; its message shows the line that would), "HttpError" (an answer that is none, or too large).
   */
  export interface HttpRequests {
    get(url: string, options?: HttpOptions): HttpResponse;
    head(url: string, options?: HttpOptions): HttpResponse;
    post(url: string, options?: HttpOptions): HttpResponse;
    put(url: string, options?: HttpOptions): HttpResponse;
    patch(url: string, options?: HttpOptions): HttpResponse;
    delete(url: string, options?: HttpOptions): HttpResponse;
    /** Sends a request of any method. */
    request(method: string, url: string, options?: HttpOptions): HttpResponse;
  }

  /** Requests to any URL that may be reached (resource `http.default`); `http("sms")`: those of a declared resource. */
  export const http: HttpRequests & ((name: string) => HttpRequests);

  /** A value of Redis as it is sent; anything else has to be made text first, with JSON.stringify. */
  export type RedisValue = string | number | bigint | boolean | Uint8Array | Date;

  /** What a scan finds, read page by page. Read once, while the event is handled for which it was asked. */
  export interface RedisScan<Found = any> extends Iterable<Found>, AsyncIterable<Found> {
    /** Returns all that are left. */
    toArray(): Found[];
    /** Lets go of what is left. */
    close(): void;
  }

  /** What a scan may be told. */
  export interface RedisScanOptions {
    /** A pattern such as "user:*". */
    match?: string;
    /** About how many to look at for one page. */
    count?: number;
  }

  /** Collects commands: any command by its name, which then returns nothing. */
  export interface RedisPipeline {
    /** Collects a command as it is. */
    command(name: string, ...words: RedisValue[]): void;
    /** Any command: `pipeline.incr("visits")`. */
    [command: string]: (...values: any[]) => any;
  }

  /**
   * One `[resources.redis.NAME]`. Any command is a method, its options the last argument: `set("k", "v", { ex: 60 })`.
   *
   * Throws an error with `name`, `code` and `retryable` for a Redis that fails or refuses, TypeError and ValueError for
   * wrong use.
   */
  export interface Redis {
    get(key: string): any;
    set(key: string, value: RedisValue, options?: { ex?: number; px?: number; nx?: boolean; xx?: boolean; keepttl?: boolean; get?: boolean }): any;
    del(...keys: string[]): number;
    expire(key: string, seconds: number): boolean;
    incr(key: string, amount?: number): number;
    hget(key: string, field: string): any;
    hset(key: string, fields: Record<string, RedisValue>): number;
    hset(key: string, field: string, value: RedisValue): number;
    hgetall(key: string): Record<string, any>;
    zadd(key: string, members: Record<string, number>, options?: { nx?: boolean; xx?: boolean; gt?: boolean; lt?: boolean; ch?: boolean; incr?: boolean }): number | null;
    xadd(key: string, fields: Record<string, RedisValue>, options?: { id?: string; maxlen?: number; approximate?: boolean }): string;
    publish(channel: string, message: RedisValue): number;
    /** Sends a command as it is: `command("OBJECT ENCODING", "key")`. */
    command(name: string, ...words: RedisValue[]): any;
    /** Returns the same Redis with answers as Uint8Array in place of text. */
    bytes(): Redis;
    /**
     * Calls the function with what collects commands, sends these at once, and returns their answers. Where the
     * function throws, nothing is sent. `transaction` (default true): all or none of them, and nothing of others between.
     */
    pipeline(work: (pipeline: RedisPipeline) => void, options?: { transaction?: boolean }): any[];
    /** Finds keys, on a cluster those of all nodes. */
    scanIter(options?: RedisScanOptions & { type?: string }): RedisScan<string>;
    /** Finds fields of a hash. */
    hscanIter(key: string, options?: RedisScanOptions): RedisScan<[string, string]>;
    /** Finds members of a set. */
    sscanIter(key: string, options?: RedisScanOptions): RedisScan<string>;
    /** Finds members of a sorted set. */
    zscanIter(key: string, options?: RedisScanOptions): RedisScan<[string, number]>;
    /** Any other command. */
    [command: string]: (...values: any[]) => any;
  }

  /** Returns the Redis that `[resources.redis.NAME]` declares. Connects with the first command. */
  export function redis(name: string): Redis;

  /** A document, a filter, an update: JSON values, extended JSON such as `{ $oid: "..." }`, Date, Uint8Array, bigint. */
  export type MongoDocument = { [name: string]: any };

  /** Fields with their directions: `{ at: -1 }`, `[["at", -1]]`, or the name of one field. */
  export type MongoKeys = string | { [field: string]: any } | [string, any][];

  /** What `findOne` may be told beside the filter. */
  export interface MongoFindOneOptions {
    sort?: MongoKeys;
    skip?: number;
    projection?: MongoDocument | string[];
    /** The name of an index, or its keys. */
    hint?: MongoKeys;
  }

  /** What `find` may be told beside the filter. */
  export interface MongoFindOptions extends MongoFindOneOptions {
    limit?: number;
    /** Documents in a page; default 500. */
    batch?: number;
  }

  /** What `update`, `replace` and `upsert` did. */
  export interface MongoUpdated {
    matched: number;
    /** How many were different before. */
    modified: number;
    upserted: number;
    /** The `_id` of what was upserted. */
    ids: any[];
  }

  /** Documents, read page by page. Read once, while the event is handled for which they were asked. */
  export interface MongoDocuments<Document = any> extends Iterable<Document>, AsyncIterable<Document> {
    /** Returns the first that is left, or null. The rest is let go. */
    first(): Document | null;
    /** Returns all that are left. */
    toArray(): Document[];
    /** Lets the rest go. */
    close(): void;
  }

  /** What `find` gives. Nothing is asked before the first document is read; until then more can be said. */
  export interface MongoQuery<Document = any> extends MongoDocuments<Document> {
    sort(keys: MongoKeys): this;
    skip(count: number): this;
    /** 0: all. */
    limit(count: number): this;
    projection(fields: MongoDocument | string[]): this;
    /** Takes the name of an index, or its keys. */
    hint(index: MongoKeys): this;
  }

  /** One write of `bulk`. */
  export type MongoOperation =
    | { insertOne: { document: MongoDocument } }
    | { updateOne: { filter: MongoDocument; update: MongoDocument | MongoDocument[]; upsert?: boolean } }
    | { updateMany: { filter: MongoDocument; update: MongoDocument | MongoDocument[]; upsert?: boolean } }
    | { replaceOne: { filter: MongoDocument; replacement: MongoDocument; upsert?: boolean } }
    | { deleteOne: { filter: MongoDocument } }
    | { deleteMany: { filter: MongoDocument } };

  /**
   * A collection. Each method but `find` asks the server and waits for the answer.
   *
   * Errors have a `name`: "ConnectionError" and "TimeoutError" (both retryable), "AuthenticationError", "MongoError" (the
   * server refused; `code` is its own, such as 11000 for a duplicate key).
   */
  export interface MongoCollection<Document = any> {
    /** Returns the documents that match; without a filter, all. */
    find(filter?: MongoDocument | null, options?: MongoFindOptions): MongoQuery<Document>;
    /** Returns the first document that matches, or null. */
    findOne(filter?: MongoDocument | null, options?: MongoFindOneOptions): Document | null;
    count(filter?: MongoDocument | null): number;
    /** Returns the values of a field in the documents that match, each once. */
    distinct(field: string, filter?: MongoDocument | null): any[];
    /** Runs a pipeline, at once. */
    aggregate<Result = any>(pipeline: MongoDocument[], options?: { batch?: number }): MongoDocuments<Result>;
    /** Inserts one document or a list of them. `ordered: false`: one that fails keeps no other out. */
    insert(
      documents: MongoDocument | MongoDocument[],
      options?: { ordered?: boolean },
    ): { inserted: number; ids: any[] };
    /** Changes all documents that match, by update operators or a pipeline; with `one`, at most one. */
    update(
      filter: MongoDocument,
      update: MongoDocument | MongoDocument[],
      options?: { one?: boolean; upsert?: boolean },
    ): MongoUpdated;
    /** Puts a document in the place of one that matches. */
    replace(filter: MongoDocument, document: MongoDocument, options?: { upsert?: boolean }): MongoUpdated;
    /** Sets these fields of one document that matches; inserts it where none does. */
    upsert(filter: MongoDocument, data: MongoDocument): MongoUpdated;
    /** Deletes all documents that match (`{}`: all there are); with `one`, at most one. */
    delete(filter: MongoDocument, options?: { one?: boolean }): { deleted: number };
    /** Does many writes in one call. `ordered: false`: one that fails keeps no other from being tried. */
    bulk(
      operations: MongoOperation[],
      options?: { ordered?: boolean },
    ): { inserted: number; matched: number; modified: number; upserted: number; deleted: number };
    /** Creates an index unless it is there; returns its name. `expire`: see the guide. */
    createIndex(keys: MongoKeys, options?: { unique?: boolean; name?: string; expire?: Duration }): string;
    /** Returns the indexes as MongoDB describes them. */
    indexes(): MongoDocument[];
    dropIndex(name: string): void;
  }

  /** `mongo("logs")` talks to `[resources.mongo.logs]`. */
  export function mongo(name: string): {
    /** Returns a collection, by its database and name; by its name alone, of the configuration's database. */
    collection<Document = any>(database: string, name: string): MongoCollection<Document>;
    collection<Document = any>(name: string): MongoCollection<Document>;
  };

  /** Values of a statement: a list for `?`, an object for `:name`. A list as a value stands for several: `in (:ids)`. */
  export type SqlParams = readonly any[] | { readonly [name: string]: any } | null;

  /** What `insert` did. */
  export interface SqlInserted {
    rows: number;
    /** The key that the database made; null where it tells none. */
    key: any;
  }

  /** Rows, read page by page. Read once. */
  export interface SqlRows<Row = any> extends Iterable<Row>, AsyncIterable<Row> {
    /** Returns all that are left. */
    toArray(): Row[];
    /** Lets the rest go. */
    close(): void;
  }

  /** What runs statements. Every method throws errors with `name`, `message`, `code` and `retryable`. */
  export interface SqlStatements {
    /** Returns all rows; none for a statement that has none. A second column `id` is `id_2`. */
    query<Row = any>(sql: string, params?: SqlParams): Row[];
    /** Returns the first row, or null. */
    queryOne<Row = any>(sql: string, params?: SqlParams): Row | null;
    /** Returns the number of affected rows; of a statement that returns rows, their number. */
    execute(sql: string, params?: SqlParams): number;
    /** Runs a statement with each set of values, all or none. Returns the number of affected rows. */
    executeMany(sql: string, sets: readonly SqlParams[]): number;
    /** Returns the number of new rows and the key that the database made. */
    insert(sql: string, params?: SqlParams): SqlInserted;
  }

  /** What the function of a transaction gets. Of no use when the function has ended. */
  export interface SqlTransaction extends SqlStatements {
    /** Runs a function in a transaction inside this one: when it throws, only that one is rolled back. */
    transaction<Result>(work: (tx: SqlTransaction) => Result): Result;
  }

  /** `sql("orders")`: every statement is committed at once. */
  export interface SqlDatabase extends SqlStatements {
    /** Returns the rows to be read one by one; only `page` of them (default 500) are in memory. */
    iterate<Row = any>(sql: string, params?: SqlParams, options?: { page?: number }): SqlRows<Row>;
    /** Commits what the function runs when it returns; rolls it back when it throws. Returns what it returns. */
    transaction<Result>(work: (tx: SqlTransaction) => Result): Result;
  }

  /** Returns what talks to `[resources.sql.NAME]`. */
  export function sql(name: string): SqlDatabase;
}

/** Writes its values, with a space between, to the host's log. Adds to the `Console` of lib DOM where that is used. */
interface Console {
  /** Logs what is good to know. */
  log(...values: any[]): void;
  /** Logs as `log` does. */
  debug(...values: any[]): void;
  /** Logs as `log` does. */
  info(...values: any[]): void;
  /** Logs what somebody should look at. */
  warn(...values: any[]): void;
  /** Logs what went wrong. */
  error(...values: any[]): void;
}

declare var console: Console;
