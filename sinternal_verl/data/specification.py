"""A safety specification: a file with the rules that a verifier applies to answers.

It is YAML with ``title``, ``version`` and ``categories``, a list of ``{name, rules}``; ``preamble`` is optional.
The folder ``specifications/`` has those that are shipped; a specification's name is its file's.

>>> rules = load_specification("brief")
>>> rules.title, rules.version, len(rules.categories)
('A brief safety specification', '1', 8)
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SHIPPED = Path(__file__).parent / "specifications"


class SpecificationError(ValueError):
    """There is no such specification, or the file is none; the message says what to do."""


@dataclass(frozen=True)
class Specification:
    """The rules, and what identifies them.

    Attributes:
        name: the name or path that the user gave.
        categories: their names, in the file's order.
        text: the rules as a verifier reads them.
        sha256: digest of the text.
    """

    name: str
    title: str
    version: str
    categories: tuple[str, ...]
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def origin(self) -> dict[str, str]:
        """For the provenance of what is made with it."""
        return {"name": self.name, "title": self.title, "version": self.version, "sha256": self.sha256}


def load_specification(name: str) -> Specification:
    """Load a specification by the name of a shipped one, or by a path.

    Raises:
        SpecificationError: there is no such file, or it is no specification.
    """
    path = SHIPPED / f"{name}.yaml"
    if "/" in name or name.endswith((".yaml", ".yml")):
        path = Path(name).expanduser()
    try:
        there = path.is_file()
    except OSError as error:  # such as a name that is too long, because it is the rules themselves
        raise SpecificationError(f"specification={name:.80}: {error.strerror}; give a name or a path") from error
    if not there:
        known = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
        raise SpecificationError(f"specification={name}: there is no {path.name}; give {known}, or a path")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecificationError(f"{path} is no YAML: {error}") from error
    if wrong := _wrong(content):
        raise SpecificationError(f"{path}: {wrong}; see {SHIPPED / 'brief.yaml'} for the form")
    names = tuple(category["name"] for category in content["categories"])
    return Specification(name, content["title"], str(content["version"]), names, _render(content))


def _wrong(content: Any) -> str | None:
    if not isinstance(content, dict):
        return "it holds no mapping"
    if unknown := sorted(set(map(str, content)) - {"title", "version", "preamble", "categories"}):
        return f"there is no {', '.join(unknown)} in a specification"
    if missing := [key for key in ("title", "version", "categories") if not content.get(key)]:
        return f"it lacks {', '.join(missing)}"
    categories = content["categories"]
    if not isinstance(categories, list):
        return "categories must be a list"
    for number, category in enumerate(categories, 1):
        rules = category.get("rules") if isinstance(category, dict) else None
        if not isinstance(rules, list) or not rules or not isinstance(category.get("name"), str):
            return f"category {number} needs a name and a list of rules"
    names = [category["name"] for category in categories]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"{', '.join(twice)} stands there twice"
    return None


def _render(content: dict[str, Any]) -> str:
    parts = [f"{content['title']} (version {content['version']})"]
    if content.get("preamble"):
        parts.append(" ".join(str(content["preamble"]).split()))
    for number, category in enumerate(content["categories"], 1):
        rules = "\n".join(f"- {' '.join(str(rule).split())}" for rule in category["rules"])
        parts.append(f"{number}. {category['name']}\n{rules}")
    return "\n\n".join(parts)
