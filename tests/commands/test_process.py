"""How a command ends with its user, or with the reader of its output: as a process of its own, as users meet it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PRELUDE = """
import sys, time
from sinternal_verl.commands.process import run_as_process
"""


def start(code: str, **options) -> subprocess.Popen:
    """A process whose ``command`` is defined by the code."""
    script = f"{PRELUDE}\n{code}\nsys.exit(run_as_process(command, lambda: 'the same command goes on'))"
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, **options)


ENDLESS = """
def command():
    try:
        while True:
            print('a line', flush={flush}, file=sys.{stream})
    except OSError as error:
        # What a command says of its own files.
        print('cannot be written', error, file=sys.stderr)
        return 2
    finally:
        open({mark!r}, 'w').close()
"""


@pytest.mark.parametrize("flush", [True, False])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_closes_the_pipe_ends_the_command_without_a_word(tmp_path, stream, flush):
    mark = tmp_path / "cleaned up"
    code = ENDLESS.format(stream=stream, flush=flush, mark=str(mark))
    process = start(code, stdout=subprocess.PIPE)

    reader = process.stdout if stream == "stdout" else process.stderr
    assert reader.readline() == "a line\n"
    reader.close()
    said = process.stderr.read() if stream == "stdout" else ""

    assert process.wait(20) == 141
    assert said == "" and mark.exists()
    process.stdout.close()


def test_what_was_read_before_the_pipe_closed_is_whole():
    done = subprocess.run(
        [sys.executable, "-m", "sinternal_verl.cli", "verify", "build", "--help"], capture_output=True, timeout=30
    )
    line = f"set -o pipefail; {sys.executable} -m sinternal_verl.cli verify build --help 2>&1 | head -n 3"
    headed = subprocess.run(["bash", "-c", line], capture_output=True, timeout=30)

    # The help fits into the pipe, so either end may be first.
    assert headed.stdout == b"".join(done.stdout.splitlines(True)[:3])
    assert headed.stderr == b"" and headed.returncode in (0, 141)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_output_that_cannot_be_written_is_said():
    with open("/dev/full", "w") as full:
        process = start("def command():\n    print('a line')\n    return 0", stdout=full)
        said = process.communicate(timeout=20)[1]

    assert process.returncode == 1
    assert said == "sinternal_verl: no output: [Errno 28] No space left on device\n"


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "\nsinternal_verl: interrupted; the same command goes on\n"),
        (signal.SIGTERM, 143, ""),
    ],
)
def test_a_signal_ends_the_command_after_it_has_cleaned_up(tmp_path, number, code, said):
    mark = tmp_path / "cleaned up"
    process = start(
        "def command():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(30)\n"
        "    finally:\n"
        f"        open({str(mark)!r}, 'w').close()",
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)

    assert process.communicate(timeout=20)[1] == said
    assert process.returncode == code and mark.exists()


def test_a_command_may_be_run_without_output(tmp_path):
    line = f"{sys.executable} -m sinternal_verl.cli --help >&- 2>&-"

    assert subprocess.run(["bash", "-c", line], timeout=30).returncode == 0


def test_an_exit_code_is_passed_on():
    process = start("def command():\n    print('é 中')\n    return 7", stdout=subprocess.PIPE, env={**os.environ})

    assert process.communicate(timeout=20)[0] == "é 中\n"
    assert process.returncode == 7


def test_an_interrupt_of_a_command_at_work_is_one_line():
    # It interrupts itself: on a busy machine this process may not be awake before that one has ended.
    code = (
        "import os, signal, sys, threading\n"
        "from sinternal_verl.cli import main\n"
        "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "sys.argv[1:] = ['doctor']\n"
        "sys.exit(main())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert found.returncode == 130
    assert found.stderr.count("\n") <= 2 and "Traceback" not in found.stderr and "interrupted" in found.stderr
