"""A library: tells the user of a vehicle about an alarm, in the way that they have chosen."""

from trimtab import Context, emit, sql


def notify(vehicle: str, text: str, ctx: Context) -> None:
    """Send a text by SMS or mail; to nobody if nobody has asked for it."""
    # Asked again for every alarm, so that a choice holds from the next one on.
    user = sql("fleet").query_one("select channel, address from contacts where vehicle_id = ?", [vehicle])
    if user is not None:
        emit(user["channel"], {"to": user["address"], "text": text, "at": ctx.timestamp})
