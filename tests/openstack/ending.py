# SPDX-License-Identifier: Apache-2.0
"""The process that control planes are forked from, each of which ends at a call of OpenStack at which none has ended yet (``lives.py``).

A line of its input is what is asked: "begin" and "ends" begin a life, which ends by itself or not; "over" is answered by its exit code, null while
it runs.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

ENDED = 77
"""The exit code of one that has ended at its call."""
ID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}")


def main(folder: Path, words: list[str]) -> None:
    """``folder``: of what they say, and of the calls at which they ended; ``words``: octaviactl's."""
    from octavia_provider import api, app  # noqa: F401 - each life needs them
    from octavia_provider.clouds.openstack import driver  # noqa: F401

    pid, code = 0, None
    for line in sys.stdin:
        if line.strip() == "over":
            if pid and code is None:
                done, status = os.waitpid(pid, os.WNOHANG)
                code = os.waitstatus_to_exitcode(status) if done else None
            print(json.dumps(code), flush=True)
            continue
        pid, code = os.fork(), None
        if not pid:
            _live(folder, words, ends=line.strip() == "ends")
        print(pid, flush=True)


def _live(folder: Path, words: list[str], *, ends: bool) -> None:
    from octavia_provider.cli import main

    output = os.open(folder / "stderr.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
        os.dup2(file, number)
    if ends:
        _end_at_a_new_call(folder / "ends")
    sys.argv = ["octaviactl", *words]
    code = 1
    try:
        main.main()
        code = 0
    finally:
        os._exit(code)


def _end_at_a_new_call(file: Path) -> None:
    """As by SIGKILL, nothing is written, closed or told: when the answer has come, and before a call that changes something is sent, too."""
    from octavia_provider.clouds.openstack.session import Session

    known = set(file.read_text().splitlines()) if file.exists() else set()
    call = Session.call

    def end(where: str) -> None:
        if where not in known:
            with file.open("a") as ends:
                ends.write(where + "\n")
            os._exit(ENDED)

    async def ending(self: Session, service: str, method: str, path: str, **more: Any) -> Any:
        what = _described(service, method, path, **more)
        if method != "GET":
            end(f"before {what}")
        answer = await call(self, service, method, path, **more)
        end(f"after {what}")
        return answer

    Session.call = ending  # type: ignore[method-assign]


def _described(service: str, method: str, path: str, **more: Any) -> str:
    """A call without its ids, the same in each life."""
    words = [service, method, path, *sorted(more.get("params") or {})]
    for value in (more.get("body") or {}).values():
        if isinstance(value, list):
            words += [str(one).partition("=")[0] for one in value]
        elif isinstance(value, dict):
            words += [f"{name}={value[name]}" for name in ("name", "protocol", "ethertype") if name in value]
    return ID.sub("ID", " ".join(words))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
