"""Young processes: signals that are meant for the one that has started them do not reach them."""

import os
import subprocess
import sys

from repository import HOME

WORK = """
from math import sqrt
from joblib import delayed
from bcbm.system.pool import workers
print(*workers(2, return_as="generator")(delayed(sqrt)(number) for number in (1, 4, 9)))
"""
# Python runs this before anything else: Ctrl-C in the first moment of a worker.
YOUNG = """
import os, signal, sys
if any("loky" in word and "popen" in word for word in sys.orig_argv):
    os.kill(os.getpid(), signal.SIGINT)
"""


def test_a_worker_that_is_interrupted_in_its_first_moment_works_on(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(YOUNG)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{HOME}"}
    process = subprocess.run([sys.executable, "-c", WORK], env=environment, capture_output=True, text=True)
    assert (process.stdout.split(), process.stderr) == (["1.0", "2.0", "3.0"], "")
    assert process.returncode == 0


MASK = """
import multiprocessing, signal
from bcbm.system.processes import load_stack

def tell(end):
    end.send(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, []))

if __name__ == "__main__":
    load_stack([])
    here, there = multiprocessing.Pipe()
    multiprocessing.get_context("forkserver").Process(target=tell, args=(there,)).start()
    print(here.recv())
"""


def test_what_asks_for_an_end_waits_in_a_process_that_is_not_ready_for_it(tmp_path):
    (tmp_path / "mask.py").write_text(MASK)
    words, environment = [sys.executable, tmp_path / "mask.py"], {**os.environ, "PYTHONPATH": str(HOME)}
    process = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert (process.stdout, process.stderr) == ("True\n", "")


LOADING = """
import sys
from math import sqrt
from joblib import delayed
from bcbm.system.pool import loading, workers
with loading(2, ("told",)):
    print(*workers(2, return_as="generator")(delayed(sqrt)(number) for number in (1, 4, 9)))
print("told" in sys.modules)
"""


def test_workers_import_what_they_are_told_to_and_work_on_beside(tmp_path):
    (tmp_path / "told.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write('.')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{HOME}"}
    process = subprocess.run([sys.executable, "-c", LOADING], env=environment, capture_output=True, text=True)
    assert (process.stdout.split(), process.stderr) == (["1.0", "2.0", "3.0", "False"], "")
    assert (tmp_path / "imported").read_text() in (".", "..")  # by one worker, or by both


SINGLE = """
import os
from joblib import delayed
from bcbm.system.pool import loading, workers
pid = delayed(os.getpid)
with loading(2, ("told",), single=True):
    served = [*workers(2, return_as="generator")([pid()]), *workers(2, return_as="generator")([pid(), pid()])]
print(len(set(served)), os.getpid() in served, [*workers(1, return_as="generator")([pid()])] == [os.getpid()])
"""


def test_one_process_serves_what_has_a_single_task_and_nobody_loads_beside_it(tmp_path):
    (tmp_path / "told.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write('.')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{HOME}"}
    process = subprocess.run([sys.executable, "-c", SINGLE], env=environment, capture_output=True, text=True)
    assert (process.stdout.split(), process.stderr) == (["1", "False", "True"], "")
    assert (tmp_path / "imported").read_text() == "."
