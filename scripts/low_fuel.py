"""Asks drivers to refuel, and says so in the log."""

from typing import Any

from trimtab import Context, emit, handler, log


@handler(source="gps", where="fuel < 10 && status == 'moving'", timeout="200ms")
def low_fuel(event: dict[str, Any], ctx: Context) -> None:
    log.info("low fuel", vehicle=event["vehicle_id"], fuel=event["fuel"])
    emit("alarms", {"alarm": "fuel", "vehicle": event["vehicle_id"], "fuel": event["fuel"], "at": ctx.timestamp})
