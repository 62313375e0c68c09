"""Where studies are kept: a journal that mends itself, databases, and what is shown of an address."""

import socket
import subprocess
import sys

import optuna
import pytest
from sqlalchemy.exc import OperationalError

from bcbm.errors import InputError
from bcbm.search.storage import hidden, open_storage, patient, patiently, repair

RECORD = b'{"op_code":0,"worker_id":"a"}\n'
LONG = b'{"op_code":0,"worker_id":"a","text":"' + b"x" * 10_000 + b'"}\n'


@pytest.mark.parametrize(
    "records", [b"", RECORD, RECORD * 3, RECORD + LONG], ids=["none", "one", "three", "long"]
)
@pytest.mark.parametrize(
    "torn",
    [
        b'{"op_code":5,"wor',
        b"garbage",
        b"garbage\n",
        b'{"op":1}{"op":2}\n',
        b"\0" * 5000,
        b"x\ny\n" * 3000,
        b"\n",
        b"{}\nnull\n[1]\n",
        b'{"op_code":5}\n',
    ],
    ids=["cut", "garbage", "line", "merged", "zeros", "much", "empty", "no records", "half a record"],
)
def test_a_torn_end_is_cut_off_and_kept(tmp_path, records, torn):
    journal = tmp_path / "journal.log"
    journal.write_bytes(records + torn)
    assert repair(journal)
    assert journal.read_bytes() == records
    assert (tmp_path / "journal.log.torn").read_bytes() == torn + b"\n"
    assert not repair(journal)


def values(folder):
    study = optuna.load_study(study_name="s", storage=open_storage(None, folder))
    return [trial.value for trial in study.trials]


def study_of_three(folder):
    study = optuna.create_study(study_name="s", storage=open_storage(None, folder))
    for number in range(3):
        study.tell(study.ask(), number)
    return study


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_study_is_read_up_to_where_its_journal_was_cut(tmp_path, cut):
    study_of_three(tmp_path)
    journal = tmp_path / "journal.log"
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert values(tmp_path) == [0, 1, None]
    study = optuna.load_study(study_name="s", storage=open_storage(None, tmp_path))
    study.tell(2, 5.0)
    assert values(tmp_path) == [0, 1, 5]


def test_a_line_torn_by_a_killed_writer_does_not_spoil_the_next_one_of_a_writer_that_lives(tmp_path):
    study = study_of_three(tmp_path)
    with (tmp_path / "journal.log").open("ab") as journal:
        journal.write(b'{"op_code":4,"study')
    study.tell(study.ask(), 3)
    assert values(tmp_path) == [0, 1, 2, 3]
    assert [trial.value for trial in study.trials] == [0, 1, 2, 3]


def test_damage_in_the_middle_is_named_with_what_to_do(tmp_path):
    study_of_three(tmp_path)
    journal = tmp_path / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], b"garbage\n", *lines[1:]]))
    with pytest.raises(InputError, match=r"journal\.log: is damaged before its end.*sweep command again"):
        open_storage(None, tmp_path)


def test_a_lost_connection_is_waited_for_and_an_error_is_not():
    calls = []

    def answers_at_last():
        calls.append(1)
        if len(calls) < 4:
            raise OperationalError("select 1", {}, Exception("server closed the connection"))
        return "answer"

    assert patiently(answers_at_last) == "answer" and len(calls) == 4
    with pytest.raises(OperationalError):
        patiently(lambda: (_ for _ in ()).throw(OperationalError("select 1", {}, Exception())), patience=0.0)
    with pytest.raises(KeyError):
        patiently(lambda: {}["nothing"])

    def interrupted():
        try:
            raise OperationalError("select 1", {}, Exception("server closed the connection"))
        except OperationalError:
            raise KeyboardInterrupt from None

    with pytest.raises(KeyboardInterrupt):  # while it was waited for
        patiently(interrupted)


def test_a_patient_storage_has_every_call(tmp_path):
    study = optuna.create_study(study_name="s", storage=patient(optuna.storages.InMemoryStorage()))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert len(study.trials) == 3 and study.best_value >= 0


@pytest.mark.parametrize(
    "address",
    [
        "mysql://nowhere/x",
        "postgresql://user:secret@127.0.0.1:1/x",
        "nonsense",
        "sqlite:////nonexistent/x.db",
    ],
)
def test_a_storage_that_cannot_be_opened_is_said_without_its_password(tmp_path, address):
    with pytest.raises(InputError) as caught:
        open_storage(address, tmp_path)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
    assert address.partition(":")[0] in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+psycopg://a:secret@host/x",
        "postgresql://a:se@cret@host/x",
        "postgresql:/a:secret@host/x",
        "a:secret@host/x",
        "a:secret@host:5432,other:5432",
        "postgresql+psycopg://a@host/x?connect_timeout=3&password=secret",
        "postgresql+psycopg://a@host/x?sslpassword=secret&sslmode=require",
    ],
)
def test_a_password_is_hidden(address):
    assert "cret" not in hidden(address) and "***" in hidden(address) and "host" in hidden(address)


def test_an_address_without_a_password_is_shown_as_it_is():
    for address in ("grpc://host:13000", "sqlite:////a/b.db", "postgresql+psycopg://a@host:5432/x"):
        assert hidden(address) == address


@pytest.mark.parametrize(
    "address", ["sqlite://", "grpc://localhost:abc", "postgresql://a:secret@host:port/x", "foo"]
)
def test_an_address_that_is_none_is_one_line(address, tmp_path):
    with pytest.raises(InputError) as caught:
        open_storage(address, tmp_path)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_the_grpc_proxy_serves_a_study(tmp_path):
    pytest.importorskip("grpc", reason="grpcio is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = "import sys; from optuna.storages import RDBStorage, run_grpc_proxy_server as run; "
    serve += "run(RDBStorage(sys.argv[1]), host='127.0.0.1', port=int(sys.argv[2]))"
    words = [sys.executable, "-c", serve, f"sqlite:///{tmp_path / 'studies.db'}", str(port)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as server:
        try:
            storage = patiently(lambda: open_storage(f"grpc://127.0.0.1:{port}", tmp_path))
            study = optuna.create_study(study_name="s", storage=storage)
            study.tell(study.ask(), 1.5)
            again = optuna.load_study(
                study_name="s", storage=open_storage(f"grpc://127.0.0.1:{port}", tmp_path)
            )
            assert again.best_value == 1.5
        finally:
            server.kill()
    assert [path.name for path in tmp_path.iterdir()] == ["studies.db"]
