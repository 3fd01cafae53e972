// Asynchronous handlers: many events in flight at the same time, each with a ticket.
//
// Called by the prelude before any of the script's code, with its tools and what events.js returned.
//
// Each command is for one ticket: it begins the event, or settles a call that the event waits for. All promise jobs run
// before the next command comes, so what runs in between belongs to that ticket, with one exception: another
// event may wait for a promise that was settled here. So every `then`, which each `await` calls too, remembers the ticket
// that has called it, and a callback whose ticket is not in hand is put off until a command for its own.
//
// dukpy runs promise jobs twice each time that it is entered: before it asks for the result as JSON, and after. So the
// report is made in between, and Python may answer with another command; what comes of that one is reported before the
// next.
(tools, events) => {
  "use strict";

  const { gather, gathered, context } = events;
  const { apply, call, result, failure, describe, isOutOfMemory, found, hand } = tools;
  const { Error, Promise, String } = globalThis;
  const { stringify } = JSON;
  const { defineProperty, setPrototypeOf } = Object;
  const { bind } = Function.prototype;
  const { toWellFormed } = String.prototype;
  const { species } = Symbol;
  const { prototype, withResolvers } = Promise;
  const { then } = prototype;

  // What lives while an event waits is few objects: dukpy has all of them looked at for garbage in each entry, twice.
  // So what is remembered is bound to functions, which are one object each, and made when it is needed.

  const list = () => setPrototypeOf([], null);

  const nobody = ticketOf(0); // stands where no event is in hand
  const tickets = { __proto__: null, 0: nobody }; // those in flight, by number
  const calls = { __proto__: null }; // that wait for their answers, by number
  let inHand = nobody;
  let ended; // what the report tells: events that have ended, with what they emitted,
  let due; // numbers of tickets with callbacks that were put off,
  let awaited; // and the place of a call that an event waited for when it was given up
  clear();

  function ticketOf(number) {
    return {
      __proto__: null,
      number,
      live: number > 0,
      waiting: 0, // calls that wait for their answers
      emitted: undefined, // before it last waited: a list of lists of lines by sink
      deferred: undefined, // a list of callbacks that were put off
      wrapped: undefined, // see `hand`
    };
  }

  function clear() {
    ended = list();
    due = list();
    awaited = "";
  }

  function take(ticket) {
    inHand = ticket;
    hand.wrapped = ticket.wrapped ?? { __proto__: null };
    hand.any = false;
    gather(ticket.live);
  }

  function leave() {
    keepEmitted(inHand);
    if (hand.any && inHand.live) inHand.wrapped = hand.wrapped;
    inHand = nobody;
  }

  function keepEmitted(ticket) {
    const lines = gathered();
    if (lines === undefined) return;
    ticket.emitted ??= list();
    ticket.emitted[ticket.emitted.length] = lines;
  }

  // What every command returns: asked for as JSON when all promise jobs have run.
  const report = {
    __proto__: null,
    toJSON() {
      const next = tell("left");
      if (next !== undefined) commands[next.do](next);
      return null;
    },
  };

  function tell(kind) {
    leave();
    const message = kind + "\n" + stringify({ __proto__: null, ended, due, awaited });
    clear();
    return result(call(message));
  }

  // Python enters with a command.
  function entered(command) {
    if (inHand !== nobody) tell("ended");
    return commands[command.do](command);
  }

  // --- commands ---

  const commands = { __proto__: null, start, settle, resume, cancel, collect: () => report };

  function start(command) {
    const ticket = (tickets[command.ticket] = ticketOf(command.ticket));
    take(ticket);
    try {
      const promise = found[command.handler](command.event, context(command));
      apply(then, promise, [apply(bind, end, [undefined, ticket, null, false]), apply(bind, fail, [undefined, ticket])]);
    } catch (error) {
      fail(ticket, error);
    }
    return report;
  }

  function settle({ number, answer }) {
    const waiting = calls[number];
    if (waiting === undefined) return report;
    take(waiting.ticket);
    const { resolve, reject, stack } = waiting;
    forget(number);
    try {
      resolve(result(answer));
    } catch (error) {
      reject(placed(error, stack));
    }
    return report;
  }

  function resume({ ticket }) {
    take(tickets[ticket] ?? nobody);
    const { deferred = list() } = inHand;
    inHand.deferred = undefined;
    for (let i = 0; i < deferred.length; i++) {
      const { callback, value, resolve, reject } = deferred[i];
      try {
        resolve(callback(value));
      } catch (error) {
        reject(error);
      }
    }
    return report;
  }

  // The event is given up: what it waits for fails, so that it can clean up, and nothing of it counts.
  function cancel({ ticket, fault }) {
    const given = tickets[ticket];
    if (given === undefined) return report;
    const waiting = dropped(given);
    take(given);
    for (let i = 0; i < waiting.length; i++) {
      const { reject, stack } = waiting[i];
      awaited ||= apply(toWellFormed, stack, []);
      reject(placed(failure(fault), stack));
    }
    return report;
  }

  // --- ends ---

  function fail(ticket, error) {
    end(ticket, describe(error), isOutOfMemory(error));
  }

  function end(ticket, fault, full) {
    if (!ticket.live) return;
    dropped(ticket);
    if (ticket === inHand) keepEmitted(ticket);
    ended[ended.length] = { __proto__: null, ticket: ticket.number, fault, full, emitted: ticket.emitted };
  }

  // Forgets an event. Returns the calls that it has waited for.
  function dropped(ticket) {
    ticket.live = false;
    delete tickets[ticket.number];
    const waiting = list();
    if (ticket.waiting === 0) return waiting;
    for (const number in calls) {
      if (calls[number].ticket !== ticket) continue;
      waiting[waiting.length] = calls[number];
      forget(number);
    }
    return waiting;
  }

  function forget(number) {
    calls[number].ticket.waiting--;
    delete calls[number];
  }

  // --- promises ---

  hand.wait = (number) => {
    const waiting = apply(withResolvers, Promise, []);
    const { promise } = waiting;
    waiting.promise = undefined;
    waiting.ticket = inHand;
    inHand.waiting++;
    waiting.stack = `${new Error().stack}`; // the place of the call, in case it fails
    calls[number] = setPrototypeOf(waiting, null);
    new Owned(promise, inHand);
    return promise;
  };

  function placed(error, stack) {
    return defineProperty(error, "stack", { __proto__: null, value: stack, writable: true, configurable: true });
  }

  const { then: remembering } = {
    then(done, failed) {
      return apply(then, this, [bound(done), bound(failed)]);
    },
  };

  function bound(callback) {
    return typeof callback === "function" ? apply(bind, goOn, [undefined, inHand, callback]) : callback;
  }

  function goOn(ticket, callback, value) {
    if (ticket === inHand) return callback(value);
    return { __proto__: null, then: apply(bind, putOff, [undefined, ticket, callback, value]) };
  }

  function putOff(ticket, callback, value, resolve, reject) {
    if (!ticket.live && ticket !== nobody) return;
    if (ticket.deferred === undefined) {
      ticket.deferred = list();
      due[due.length] = ticket.number;
    }
    ticket.deferred[ticket.deferred.length] = { __proto__: null, callback, value, resolve, reject };
  }

  // What `await` does not take for the constructor of its own promises, so it calls `then`.
  const { Promise: Other } = {
    Promise: class extends Promise {
      static get [species]() { return Promise; }
    },
  };

  // Notes in the promise of a call, where nobody sees it, which event waits for it: such a promise is settled in an entry
  // for that event, which may await it without further ado.
  class Owned extends (function (promise) { return promise; }) {
    #ticket;

    constructor(promise, ticket) {
      super(promise);
      this.#ticket = ticket;
    }

    static isInHand(promise) {
      return #ticket in promise && promise.#ticket === inHand;
    }
  }

  fix("then", function () { return remembering; });
  fix("constructor", function () { return Owned.isInHand(this) ? Promise : Other; });

  function fix(name, get) {
    defineProperty(prototype, name, {
      __proto__: null,
      get,
      set(other) {
        if (this === prototype) return;
        defineProperty(this, name, { __proto__: null, value: other, writable: true, enumerable: true, configurable: true });
      },
    });
  }

  return { __proto__: null, start: entered, settle: entered, resume: entered, cancel: entered, collect: entered };
}
