// How users want to be told of alarms: what they send to /sources/contacts is stored, and _notify.py goes by it.
import { sql } from "trimtab";

export const source = "contacts";

export function open() {
  sql("fleet").execute(
    "create table if not exists contacts (vehicle_id text primary key, " +
      "channel text not null check (channel in ('sms', 'mail')), address text not null)",
  );
}

export function handle({ vehicle_id, channel, address }) {
  sql("fleet").execute(
    `insert into contacts (vehicle_id, channel, address) values (:vehicle_id, :channel, :address)
     on conflict (vehicle_id) do update set channel = excluded.channel, address = excluded.address`,
    { vehicle_id, channel, address },
  );
}
