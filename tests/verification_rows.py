"""Rows of a verification build, as its file holds them."""

from pathlib import Path

from sinternal_verl.data.specification import load_specification
from sinternal_verl.data.template import VerificationPrompt
from sinternal_verl.verify.select import write_rows

ROW = {
    "prompt": [{"role": "user", "content": "as built"}],
    "completion": "<think>\nIt lends the lamp.\n</think>\n\nVerdict: unsafe",
    "request": "Lend it?",
    "thought": "It asks for the lamp.",
    "answer": "Come at noon.",
    "critique": "It lends the lamp.",
    "verdict": "unsafe",
    "harm": "harmful",
    "source": "safety/harmful/orla",
    "index": "7",
    "sample": 3,
}

PROMPT = VerificationPrompt("Rules: {specification}. Asked: {request} Said: {answer}")


def provenance(specification: str = "brief", target: str = "critique+judgment") -> dict:
    """What a build with these settings tells in its file."""
    origin = load_specification(specification).origin()
    return {"specification": origin, "prompt": PROMPT.template, "target": target}


def write_build(file: Path, rows: list[dict], **settings: str) -> str:
    """Write a build's file with `provenance`; return its path."""
    write_rows(rows, file, provenance(**settings))
    return str(file)
