"""A data adapter of your own: it says which columns hold a file's prompt and its label.

    sinternal-verl data safety --source tickets.csv --adapter examples/my_adapter.py --out tickets.parquet

>>> row = {"ticket": "Where is my key?", "verdict": "fine"}
>>> made = SafetyReader(row, own=ADAPTER).read(row, number=1)
>>> made["data_source"], made["prompt"][0]["content"]
('safety/benign/tickets', 'Where is my key?')

For math problems take ``MathAdapter`` of `sinternal_verl.data.math` and the command ``data math``.
"""

from sinternal_verl.data.adapter import column, has
from sinternal_verl.data.safety import SafetyAdapter, SafetyReader, in_words  # noqa: F401 (the example's)

ADAPTER = SafetyAdapter(
    name="tickets",
    fits=has("ticket", "verdict"),
    prompt=column("ticket"),
    harm=in_words("verdict", {"fine": "benign", "forbidden": "harmful"}),
)
