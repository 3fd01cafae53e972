// An alarm for every vehicle that is faster than allowed.
// The limit comes from [settings] in trimtab.toml: change it there while the host runs.
import { emit, settings } from "trimtab";

export const source = "gps";
export const where = "speed > 60"; // slower ones never reach this script

export function handle(event, ctx) {
  const limit = settings.get("max_speed", 100);
  if (event.speed > limit) {
    emit("alarms", { alarm: "overspeed", vehicle: event.vehicle_id, speed: event.speed, limit, at: ctx.timestamp });
  }
}
