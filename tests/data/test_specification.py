"""Specifications as files: those shipped, those of a user, and those that are none."""

import hashlib

import pytest

from sinternal_verl.data.specification import SHIPPED, SpecificationError, load_specification

OWN = {
    "title": "Rules of Orla",
    "version": "2",
    "categories": [{"name": "Keeping", "rules": ["Nobody lends the lamp."]}],
}


@pytest.mark.parametrize("name", [file.stem for file in SHIPPED.glob("*.yaml")])
def test_each_shipped_has_its_categories_in_its_text(name):
    found = load_specification(name)

    assert len(found.categories) >= 8
    assert all(f"{number}. {category}\n- " in found.text for number, category in enumerate(found.categories, 1))
    assert found.origin()["sha256"] == load_specification(name).sha256


def test_one_of_the_users_own(tmp_path):
    import yaml

    (tmp_path / "orla.yaml").write_text(yaml.safe_dump(OWN))

    found = load_specification(str(tmp_path / "orla.yaml"))

    assert found.text == "Rules of Orla (version 2)\n\n1. Keeping\n- Nobody lends the lamp."


def test_all_of_it_is_read_and_white_space_means_nothing(tmp_path):
    (tmp_path / "orla.yml").write_text(
        "title: Rules of Orla\nversion: 2\npreamble: |\n  Orla is\n  an island.\ncategories:\n"
        "- name: Keeping\n  rules: ['Nobody  lends\n    the lamp.', 7]\n- {name: Fishing, rules: [Mend.]}\n"
    )
    found = load_specification(str(tmp_path / "orla.yml"))

    assert found.text == (
        "Rules of Orla (version 2)\n\nOrla is an island.\n\n"
        "1. Keeping\n- Nobody lends the lamp.\n- 7\n\n2. Fishing\n- Mend."
    )
    assert (found.title, found.version, found.categories) == ("Rules of Orla", "2", ("Keeping", "Fishing"))
    sha256 = hashlib.sha256(found.text.encode()).hexdigest()
    origin = {"name": str(tmp_path / "orla.yml"), "title": "Rules of Orla", "version": "2", "sha256": sha256}
    assert found.origin() == origin


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("- a\n", "it holds no mapping"),
        ("title: x\n", "it lacks version, categories"),
        ("title: x\nversion: 1\ncategories: {}\n", "it lacks categories"),
        ("title: x\nversion: 1\ncategories: {a: b}\n", "categories must be a list"),
        ("title: x\nversion: 1\ncategories: [{name: a, rules: []}]\n", "category 1 needs a name and a list of rules"),
        (
            "title: x\nversion: 1\ncategories: [{name: a, rules: [b]}, {name: 1, rules: [c]}]\n",
            "category 2 needs a name and a list of rules",
        ),
        ("title: x\nversion: 1\ncategories: [{name: a}]\n", "category 1 needs a name and a list of rules"),
        ("title: x\nversion: 1\ncategories: [{name: a, rules: [b]}, {name: a, rules: [c]}]\n", "a stands there twice"),
        ("title: x\nversion: 1\nrules: []\ncategories: [{name: a, rules: [b]}]\n", "there is no rules"),
        ("title: [\n", "is no YAML"),
    ],
)
def test_what_is_none_says_why(tmp_path, content, reason):
    (tmp_path / "mine.yaml").write_text(content)

    with pytest.raises(SpecificationError, match=reason):
        load_specification(str(tmp_path / "mine.yaml"))


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(SpecificationError, match="give brief, eight_categories, or a path"):
        load_specification("nine")


def test_rules_in_the_place_of_a_name_are_refused():
    with pytest.raises(SpecificationError, match="give a name or a path"):
        load_specification("Nobody lends the lamp. " * 20 + "/")
