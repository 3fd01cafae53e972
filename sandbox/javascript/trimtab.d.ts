/**
 * What scripts import from "trimtab". A script exports (or, as a plain script, defines at its top level):
 *
 *     export const source = "gps";            // optional: only events of this source
 *     export const where = "speed > 60";      // optional: only events for which this is true
 *     export const timeout = "200ms";         // optional: what one event may take; default 1 s
 *     export function open() {}               // optional, may be async: before the first event
 *     export function handle(event, ctx) {}   // may be async
 *     export function close() {}              // optional, may be async: after the last event
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

  /** How long: a number of seconds, or a text such as "200ms", "2s", "1m". */
  export type Duration = number | string;

  /**
   * Sends a value to a sink, as it is now. It goes out when the handler has ended without an error.
   *
   * Throws a TypeError for a value that JSON cannot hold, an Error for a sink that is not configured or when no event
   * is being handled.
   */
  export function emit(sink: string, value: unknown): void;

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
