"""Servers of models: what is on their command line, how GPUs are shared, and that none outlives who asked for it."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from sinternal_verl.evaluation.running import serving
from sinternal_verl.evaluation.running.serving import KEY, ServerFailed, watched
from sinternal_verl.evaluation.running.vllm_command import Wanted, command_of, shared_out

KEEPER = [sys.executable, "-m", "sinternal_verl.evaluation.running.keeper"]


def test_the_command_on_a_cpu_and_on_a_gpu():
    wanted = Wanted("owner/name", "name", "abc", 4096, {"tensor-parallel-size": 2, "trust-remote-code": True})

    gpu, cpu = (command_of(wanted, 8001, cpu) for cpu in (False, True))

    for command in (gpu, cpu):
        words = " ".join(command)
        assert "owner/name --host 127.0.0.1 --port 8001" in words
        assert "--served-model-name name" in words and "--revision abc" in words and "--max-model-len 4096" in words
        assert "--tensor-parallel-size 2" in words and "--trust-remote-code" in command
        # Else sampling would have the defaults of the model's own file.
        assert "--generation-config vllm" in words
        assert "api-key" not in words and "api_key" not in words
    assert (
        "float32" not in gpu and "--dtype float32" in " ".join(cpu) and "--max-num-batched-tokens 4096" in " ".join(cpu)
    )


def test_an_option_of_the_user_replaces_ours():
    command = command_of(Wanted("m", "m", options={"max-model-len": 100}), 1, False)

    assert command.count("--max-model-len") == 1 and "100" in command


def test_models_share_gpus_where_there_are_too_few():
    two = [Wanted("a", "a", options={"tensor-parallel-size": 2}), Wanted("b", "b")]

    alone = shared_out(two, ["0", "1", "5"])
    together = shared_out(two, ["0", "1"])

    assert [each.environment["CUDA_VISIBLE_DEVICES"] for each in alone] == ["0,1", "5"]
    assert [each.options["gpu-memory-utilization"] for each in together] == [0.45, 0.45]
    assert shared_out(two[:1], ["0", "1"])[0] == two[0]


def test_a_guard_in_this_process_has_its_part_of_the_gpus(monkeypatch, tmp_path):
    pytest.importorskip("inspect_ai", reason="needs the eval extra; make install brings it")
    from sinternal_verl.evaluation.running import cast
    from sinternal_verl.evaluation.running.models import Choice

    monkeypatch.setattr(cast, "runs_on_cpu", lambda: False)
    one = [Wanted("a", "a")]
    assert shared_out(one, ["0"], beside=1)[0].options == {"gpu-memory-utilization": 0.45}
    assert shared_out(one, ["0", "1"], beside=1)[0].environment == {"CUDA_VISIBLE_DEVICES": "0"}
    for gpus, left, engine in (("0", [], {"gpu_memory_utilization": 0.45}), ("3,5,6", ["5", "6"], {})):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
        found = cast.Cast({"model": Choice("x", "folder", "x")}, {"qwen3guard": {"engine": {}}})
        found.share_gpus()
        assert found.gpus == left and found.settings["qwen3guard"]["engine"] == engine


def _group_of(pid: int) -> list[int]:
    return [each.pid for each in psutil.process_iter() if _pgid(each.pid) == pid]


def _pgid(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _until(done, seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.05)
    return False


STUBBORN = "trap '' TERM; sleep 1000 & echo $$; while true; do sleep 1; done"
"""A server with a child of its own that does not end by SIGTERM."""


@pytest.mark.timeout(60)
def test_a_server_that_is_killed_leaves_no_child():
    words = [*KEEPER, "bash", "-c", "sleep 1000 & echo $$; kill -9 $$"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:
        server = int(keeper.stdout.readline())
        # Its input is open, so it ends because the server has.
        assert keeper.wait(30) != 0

    assert _until(lambda: not _group_of(server))


@pytest.mark.timeout(90)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_with_whoever_asked_for_it(tmp_path, number, monkeypatch):
    """A process that holds a keeper's standard input is killed; nothing of the server's group is left."""
    pids = tmp_path / "pids"
    code = (
        "import subprocess, sys, time\n"
        f"keeper = subprocess.Popen({[*KEEPER, 'bash', '-c', f'sleep 1000 & echo $$ > {pids}; wait']!r},\n"
        "    stdin=subprocess.PIPE, start_new_session=True)\n"
        "time.sleep(1000)"
    )
    asking = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    assert _until(lambda: pids.exists() and pids.read_text().strip())
    server = int(pids.read_text())
    assert len(_group_of(server)) == 2

    asking.send_signal(number)
    asking.wait(10)

    assert _until(lambda: not _group_of(server), 30)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("server", ["trap 'kill 0' TERM; sleep 1000 & echo $$; wait", STUBBORN])
def test_a_server_ends_with_its_keeper_also_where_that_is_killed(server):
    """The first server ends its own children by SIGTERM, as vLLM's does its engine."""
    with subprocess.Popen([*KEEPER, "bash", "-c", server], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:
        group = int(keeper.stdout.readline())
        assert len(_group_of(group)) >= 2

        keeper.kill()

        ended = _until(lambda: not _group_of(group), 60)
        if not ended:
            os.killpg(group, signal.SIGKILL)
        assert ended


@pytest.mark.timeout(60)
def test_nothing_waits_for_a_keeper_that_has_ended():
    with subprocess.Popen(
        [*KEEPER, "bash", "-c", "echo $$; read -r _ < <(sleep 1)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as keeper:
        keeper.stdout.readline()
        family = psutil.Process(keeper.pid).children(recursive=True)
        assert any("sh" in each.cmdline() for each in family)
        assert keeper.wait(30) is not None

    assert _until(lambda: not any(each.is_running() for each in family))


def test_a_server_that_ignores_sigterm_is_killed(tmp_path, monkeypatch):
    from sinternal_verl.evaluation.running import keeper

    process = subprocess.Popen(
        [sys.executable, "-c", f"from sinternal_verl.evaluation.running import keeper; keeper.PATIENCE_S = 1\n"
         f"raise SystemExit(keeper.main(['bash', '-c', {STUBBORN!r}]))"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    server = int(process.stdout.readline())

    process.stdin.close()

    assert process.wait(20) != 0 and _until(lambda: not _group_of(server))
    assert keeper.PATIENCE_S < serving.END_LIMIT_S


def _serve(monkeypatch, code: str) -> None:
    """Have a Python program stand in for vLLM's server; it gets the same words."""
    monkeypatch.setattr(serving, "command_of", lambda wanted, port, cpu: [sys.executable, "-c", code, str(port)])


@pytest.mark.timeout(60)
def test_a_server_that_does_not_start_shows_its_last_lines(tmp_path, monkeypatch):
    _serve(monkeypatch, "import sys; print('loading'); sys.exit('there is too little memory')")

    with (
        pytest.raises(ServerFailed, match=r"ended with code 1(.|\n)*too little memory") as failed,
        serving.serving([Wanted("m", "m")], tmp_path, 20),
    ):
        pass
    assert str(tmp_path / "m.log") in str(failed.value)


@pytest.mark.timeout(60)
def test_a_server_that_does_not_answer_in_time_is_ended(tmp_path, monkeypatch):
    pid = tmp_path / "pid"
    _serve(monkeypatch, f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(1000)")

    with (
        pytest.raises(ServerFailed, match="did not answer within 3 s"),
        serving.serving([Wanted("m", "m")], tmp_path, 3),
    ):
        pass
    assert not psutil.pid_exists(int(pid.read_text()))


LISTS = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        ok = self.headers["Authorization"] == "Bearer " + os.environ["VLLM_API_KEY"]
        self.answer(200 if ok else 401, {"data": [{"id": "m"}]})
    def do_POST(self):
        self.answer(STATUS, {"error": "the tokenizer has no chat template"})
    def answer(self, status, body):
        self.send_response(status); self.end_headers(); self.wfile.write(json.dumps(body).encode())
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.mark.timeout(60)
def test_a_server_that_answers_is_ready_and_its_key_is_random_and_in_its_environment(tmp_path, monkeypatch):
    _serve(monkeypatch, LISTS.replace("STATUS", "200"))

    with serving.serving([Wanted("a", "m"), Wanted("b", "m")], tmp_path, 30) as (one, other):
        assert one.url.startswith("http://127.0.0.1:") and one.key != other.key and len(one.key) > 30
        assert one.key not in repr(one)
        living = [each for each in psutil.Process().children(recursive=True) if each.status() != psutil.STATUS_ZOMBIE]
        assert living and not any(one.key in " ".join(child.cmdline()) for child in living)
    assert KEY == "VLLM_API_KEY"


@pytest.mark.timeout(60)
def test_a_model_that_cannot_render_a_message_is_found_by_one_request(tmp_path, monkeypatch):
    _serve(monkeypatch, LISTS.replace("STATUS", "400"))

    with (
        pytest.raises(ServerFailed, match=r"HTTP 400: .*no chat template"),
        serving.serving([Wanted("a", "m")], tmp_path, 30),
    ):
        pass


@pytest.mark.timeout(60)
def test_a_server_that_ends_interrupts_the_run_that_stands_on_it(tmp_path, monkeypatch):
    _serve(monkeypatch, LISTS.replace("STATUS", "200"))
    interrupted = []

    ended = pytest.raises(ServerFailed, match="the server of m ended")
    with (
        ended,
        serving.serving([Wanted("a", "m")], tmp_path, 30) as servers,
        watched(servers, lambda: interrupted.append(True)),
    ):
        servers[0].process.terminate()
        assert _until(lambda: interrupted)
