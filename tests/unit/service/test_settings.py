"""Settings: what they default to, and that a child process reads what its supervisor had."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from soloist.service.settings import Settings, node_id_of, object_key_of


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch):
    for name in [name for name in os.environ if name.startswith("SOLOIST_")]:
        monkeypatch.delenv(name)


def test_a_child_reads_the_settings_its_supervisor_had(monkeypatch, tmp_path):
    given = Settings(
        data=tmp_path,
        database_url="postgresql://u:secret@db/x",
        port=0,
        public_address=("192.0.2.1", "2001:db8::1"),
        storage={"cn-north-4": "/srv"},
        dev=True,
        recorders=3,
        log_level="debug",
        tls_cert="/etc/soloist/cert.pem",
        tls_key="/etc/soloist/key.pem",
        ice_servers=({"url": "turn:192.0.2.7:3478?transport=udp", "username": "u", "credential": "hunter2"},),
    )
    for name, value in given.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == given


def test_a_secret_is_not_printed_with_the_settings(tmp_path):
    assert "hunter2" not in repr(Settings(data=tmp_path, database_url="postgresql://u:hunter2@db/x"))
    turn = {"url": "turns:turn.example", "username": "u", "credential": "hunter2"}
    assert "hunter2" not in repr(Settings(data=tmp_path, ice_servers=(turn,)))


def test_a_certificate_without_its_key_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="SOLOIST_TLS_CERT and SOLOIST_TLS_KEY are given together"):
        Settings(data=tmp_path, tls_cert=tmp_path / "cert.pem")


@pytest.mark.parametrize("url", ["http://stun.example", "stun:", 'stun:a"b', "stun:a>b", "turn:a b"])
def test_an_ice_server_that_would_break_the_link_header_is_refused(tmp_path, url):
    with pytest.raises(ValidationError):
        Settings(data=tmp_path, ice_servers=({"url": url},))


@pytest.mark.parametrize(("name", "value"), [("PORT", "70000"), ("RECORDERS", "0"), ("LOG_LEVEL", "loud")])
def test_a_value_out_of_range_is_refused(monkeypatch, name, value):
    monkeypatch.setenv(f"SOLOIST_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


def test_storage_defaults_to_one_folder_under_the_data(tmp_path):
    assert Settings(data=tmp_path).storage_locations == {"cn-north-4": tmp_path / "storage"}


def test_logs_are_for_people_in_development_and_for_machines_otherwise(tmp_path):
    assert not Settings(data=tmp_path, dev=True).logs_are_json
    assert Settings(data=tmp_path).logs_are_json
    assert Settings(data=tmp_path, dev=True, log_format="json").logs_are_json


def test_two_data_folders_have_two_short_runtime_folders():
    deep = Path("/srv") / ("x" * 200)
    one, two = Settings(data=deep / "a"), Settings(data=deep / "b")
    assert one.runtime_dir != two.runtime_dir
    assert len(str(one.recorder_socket(63))) < 60


def test_a_node_keeps_its_id(tmp_path):
    first = node_id_of(tmp_path)
    assert node_id_of(tmp_path) == first
    assert len(first) == 12
    assert [path.name for path in tmp_path.iterdir()] == ["node_id"]


def test_a_relative_data_folder_means_the_same_to_every_child(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = Settings(data="data", runtime="run", storage={"cn-north-4": "buckets"})
    assert settings.data == tmp_path / "data"
    assert settings.runtime_dir.parent == tmp_path / "run"
    assert settings.storage_locations == {"cn-north-4": tmp_path / "buckets"}


@pytest.mark.parametrize("place", ["s3://bucket/recordings", "file:///srv/recordings", ""])
def test_a_storage_that_is_no_folder_is_refused_and_not_made_a_folder(tmp_path, place):
    with pytest.raises(ValidationError, match="folder"):
        Settings(data=tmp_path, storage={"cn-north-4": place})


@pytest.mark.parametrize("address", ["media.example", "192.0.2.256", "192.0.2.1:8100", ""])
def test_a_public_address_that_is_no_ip_address_is_refused_by_name(tmp_path, address):
    with pytest.raises(ValidationError, match="is no IP address"):
        Settings(data=tmp_path, public_address=(address,))


S3 = {"endpoint": "https://s3.example:9000", "access_key": "AK", "secret_key": "a-secret-of-the-store"}


def test_an_s3_store_reaches_the_children_with_its_secret_and_shows_it_to_nobody(tmp_path, monkeypatch):
    settings = Settings(data=tmp_path, storage={"eu": {**S3, "addressing": "virtual"}, "cn-north-4": "/srv"})
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)

    there = Settings().storage_locations

    assert there == settings.storage_locations
    assert there["eu"].credential.secret_key == S3["secret_key"]
    assert there["cn-north-4"] == Path("/srv")
    for shown in (repr(settings), str(settings), repr(there)):
        assert S3["secret_key"] not in shown


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "s3.example"},
        {"endpoint": "https://s3.example/path"},
        {"endpoint": "https://user:pw@s3.example"},
        {"access_key": ""},
        {"adressing": "path"},
        {"addressing": "sideways"},
        {"secret_key": ""},
    ],
)
def test_an_s3_store_that_is_not_described_right_is_refused_without_telling_its_secret(tmp_path, change):
    with pytest.raises(ValidationError) as refused:
        Settings(data=tmp_path, storage={"eu": {**S3, **change}})
    assert S3["secret_key"] not in str(refused.value)


def test_a_key_for_download_urls_is_made_once_and_for_this_user_alone(tmp_path):
    first = object_key_of(tmp_path)
    assert object_key_of(tmp_path) == first
    assert len(first) == 64
    assert (tmp_path / "object_key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["object_key"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"host": "::", "public_address": ("192.0.2.1",)}, "http://192.0.2.1:8080"),
        ({"host": "::", "public_address": ("2001:db8::1",), "port": 80}, "http://[2001:db8::1]:80"),
        ({"host": "::", "public_url": "https://rec.example"}, "https://rec.example"),
    ],
)
def test_download_urls_begin_with_where_the_api_is_reached(tmp_path, given, expected):
    assert Settings(data=tmp_path, **given).api_url == expected
