"""Units that may follow a value, by a list: a word that is not here is no unit."""

import re
from functools import lru_cache

_NAMES = """
°: degree degrees deg degs
°C: celsius
°F: fahrenheit
%: percent pct percents percentage
$: dollar dollars usd USD bucks
¢: cent cents
€: euro euros eur EUR
£: sterling gbp GBP
¥: yen
₹: rupee rupees
rad: radian radians rads
mm: millimeter millimeters millimetre millimetres
cm: centimeter centimeters centimetre centimetres cms
dm: decimeter decimeters decimetre decimetres
m: meter meters metre metres
km: kilometer kilometers kilometre kilometres kms
in: inch inches
ft: foot feet
yd: yard yards yds
mi: mile miles
mg: milligram milligrams
g: gram grams gm gms
kg: kilogram kilograms kgs
tonne: tonnes ton tons
oz: ounce ounces
lb: lbs pound pounds
mL: milliliter milliliters millilitre millilitres ml
L: liter liters litre litres l
gal: gallon gallons
qt: quart quarts
pt: pint pints
ms: millisecond milliseconds
s: second seconds sec secs
min: minute minutes mins
h: hour hours hr hrs
day: days
week: weeks wk wks
month: months
year: years yr yrs
Hz: hertz
N: newton newtons
J: joule joules
kJ: kilojoule kilojoules
W: watt watts
kW: kilowatt kilowatts
Pa: pascal pascals
kPa: kilopascal kilopascals
V: volt volts
kelvin: kelvins
mol: mole moles
acre: acres
hectare: hectares
amp: amps ampere amperes
ohm: ohms Ω
coulomb: coulombs
tesla: teslas
eV: electronvolt electronvolts
keV:
MeV:
GeV:
erg: ergs
atm: atmospheres
cal: calorie calories
kcal: kilocalorie kilocalories
nm: nanometer nanometers
μm: micrometer micrometers micron microns
Å: angstrom angstroms
parsec: parsecs
rpm:
revolution: revolutions
bit: bits
byte: bytes
MB: megabyte megabytes
GB: gigabyte gigabytes
knot: knots
person: people persons
man: men
woman: women
child: children
candy: candies
possibility: possibilities
match: matches
class: classes
box: boxes
vertex: vertices
point: points pts
"""

# Each also with an s.
_COUNTED = """
apple arrangement bird block book bottle boy cake can car card cat chicken coin column combination committee
cookie cow cup diagonal digit divisor dog edge egg flip flower friend game girl goal horse integer item lap marble
meal member move number orange outcome page path pen pencil piece pizza player problem question rabbit roll round row
seat shirt side slice solution stamp step student subset teacher team term ticket tile time toy tree triangle trip turn
unit vote voter way worker
"""

_UNITS: dict[str, str] = {}
for _line in _NAMES.strip().splitlines():
    _unit, _, _names = _line.partition(":")
    _UNITS |= dict.fromkeys([_unit, *_names.split()], _unit)
_UNITS |= {noun + ending: noun for noun in _COUNTED.split() for ending in ("", "s")}
_UNITS |= {"mph": "mi/h", "kph": "km/h", "kmph": "km/h"}

_SHORT = {
    "mm",
    "cm",
    "km",
    "kg",
    "ft",
    "lb",
    "lbs",
    "sec",
    "min",
    "mins",
    "hrs",
    "mph",
    "kph",
    "USD",
    "EUR",
    "sq",
    "per",
}
"""The names of less than four letters that are read as units also outside of ``\\text``. Others, as ``in`` and ``mg``,
would there as well be products of variables."""

PARTS = frozenset("°%")
"""These are parts of a whole, not units that can be multiplied: 30° N is a direction."""

_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_POWERS_BEHIND = {"squared": 2, "cubed": 3}
_PART = re.compile(r"\^\{(-?[0-9])\}|°[CF]|[^\W\d_]+|[°%$€£¥₹¢/·]")
_CELSIUS = re.compile(r"(?:°|degrees?)[\s\x02]*([CF])(?:elsius|ahrenheit)?(?![a-z])", re.IGNORECASE)

_PHRASES = re.compile(r"\bper[\s\x02]+cent\b|\b(years?)[\s\x02]+old\b")


@lru_cache(maxsize=4096)
def unit(phrase: str) -> str | None:
    """The one name of a unit, such as ``cm^2`` for ``square centimeters``; None when it is none.

    >>> unit("sq. inches"), unit("miles per hour"), unit("km/h"), unit("thirds")
    ('in^2', 'h^-1 mi', 'h^-1 km', None)
    """
    phrase = _CELSIUS.sub(lambda match: f" °{match[1].upper()} ", phrase)
    phrase = _PHRASES.sub(lambda match: match[1] or "percent", phrase)
    powers: dict[str, int] = {}
    parts, end = [], 0
    for match in _PART.finditer(phrase):
        if phrase[end : match.start()].strip(" .\x02"):
            return None
        parts.append(match[1] or match[0]) if not match[1] else parts.append("^" + match[1])
        end = match.end()
    if phrase[end:].strip(" .\x02"):
        return None
    sign, power, last = 1, 1, ""
    for part in parts:
        if part[0] == "^" or part in _POWERS_BEHIND:
            if not last:
                return None
            exponent = _POWERS_BEHIND.get(part) or int(part[1:])
            powers[last] *= exponent
            last = ""
        elif part in _POWERS:
            power = _POWERS[part]
        elif part in ("/", "per"):
            if not powers:
                return None
            sign = -1
        elif part == "·":
            continue
        else:
            name = _UNITS.get(part) or (_UNITS.get(part.lower()) if len(part) > 3 else None)
            if name is None:
                return None
            for number, factor in enumerate(name.split("/")):
                factor_sign = -1 if number else 1
                powers[factor] = powers.get(factor, 0) + sign * factor_sign * power
            last, power = name, 1
    if not powers or power != 1:
        return None
    above = [name for name, power in powers.items() for _ in range(power)]
    if len(above) > 1 and not PARTS.isdisjoint(above):
        return None
    return " ".join(name if power == 1 else f"{name}^{power}" for name, power in sorted(powers.items()))


def may_be_bare(name: str) -> bool:
    """Whether a run of letters may belong to a unit also where no ``\\text`` says that it is a word."""
    return len(name) > 3 or name in _SHORT
