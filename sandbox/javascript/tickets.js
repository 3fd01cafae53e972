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

  const { buffers, lend, context } = events;
  const { apply, result, failure, describe, isOutOfMemory, found, hand } = tools;
  const { Error, Promise } = globalThis;
  const { defineProperty, setPrototypeOf } = Object;
  const { species } = Symbol;
  const { prototype } = Promise;
  const { then } = prototype;

  const list = () => setPrototypeOf([], null);

  const nobody = ticketOf(0, undefined); // stands where no event is in hand
  const tickets = { __proto__: null, 0: nobody }; // those in flight, by number
  let inHand = nobody;
  let ended; // what the report tells: events that have ended, with what they emitted,
  let due; // numbers of tickets with callbacks that were put off,
  let awaited; // and the place of a call that an event waited for when it was given up
  clear();

  function ticketOf(number, emitted) {
    return {
      __proto__: null,
      number,
      emitted,
      calls: { __proto__: null }, // that it waits for, by number
      deferred: list(), // callbacks that were put off
      wrapped: { __proto__: null }, // see `hand`
      live: true,
    };
  }

  function clear() {
    ended = list();
    due = list();
    awaited = "";
  }

  function take(ticket) {
    inHand = ticket;
    hand.wrapped = ticket.wrapped;
    lend(ticket.live ? ticket.emitted : undefined);
  }

  // Python reads this when all promise jobs have run.
  const report = {
    __proto__: null,
    toJSON() {
      const told = { __proto__: null, ended, due, awaited };
      clear();
      take(nobody);
      return told;
    },
  };

  // --- commands ---

  function start(command) {
    const ticket = (tickets[command.ticket] = ticketOf(command.ticket, buffers()));
    take(ticket);
    try {
      const promise = found[command.handler](command.event, context(command));
      apply(then, promise, [() => end(ticket, null), (error) => fail(ticket, error)]);
    } catch (error) {
      fail(ticket, error);
    }
    return report;
  }

  function settle({ ticket, number, answer }) {
    take(tickets[ticket]);
    const { resolve, reject, stack } = inHand.calls[number];
    delete inHand.calls[number];
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
    inHand.deferred = list();
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
    for (const number in given.calls) {
      const { reject, stack } = given.calls[number];
      awaited ||= stack;
      reject(placed(failure(fault), stack));
    }
    return report;
  }

  // What is left of a report that a promise without a handler has kept from being read.
  function collect() {
    return report;
  }

  // --- ends ---

  function fail(ticket, error) {
    end(ticket, describe(error), isOutOfMemory(error));
  }

  function end(ticket, fault, full = false) {
    if (!ticket.live) return;
    drop(ticket);
    const lines = { __proto__: null };
    for (const sink in ticket.emitted) lines[sink] = ticket.emitted[sink].lines;
    ended[ended.length] = { __proto__: null, ticket: ticket.number, fault, full, emitted: lines };
    if (ticket === inHand) lend(undefined);
  }

  function drop(ticket) {
    ticket.live = false;
    delete tickets[ticket.number];
  }

  // --- promises ---

  hand.wait = (number) => {
    const stack = `${new Error().stack}`; // the place of the call, in case it fails
    return new Promise((resolve, reject) => {
      inHand.calls[number] = { __proto__: null, resolve, reject, stack };
    });
  };

  function placed(error, stack) {
    return defineProperty(error, "stack", { __proto__: null, value: stack, writable: true, configurable: true });
  }

  const { then: remembering } = {
    then(done, failed) {
      return apply(then, this, [bound(inHand, done), bound(inHand, failed)]);
    },
  };

  function bound(ticket, callback) {
    if (typeof callback !== "function") return callback;
    return (value) => (ticket === inHand ? callback(value) : deferred(ticket, callback, value));
  }

  function deferred(ticket, callback, value) {
    return {
      __proto__: null,
      then(resolve, reject) {
        if (!ticket.live) return;
        if (ticket.deferred.length === 0) due[due.length] = ticket.number;
        ticket.deferred[ticket.deferred.length] = { __proto__: null, callback, value, resolve, reject };
      },
    };
  }

  // What `await` does not take for the constructor of its own promises, so it calls `then`.
  const { Promise: Other } = {
    Promise: class extends Promise {
      static get [species]() { return Promise; }
    },
  };

  fix("then", remembering);
  fix("constructor", Other);

  function fix(name, value) {
    defineProperty(prototype, name, {
      __proto__: null,
      get: () => value,
      set(other) {
        if (this === prototype) return;
        defineProperty(this, name, { __proto__: null, value: other, writable: true, enumerable: true, configurable: true });
      },
    });
  }

  return { __proto__: null, start, settle, resume, cancel, collect };
}
