"""Peak memory of `sinternal-verl export` by the model's size, beside verl's own merger.

For each size a checkpoint of random weights is made by hand: two float32 shards in verl's files, trained whole and
with a LoRA adapter on all layers, beside a base model in bfloat16. Each way exports it in a process of its own, after
a small one, so that imports do not count. Printed is the peak of resident memory above what the process had before, in
bytes a parameter, files that are mapped included; the limit is 5. verl's merger adds no adapter to the weights,
compares with no base, and writes bfloat16. `--old FOLDER` measures another checkout of this package in the same run.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from arguments import ROOT, parser_of

LIMIT = 5
VOCABULARY = 32768
SHAPES = {"1": (64, 1, 128), "25": (320, 10, 1024), "100": (640, 16, 1792), "400": (1152, 20, 3456)}
"""Millions of parameters -> width, layers, inner width."""

LORA = {"r": 16, "lora_alpha": 32, "task_type": "CAUSAL_LM"}
OURS = "from sinternal_verl.commands.export import export; code = export(run, out, base, False)"
VERL = """
import dataclasses, verl.model_merger.base_model_merger as merger
from verl.model_merger.fsdp_model_merger import FSDPModelMerger
config = merger.ModelMergerConfig("merge", "fsdp", out, local_dir=run, hf_model_config_path=run + "/huggingface")
FSDPModelMerger(config).merge_and_save()
code = 0
"""
MEASURE = """
import contextlib, io, json, re, sys, time
from pathlib import Path
import torch
torch.set_num_threads(2)

def resident(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

def one(run, out, base):
    with contextlib.redirect_stdout(io.StringIO()):
        names = {"run": run, "out": out, "base": base}
        exec(WAY, names)
    if names["code"]:
        raise SystemExit(names["code"])

one(*SMALL)
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
start = time.perf_counter()
one(*LARGE)
print(json.dumps([resident("VmHWM") - before, time.perf_counter() - start]))
"""


def make(folder: Path, size: str) -> int:
    """Write ``base``, ``whole`` and ``lora`` below a folder; return the number of the base's parameters."""
    import torch
    import torch.testing._internal.distributed.fake_pg as fake_pg
    from peft import LoraConfig, get_peft_model
    from tokenizers import Tokenizer, models
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import DTensor, Shard
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2Config

    torch.distributed.init_process_group("fake", rank=0, world_size=2, store=fake_pg.FakeStore())
    torch.manual_seed(1)
    width, layers, inner = SHAPES[size]
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=layers,
        intermediate_size=inner,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 64,
        tie_word_embeddings=True,
        dtype="bfloat16",
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder / "base")
    tokenizer = Tokenizer(models.WordLevel({f"word{number}": number for number in range(100)}, unk_token="word0"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder / "base")
    count = model.num_parameters()
    model = model.float()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    mesh = DeviceMesh("cpu", torch.arange(2), mesh_dim_names=("fsdp",))

    def save(name: str, weights: dict[str, torch.Tensor], lora: dict | None = None) -> None:
        target = folder / name
        (target / "huggingface").mkdir(parents=True)
        for rank in range(2):
            shards = {}
            for key, value in weights.items():
                part = value.chunk(2)[rank].clone()
                shards[key] = DTensor.from_local(
                    part, mesh, [Shard(0)], run_check=False, shape=value.shape, stride=value.stride()
                )
            torch.save(shards, target / f"model_world_size_2_rank_{rank}.pt")
        (target / "fsdp_config.json").write_text(json.dumps({"FSDP_version": 2, "world_size": 2}))
        for file in (folder / "base").iterdir():
            if file.suffix != ".safetensors":
                (target / "huggingface" / file.name).write_bytes(file.read_bytes())
        if lora:
            (target / "lora_train_meta.json").write_text(json.dumps(lora))

    save("whole", model.state_dict())
    adapted = get_peft_model(model, LoraConfig(**LORA, target_modules="all-linear"))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    save("lora", adapted.state_dict(), LORA)
    return count


def measured(way: str, small: tuple[str, ...], large: tuple[str, ...], checkout: Path) -> tuple[float, float]:
    """Peak bytes and seconds of one export in a process of its own."""
    head = f"import sys; sys.path.insert(0, {str(checkout)!r}); WAY = {way!r}; SMALL = {small!r}; LARGE = {large!r}\n"
    done = subprocess.run([sys.executable, "-c", head + MEASURE], capture_output=True, text=True, cwd=checkout)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", default="25,100,400", help="millions of parameters; default: 25,100,400")
    parser.add_argument("--old", type=Path, help="another checkout of this package")
    parser.add_argument("--make", nargs=2, help="for this script itself")
    arguments = parser.parse_args()
    if arguments.make:
        print(make(Path(arguments.make[0]), arguments.make[1]))
        return
    ways = {"export": (OURS, ROOT), **({"old": (OURS, arguments.old)} if arguments.old else {}), "verl": (VERL, ROOT)}
    print(f"{'parameters':>12} {'trained':8} {'way':8} {'bytes a parameter':>18} {'of the limit':>13} {'seconds':>8}")
    for size in arguments.sizes.split(","):
        with tempfile.TemporaryDirectory() as name:
            folder, counts = Path(name), {}
            for each in ("1", size):
                command = [sys.executable, __file__, "--make", str(folder / each), each]
                counts[each] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for kind in ("whole", "lora"):
                for way, (code, checkout) in ways.items():
                    small, large = (
                        (str(folder / each / kind), str(folder / each / f"{kind}_{way}"), str(folder / each / "base"))
                        for each in ("1", size)
                    )
                    peak, seconds = measured(code, small, large, checkout)
                    ratio = peak / counts[size]
                    line = f"{counts[size]:12,} {kind:8} {way:8} {ratio:18.2f} {ratio / LIMIT:13.2f} {seconds:8.1f}"
                    print(line, flush=True)


if __name__ == "__main__":
    main()
