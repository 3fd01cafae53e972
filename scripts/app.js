// Stands in for the push service of an app: shows what is pushed to /sources/app.
import { emit } from "trimtab";

export const source = "app";

export function handle(event) {
  emit("alarms", { pushed: event.text, at: event.at });
}
