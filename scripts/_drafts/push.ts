// Pushes speeding into the drivers' app. It is no handler as long as it lies in a folder whose name begins with "_".
import { type Handler, http } from "trimtab";

interface Report {
  vehicle_id: string;
  speed: number;
}

export const source = "gps";
export const where = "speed > 90";
export const timeout = "3s"; // a service that is busy is asked again

// Here, and not in handle, so that without [resources.http.push] this file is refused before it fails on an event.
const push = http("push");

export const handle: Handler<Report> = ({ vehicle_id, speed }, ctx) => {
  const json = { to: vehicle_id, text: `${vehicle_id} drives at ${speed} km/h`, at: ctx.timestamp };
  // An event may be handled twice after an accident; by the key the service can tell, and the post may be sent again.
  const answer = push.post("/app", { json, headers: { "Idempotency-Key": ctx.id } });
  // What is thrown sends the event to the dead letters; from there it can be replayed.
  if (!answer.ok) throw new Error(`the push service answered ${answer.status}: ${answer.text}`);
};
