"""`cluster wait` where there is nobody to wait for; tests/e2e/test_slurm.py waits for real nodes."""

import socket

from sinternal_verl.cli import main


def test_a_head_that_is_not_there_is_named_at_the_deadline(capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"

        assert main(["cluster", "wait", "--timeout", "0.5", address, "n1", "n2"]) == 1

    assert f"no head of Ray at {address} within 0.5 s" in capsys.readouterr().err
