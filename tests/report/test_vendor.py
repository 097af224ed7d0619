"""Files of others in the page are as their makers published them."""

import hashlib

import pytest
import yaml

from sinternal_verl.report.page import LICENCES, SCRIPTS, STYLES
from sinternal_verl.report.template import WEB

VENDOR = WEB / "vendor"
LISTED = yaml.safe_load((VENDOR / "vendor.yaml").read_text())
FILES = {name: digest for each in LISTED.values() for name, digest in each["files"].items()}


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_has_its_digest(name):
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == FILES[name]


def test_every_file_is_listed_and_used():
    assert {path.name for path in VENDOR.iterdir()} == {*FILES, "vendor.yaml"}
    assert {f"vendor/{name}" for name in FILES} <= {*SCRIPTS, *STYLES, *LICENCES}


def test_the_version_is_that_of_the_file():
    assert f"(v{LISTED['uplot']['version']})" in (VENDOR / "uPlot.iife.min.js").read_text()[:100]
