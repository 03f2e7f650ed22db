"""What cannot be listened on is told before anything starts, by the option that remedies it."""

import socket

import pytest

from soloist.service.errors import StartError
from soloist.service.listeners import check_certificate, check_udp, open_tcp


def test_a_taken_tcp_port_names_its_option():
    with open_tcp("127.0.0.1", 0) as taken, pytest.raises(StartError, match="--port"):
        open_tcp("127.0.0.1", taken.getsockname()[1])


def test_a_host_that_is_not_this_machines_names_host_and_not_port():
    with pytest.raises(StartError, match="--host") as caught:
        open_tcp("192.0.2.1", 0)
    assert "--port" not in str(caught.value)


def test_a_taken_media_port_names_its_option():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(StartError, match="--media-port"):
            check_udp("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_bad_tls_file_names_its_options(tmp_path, text):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    if text:
        cert.write_text(text)
        key.write_text(text)
    with pytest.raises(StartError, match=r"--tls-cert .*--tls-key"):
        check_certificate(cert, key)
