"""Asks drivers to refuel, and says so in the log."""

from typing import Any

from _notify import notify

from trimtab import Context, emit, handler, log


@handler(source="gps", where="fuel < 10 && status == 'moving'", timeout="200ms")
def low_fuel(event: dict[str, Any], ctx: Context) -> None:
    vehicle, fuel = event["vehicle_id"], event["fuel"]
    log.info("low fuel", vehicle=vehicle, fuel=fuel)
    emit("alarms", {"alarm": "fuel", "vehicle": vehicle, "fuel": fuel, "at": ctx.timestamp})
    notify(vehicle, f"{vehicle} has {fuel} % of fuel left", ctx)
