// Reports vehicles that drive too fast. Change the text below and save: no restart is needed.
import { emit, settings } from "trimtab";

export const source = "demo";          // left out: events of every source
export const where = "speed > 40";     // evaluated before the script is entered

export function handle(event, ctx) {
  if (event.speed > settings.get("max_speed")) {
    emit("alarms", { alarm: "overspeed", id: event.vehicle_id, speed: event.speed, at: ctx.timestamp });
  }
}
