"""Two templates of public models, to the letter; ``templates/README.md`` says where they are from."""

from pathlib import Path

_FOLDER = Path(__file__).parent / "templates"

R1_DISTILL = (_FOLDER / "deepseek_r1_distill.jinja").read_text()
"""The chat template of DeepSeek-R1-Distill."""

QWEN3_GUARD_RENDER = (_FOLDER / "qwen3guard_gen_response_render.txt").read_text()
"""What Qwen3Guard-Gen's makes of ``{user}`` and ``{assistant}``."""
