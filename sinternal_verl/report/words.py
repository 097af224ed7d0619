"""Numbers in words."""

from datetime import datetime, timezone


def figure(value: float | None, unit: str) -> str:
    """A value with its unit, short.

    >>> figure(0.1234, "share"), figure(1234.5, "tokens"), figure(75, "seconds"), figure(0.51239, "reward")
    ('12.3%', '1,234', '75 s', '0.512')
    >>> figure(None, "share"), figure(0.00012, "")
    ('-', '0.00012')
    """
    if value is None:
        return "-"
    if unit == "share":
        return f"{value:.1%}"
    if unit == "tokens":
        return f"{value:,.0f}"
    if unit == "seconds":
        return f"{value:.3g} s"
    return f"{value:.3g}"


NO_CHANGE = "no change"


def change(value: float | None, unit: str) -> str:
    """A difference with its sign; a share's in percentage points. One that rounds to zero is none.

    >>> change(0.051, "share"), change(-12.0, "tokens"), change(-0.2, "tokens"), change(None, "share")
    ('+5.1 pp', '-12', 'no change', '')
    >>> change(0.0004, "share"), change(-1e-9, "nats")
    ('no change', '-1e-09')
    """
    if value is None:
        return ""
    text = f"{value * 100:.1f} pp" if unit == "share" else figure(value, unit)
    if not any(digit in text for digit in "123456789"):
        return NO_CHANGE
    return text if text.startswith("-") else f"+{text}"


def duration(seconds: float) -> str:
    """
    >>> duration(42), duration(600), duration(7500), duration(200_000)
    ('42 s', '10 min', '2 h 5 min', '2 d 7 h')
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 2880:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def steps_in_words(steps: list[int], shown: int = 5) -> str:
    """
    >>> steps_in_words([3]), steps_in_words([1, 2, 9]), steps_in_words(list(range(8)))
    ('step 3', 'steps 1, 2, 9', 'steps 0, 1, 2, 3, 4 and 3 more')
    """
    if len(steps) == 1:
        return f"step {steps[0]}"
    more = f" and {len(steps) - shown} more" if len(steps) > shown else ""
    return f"steps {', '.join(map(str, steps[:shown]))}{more}"


def seconds_between(earlier: str, later: datetime) -> float:
    """Seconds from an ISO 8601 time to another time."""
    time = datetime.fromisoformat(earlier.replace("Z", "+00:00"))
    return (later - (time if time.tzinfo else time.replace(tzinfo=timezone.utc))).total_seconds()


def moment(time: str) -> str:
    """
    >>> moment("2026-11-26T20:07:05+00:00"), moment("soon")
    ('2026-11-26 20:07 UTC', 'soon')
    """
    try:
        return (
            datetime.fromisoformat(time.replace("Z", "+00:00")).astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        )
    except ValueError:
        return time
