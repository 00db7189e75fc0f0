# SPDX-License-Identifier: Apache-2.0
"""OpenStack's web page (Horizon) with octavia-dashboard, on loopback, and a browser that takes a user's steps."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .clients import PYTHON
from .waiting import until

SETTINGS = """
from openstack_dashboard.settings import *

ALLOWED_HOSTS = ["127.0.0.1"]
SECRET_KEY = "octavia-test"
OPENSTACK_KEYSTONE_URL = {keystone!r}
OPENSTACK_SSL_NO_VERIFY = True
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = False
CACHES = {{"default": {{"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}}}
STATIC_ROOT = {static!r}
COMPRESS_OFFLINE = False
"""
APPLICATION = "from django.core.wsgi import get_wsgi_application\n\napplication = get_wsgi_application()\n"
PANEL = "import shutil, octavia_dashboard, openstack_dashboard; from pathlib import Path; here, there = (Path(one.__file__).parent for one in (octavia_dashboard, openstack_dashboard)); [shutil.copy(one, there / 'local/enabled') for one in (here / 'enabled').glob('_*_panel.py')]"
"""As octavia-dashboard's documentation installs it."""
STEP_SECONDS = 420
"""More than all waits of a step together: it ends by itself, with a picture."""


class Browser:
    """Takes steps as one user (``browser.py``); each run logs in anew. A step that fails shows a picture of the page in ``folder``."""

    def __init__(self, url: str, folder: Path, user: str, password: str) -> None:
        self._url, self._folder, self._login = url, folder, (user, password)

    def __call__(self, step: str, **values: Any) -> Any:
        """What the step prints."""
        command = [
            PYTHON,
            "-P",
            str(Path(__file__).with_name("browser.py")),
            self._url,
            str(self._folder),
            *self._login,
            step,
        ]
        done = subprocess.run(
            [*command, json.dumps(values)], capture_output=True, text=True, timeout=STEP_SECONDS, check=False
        )
        assert done.returncode == 0, f"{step}: {done.stderr[-3000:]}"
        return json.loads(done.stdout)


@contextlib.contextmanager
def horizon(keystone: str, folder: Path) -> Iterator[str]:
    """Its address. ``keystone``: where users sign in."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    static = folder / "static"
    static.mkdir()
    (folder / "horizon_settings.py").write_text(SETTINGS.format(keystone=keystone, static=str(static)))
    (folder / "horizon_wsgi.py").write_text(APPLICATION)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OS_")
    }  # it has users of its own
    environment |= {"DJANGO_SETTINGS_MODULE": "horizon_settings", "PYTHONPATH": str(folder)}
    for words in (["-c", PANEL], ["-m", "django", "collectstatic", "--noinput"]):
        done = subprocess.run(
            [PYTHON, *words], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
    command = [
        str(Path(PYTHON).with_name("uwsgi")), "--http-socket", f"127.0.0.1:{port}", "--module", "horizon_wsgi", "--need-app", "--master",
        "--processes", "1", "--threads", "4", "--enable-threads", "--die-on-term", "--lazy-apps", "--buffer-size", "65535",
        "--static-map", f"/static={static}",
    ]  # fmt: skip
    url, log = f"http://127.0.0.1:{port}", folder / "horizon.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, cwd=folder, start_new_session=True
        )
    try:
        until(
            lambda: _answers(f"{url}/auth/login/") or process.poll() is not None, seconds=90, what="Horizon to answer"
        )
        assert process.poll() is None, log.read_text()[-3000:]
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it keeps nothing
        process.wait()
        shutil.rmtree(static)


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=60) as answer:
        return bool(answer.status == 200)
    return False
