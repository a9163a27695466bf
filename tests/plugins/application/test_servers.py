"""Real gunicorn and Celery: what workers counted stays when they are replaced, each count once."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from barograph import PerformanceMonitor, PluginManager
from barograph.config import Config, Duration, MonitorConfig, PluginSettings
from barograph.model import Matcher
from barograph_application import Config as Options
from barograph_application import totals
from barograph_application.attaching import SERVICE
from barograph_application.command import FOLDER, environment_for, service_of

DURATION = "http_server_request_duration_seconds_count"
REQUESTS = 60


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")  # a Unix socket's path must be short


@pytest.fixture
def running(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PerformanceMonitor]:
    fresh = totals.Totals()
    for module in ("source", "receiver"):
        monkeypatch.setattr(f"barograph_application.{module}.TOTALS", fresh)
    off = {n: PluginSettings(False) for n in ("system", "process", "runtime", "template")}
    options = Options(interval=Duration(0.1), socket=str(folder / "a.sock"))
    config = Config(
        monitor=MonitorConfig(data_dir=folder / "data"),
        plugins={**off, "application": PluginSettings(True, options)},
    )
    with PerformanceMonitor(config, plugins=PluginManager()) as found:
        yield found


def newest(found: PerformanceMonitor, name: str, **labels: str) -> float:
    wanted = [Matcher.equal("__name__", name)]
    wanted += [Matcher.equal(label, value) for label, value in labels.items()]
    series = found.store.select(wanted)
    columns = found.store.read([s.ref for s in series], 0, 2**62)
    values = [float(column.values[-1]) for column in columns if len(column)]
    return sum(value for value in values if not math.isnan(value))  # NaN: the series has ended


def until(what: Callable[[], Any], wanted: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while (got := what()) != wanted:
        assert time.monotonic() < deadline, f"got {got!r}, wanted {wanted!r}"
        time.sleep(0.05)


@contextlib.contextmanager
def process(
    folder: Path, command: list[str], code: str, **env: str
) -> Iterator[subprocess.Popen[str]]:
    """A program beside ``shop.py`` with this code and a home of its own; ended by SIGTERM."""
    (folder / "shop.py").write_text(textwrap.dedent(code))
    log = folder / "log"
    own = {
        "BAROGRAPH_SOCKET": str(folder / "a.sock"),
        "HOME": str(folder),
        "PYTHONFAULTHANDLER": "1",
    }
    with log.open("w") as out:
        started = subprocess.Popen(
            [sys.executable, *command], cwd=folder, text=True, stdout=out, stderr=out,
            env={**os.environ, **own, **env},
        )  # fmt: skip
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(60)
            except subprocess.TimeoutExpired:
                started.send_signal(signal.SIGABRT)  # tells where each thread is
                started.wait(10)
                raise
            finally:
                print(log.read_text()[-4000:])  # shown by pytest if the test fails


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


WSGI = """
import os
import barograph
from barograph.instruments import Counter
from barograph_application.wsgi import MetricsMiddleware

orders = Counter("shop_orders_total")

def shop(environ, start_response):
    orders.inc()
    start_response("200 OK", [("X-Pid", str(os.getpid()))])
    return [b"sold"]

app = MetricsMiddleware(shop)
barograph.connect("shop")
"""

ASGI = """
import os
import barograph
from barograph.instruments import Counter
from barograph_application.asgi import MetricsMiddleware

orders = Counter("shop_orders_total")

async def shop(scope, receive, send):
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{step}"
            await send({"type": f"lifespan.{step}.complete"})
        return
    orders.inc()
    head = [(b"x-pid", str(os.getpid()).encode()), (b"content-length", b"4")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"sold"})

app = MetricsMiddleware(shop)
barograph.connect("shop")
"""


def ask(port: int, times: int) -> set[str]:
    """Ask so often, each time by a new connection; the process ids that answered."""
    seen: set[str] = set()
    done, deadline = 0, time.monotonic() + 60
    while done < times:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/", timeout=10)
        except httpx.ConnectError:
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)
            continue
        assert answer.status_code == 200
        seen.add(answer.headers["x-pid"])
        done += 1
    return seen


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "preload"])
@pytest.mark.parametrize(
    ("worker", "code"),
    [("sync", WSGI), ("gthread", WSGI), ("uvicorn_worker.UvicornWorker", ASGI)],
)
def test_gunicorn_loses_and_doubles_nothing_when_it_replaces_its_workers(
    running: PerformanceMonitor, folder: Path, worker: str, code: str, preload: list[str]
) -> None:
    pytest.importorskip("gunicorn")
    if worker.startswith("uvicorn"):
        pytest.importorskip("uvicorn_worker")
    port = free_port()
    command = ["-m", "gunicorn", "shop:app", "-b", f"127.0.0.1:{port}", "-k", worker, "-w", "2",
               "--max-requests", "10", "--graceful-timeout", "10", *preload]  # fmt: skip
    with process(folder, command, code) as server:
        pids = ask(port, REQUESTS)
        assert server.poll() is None
    assert len(pids) >= 4, "no worker was replaced"
    until(lambda: newest(running, "shop_orders_total"), float(REQUESTS))
    until(lambda: newest(running, "barograph_application_processes"), 0.0)
    assert newest(running, "http_server_active_requests", service="shop") == 0
    assert newest(running, "shop_orders_total") == REQUESTS
    assert newest(running, DURATION, service="shop") == REQUESTS
    assert newest(running, DURATION, service="shop", http_response_status_code="200") == REQUESTS


CELERY = """
import os
import barograph
from celery import Celery
from barograph.instruments import Counter

folder = os.environ["FOLDER"]
app = Celery("shop", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": folder, "data_folder_out": folder, "control_folder": folder + "/control",
}
app.conf.worker_max_tasks_per_child = 5
app.conf.broker_connection_retry_on_startup = True
mails = Counter("shop_mails_total", labels=("pid",))
barograph.connect("shop")

@app.task
def mail():
    mails.labels(pid=os.getpid()).inc()
"""


def test_celery_loses_and_doubles_nothing_when_it_replaces_its_children(
    running: PerformanceMonitor, folder: Path
) -> None:
    pytest.importorskip("celery")
    (folder / "queue" / "control").mkdir(parents=True)
    where = {"FOLDER": str(folder / "queue")}
    command = ["-m", "celery", "-A", "shop", "worker", "-P", "prefork", "-c", "2", "-l", "warning",
               "--without-gossip", "--without-mingle", "--without-heartbeat"]  # fmt: skip
    with process(folder, command, CELERY, **where) as worker:
        send = "import shop\nfor _ in range(30): shop.mail.delay()"
        env = {**os.environ, **where, "BAROGRAPH_SOCKET": str(folder / "a.sock")}
        subprocess.run([sys.executable, "-c", send], cwd=folder, env=env, check=True, timeout=60)
        until(lambda: newest(running, "shop_mails_total"), 30.0, 60)
        assert worker.poll() is None
    found = running.store.select([Matcher.equal("__name__", "shop_mails_total")])
    assert len({s.labels.get("pid") for s in found}) >= 4, "no child was replaced"
    until(lambda: newest(running, "barograph_application_processes"), 0.0)
    assert newest(running, "shop_mails_total") == 30.0


# --- programs that know nothing of it -------------------------------------------------------------

PLAIN_ASGI = ASGI.replace("import barograph\n", "").replace('barograph.connect("shop")\n', "")
PLAIN_ASGI = PLAIN_ASGI.replace("app = MetricsMiddleware(shop)", "app = shop")
PLAIN_WSGI = """
import os, sys

def app(environ, start_response):
    start_response("200 OK", [("X-Pid", str(os.getpid()))])
    return [b"sold"]

if __name__ == "__main__":
    from wsgiref.simple_server import make_server
    make_server("127.0.0.1", int(sys.argv[1]), app).serve_forever()
"""
FLASK = """
import os, sys
from flask import Flask

app = Flask(__name__)

@app.after_request
def tell(answer):
    answer.headers["X-Pid"] = str(os.getpid())
    return answer

@app.get("/")
def sold():
    return "sold"

if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
"""
UVICORN = "uvicorn shop:app --log-level error --port"
GUNICORN = "gunicorn shop:app -w 2 --max-requests 10 -b"


@pytest.mark.parametrize(
    ("command", "code", "route"),
    [
        (UVICORN, PLAIN_ASGI, ""),
        (UVICORN, ASGI, ""),  # which has the middleware already: still counted once
        (f"{UVICORN.replace('--port', '--workers 2 --port')}", PLAIN_ASGI, ""),
        (GUNICORN, PLAIN_WSGI, ""),
        (GUNICORN, WSGI, ""),
        (f"{GUNICORN} -k uvicorn_worker.UvicornWorker", PLAIN_ASGI, ""),
        ("python shop.py", PLAIN_WSGI, ""),
        ("python shop.py", FLASK, "/"),
        ("python -m flask --app shop run --port", FLASK, "/"),
    ],
)
def test_a_program_is_measured_without_a_change_to_it(
    running: PerformanceMonitor, folder: Path, command: str, code: str, route: str
) -> None:
    port = free_port()
    for needed in ("gunicorn", "uvicorn_worker") if "gunicorn" in command else ():
        pytest.importorskip(needed)
    where = f"127.0.0.1:{port}"
    words = command.replace(" -b", f" -b {where}").split()
    if "-b" not in words:
        words.append(str(port))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with process(folder, ["-m", "barograph", "run", "--", *words], code, PATH=path):
        ask(port, 12)
        until(lambda: newest(running, DURATION, service="shop", http_route=route), 12.0)


def test_an_environments_own_sitecustomize_still_runs(
    running: PerformanceMonitor, folder: Path
) -> None:
    (folder / "sitecustomize.py").write_text("import builtins; builtins.mine = 5")
    code = """
    import sys
    from barograph.instruments import Counter
    Counter("own_total").inc(mine)
    assert sys.modules["sitecustomize"].__file__.startswith(sys.path[0]), sys.path
    """
    command = ["-m", "barograph", "attach", "--service", "job", "--", sys.executable, "shop.py"]
    with process(folder, command, code, PYTHONPATH=str(folder)) as job:
        assert job.wait(60) == 0
    until(lambda: newest(running, "own_total", service="job"), 5.0)


def test_a_program_that_cannot_be_measured_runs_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.mine = 5")
    broken = tmp_path / "barograph_application"
    broken.mkdir()
    (broken / "__init__.py").write_text("")
    (broken / "attaching.py").write_text("def attach():\n    raise RuntimeError('no home')\n")
    given = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", "print(mine)"]
    done = subprocess.run(
        command, env=environment_for(command, "job", given), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    told = "barograph: not measured: RuntimeError: no home\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "5\n", told)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("uvicorn shop.main:app", "shop"),
        ("gunicorn -w 2 shop:make(True)", "shop"),
        ("python app.py --port 1", "app"),
        ("python -m jobs.nightly", "jobs.nightly"),
        ("python /srv/store/manage.py runserver", "store"),
        ("celery worker", "celery"),
        ("celery -A shop.tasks worker", "shop"),
        ("flask --app shop:app run", "shop"),
    ],
)
def test_a_program_is_called_by_what_it_runs(words: str, name: str) -> None:
    assert service_of(words.split()) == name


def test_what_is_given_stays_in_the_environment() -> None:
    given = {"PYTHONPATH": "/a", "X": "1"}
    made = environment_for(["python", "app.py"], "", given)
    assert made == {"PYTHONPATH": f"{FOLDER}:/a", "X": "1", SERVICE: "app"}
    assert environment_for(["x"], "", {SERVICE: "mine"})[SERVICE] == "mine"
    assert "BAROGRAPH_TOKEN" not in environment_for(["x"], "", {"BAROGRAPH_TOKEN": "opens all"})
    assert environment_for(["x"], "own", {SERVICE: "mine"})[SERVICE] == "own"
