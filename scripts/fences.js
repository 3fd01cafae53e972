// Fences that users draw: what they send to /sources/fences is stored, and geofence.py finds it from then on.
import { sql } from "trimtab";

export const source = "fences";

export function open() {
  sql("fleet").execute(
    "create table if not exists fences (name text primary key, lat float not null, lon float not null, " +
      "radius_km float not null)",
  );
}

// A fence that is drawn again moves. So it does no harm either if an event is handled twice.
export function handle({ name, lat, lon, radius_km }) {
  sql("fleet").execute(
    `insert into fences (name, lat, lon, radius_km) values (:name, :lat, :lon, :radius_km)
     on conflict (name) do update set lat = excluded.lat, lon = excluded.lon, radius_km = excluded.radius_km`,
    { name, lat, lon, radius_km },
  );
}
