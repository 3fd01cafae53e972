"""An alarm for every report from inside a fence that a user has drawn."""

import msgspec
from _geo import distance_km
from _notify import notify

from trimtab import Context, emit, handler, sql


class Position(msgspec.Struct):
    """What this handler needs of an event. Events that do not fit go to the dead letters, with the reason."""

    vehicle_id: str
    lat: float
    lon: float


@handler(source="gps")
def inside(event: Position, ctx: Context) -> None:
    # Asked again for every event, so that a fence holds from the moment when it is stored.
    for fence in sql("fleet").query("select name, lat, lon, radius_km from fences order by name"):
        if distance_km(event.lat, event.lon, fence["lat"], fence["lon"]) < fence["radius_km"]:
            alarm = {"alarm": "geofence", "vehicle": event.vehicle_id, "fence": fence["name"], "at": ctx.timestamp}
            emit("alarms", alarm)
            notify(event.vehicle_id, f"{event.vehicle_id} is in {fence['name']}", ctx)
