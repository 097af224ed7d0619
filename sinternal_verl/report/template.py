"""Templates that show names and texts of a run as text, and policies that let nothing else run."""

import base64
import hashlib
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from sinternal_verl.report.inert import visible

WEB = Path(__file__).with_name("web")


@cache
def template(name: str) -> jinja2.Template:
    """A template in which every string is shown as text, hidden characters as code points."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(WEB),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    return environment.get_template(name)


@cache
def style(names: tuple[str, ...]) -> Markup:
    return Markup(joined(names))


@cache
def script(names: tuple[str, ...]) -> Markup:
    """Scripts in one closure: they see one another, and nothing else sees them."""
    return Markup('(() => {\n"use strict";\n' + joined(names) + "\n})();")


@cache
def policy(*, scripts: tuple[str, ...] = (), styles: tuple[str, ...] = ()) -> str:
    """A content security policy that allows these scripts and styles by their digests. It allows no request, no other
    script, and no HTML that a script makes of text."""
    allowed = _digest(script(scripts)) if scripts else "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; "
        f"style-src {_digest(style(styles))}; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


def joined(names: tuple[str, ...]) -> str:
    return "\n".join((WEB / name).read_text(encoding="utf-8") for name in names)


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
