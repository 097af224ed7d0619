"""The demo of stage 1, run as `make demo-verify` runs it."""

import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]


def test_the_policy_learns_to_verify_its_own_answers(tmp_path):
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "sinternal_verl.cli", "demo-verify", "--out", str(out), "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=880)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    result = json.loads((out / "result.json").read_text())
    before, after = result["before"], result["after"]
    # The policy was never asked to verify, and gives no verdict. After the SFT it is right far more often than a
    # verifier that always says unsafe.
    assert before["unparsable"] == before["items"] == after["items"] > 150 and before["strict_f1"][0] == 0
    assert after["unparsable"] < 0.1 * after["items"]
    assert after["strict_f1"][1] > after["always_unsafe"] + 0.05
    assert f"{after['f1'][0]:.2f}" in done.stdout
    rows = pq.read_table(out / "build" / "train.parquet").to_pylist()
    assert {row["verdict"] for row in rows if row["harm"] == "harmful"} == {"safe", "unsafe"}
    assert f"report     {out / 'report.html'}" in done.stdout
    assert "SFT run," in (out / "report.html").read_text()
    subprocess.run(["bash", "-n", str(out / "commands.sh")], check=True)
