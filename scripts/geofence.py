"""An alarm when a vehicle leaves the circle around the depot. Move the depot, save, and watch the alarms change."""

import msgspec
from _geo import distance_km

from trimtab import Context, emit, handler

DEPOT = (52.52, 13.40)
RADIUS_KM = 15.0


class Position(msgspec.Struct):
    """What this handler needs of an event. Events that do not fit go to the dead letters, with the reason."""

    vehicle_id: str
    lat: float
    lon: float


@handler(source="gps")
def outside(event: Position, ctx: Context) -> None:
    distance = distance_km(event.lat, event.lon, *DEPOT)
    if distance > RADIUS_KM:
        emit(
            "alarms", {"alarm": "geofence", "vehicle": event.vehicle_id, "km": round(distance, 1), "at": ctx.timestamp}
        )
