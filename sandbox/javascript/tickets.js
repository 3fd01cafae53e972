// Asynchronous handlers: many events in flight at the same time, each with a ticket.
//
// Called by the prelude before any of the script's code, with its tools and what events.js returned.
//
// Each entry of Python's is for one ticket: it begins the event, or settles a call that the event waits for. All promise
// jobs run before Python gets the report, so what runs in between belongs to that ticket, with one exception: another
// event may wait for a promise that was settled here. So every `then`, which each `await` calls too, remembers the ticket
// that has called it, and a callback whose ticket is not in hand is put off until an entry for its own.
(tools, events) => {
  "use strict";

  const { collect, collected, context } = events;
  const { apply, result, failure, describe, isOutOfMemory, found, hand } = tools;
  const { Error, Promise } = globalThis;
  const { defineProperty, setPrototypeOf } = Object;
  const { bind } = Function.prototype;
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
    collect(ticket.live);
  }

  function leave() {
    keepEmitted(inHand);
    if (hand.any) inHand.wrapped = hand.wrapped;
    inHand = nobody;
  }

  function keepEmitted(ticket) {
    const lines = collected();
    if (lines === undefined) return;
    ticket.emitted ??= list();
    ticket.emitted[ticket.emitted.length] = lines;
  }

  // Python reads this when all promise jobs have run.
  const report = {
    __proto__: null,
    toJSON() {
      leave();
      const told = { __proto__: null, ended, due, awaited };
      clear();
      return told;
    },
  };

  // --- commands ---

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

  function settle({ ticket, number, answer }) {
    take(tickets[ticket]);
    const { resolve, reject, stack } = calls[number];
    delete calls[number];
    try {
      resolve(result(answer));
    } catch (error) {
      reject(placed(error, stack));
    }
    return report;
  }

  function resume({ ticket }) {
    take(tickets[ticket]);
    const { deferred } = inHand;
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
    drop(given);
    take(given);
    for (const number in calls) {
      const call = calls[number];
      if (call.ticket !== given) continue;
      awaited ||= call.stack;
      delete calls[number];
      call.reject(placed(failure(fault), call.stack));
    }
    return report;
  }

  // --- ends ---

  function fail(ticket, error) {
    end(ticket, describe(error), isOutOfMemory(error));
  }

  function end(ticket, fault, full) {
    if (!ticket.live) return;
    drop(ticket);
    if (ticket === inHand) keepEmitted(ticket);
    ended[ended.length] = { __proto__: null, ticket: ticket.number, fault, full, emitted: ticket.emitted };
  }

  function drop(ticket) {
    ticket.live = false;
    delete tickets[ticket.number];
  }

  // --- promises ---

  hand.wait = (number) => {
    const call = apply(withResolvers, Promise, []);
    call.ticket = inHand;
    call.stack = `${new Error().stack}`; // the place of the call, in case it fails
    calls[number] = setPrototypeOf(call, null);
    const { promise } = call;
    call.promise = undefined;
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

  return { __proto__: null, start, settle, resume, cancel, collect: () => report };
}
