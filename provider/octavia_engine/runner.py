# SPDX-License-Identifier: Apache-2.0
"""Runs a Python Pulumi program; what ``pulumi-language-python-exec`` is to the CLI.

The engine starts this file by its path with the project's own Python, so it imports nothing but the standard library
and ``pulumi``. Its one argument is a JSON object: ``program``, ``monitor``, ``engine``, ``project``, ``stack``,
``organization``, ``parallel``, ``dry_run``, ``root_directory``; the configuration is in ``PULUMI_CONFIG`` and
``PULUMI_CONFIG_SECRET_KEYS``. Exit codes: 0; 32 when the error was reported through the engine; 1 otherwise.
"""

import asyncio
import ctypes
import importlib.machinery
import json
import logging
import os
import runpy
import signal
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ERROR_REPORTED = 32
_PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> int:
    """Run the program; the exit code."""
    _die_with_the_engine()
    arguments = json.loads(sys.argv[1])
    try:
        import pulumi
        import pulumi.runtime
    except ImportError as error:
        print(  # noqa: T201 - before the SDK there is no other way to be heard
            f"the program's Python ({sys.executable}) cannot import pulumi: {error}. Try: pip install pulumi",
            file=sys.stderr,
        )
        return 1
    pulumi.runtime.set_all_config(pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env())
    settings = {key: value for key, value in arguments.items() if key != "program"}
    pulumi.runtime.configure(pulumi.runtime.Settings(**settings))
    program = arguments["program"]
    sys.argv = [program]
    sys.path.insert(0, str(_folder(program)))
    _compile_afresh(_folder(program))
    return _run(pulumi, program, arguments["parallel"])


def _die_with_the_engine() -> None:
    """Make the kernel kill this process when the engine dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the engine's to handle


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Compiles the source each time.

    Bytecode in ``__pycache__`` counts as current while the source's size and its time in whole seconds are the same: an
    edit within one second, and files unpacked with one fixed time, would run in their former form.
    """

    def path_stats(self, path: str) -> Any:
        """What the times of bytecode are compared with: none, so bytecode is neither read nor written."""
        raise OSError(f"{path} is always compiled")


def _compile_afresh(folder: Path) -> None:
    """Import what the user edits from its source; installed packages keep their bytecode."""
    loaders = (
        (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
        (_SourceLoader, importlib.machinery.SOURCE_SUFFIXES),
        (importlib.machinery.SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
    )
    find = importlib.machinery.FileFinder.path_hook(*loaders)

    def hook(path: str) -> Any:
        if not _is_user_code(str(Path(path) / "any.py"), folder):
            raise ImportError(f"{path} is not a folder of the program")
        return find(path)

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()


def _run(pulumi: Any, program: str, parallel: int) -> int:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    # each registration blocks a thread until its step is done
    loop.set_default_executor(ThreadPoolExecutor(max_workers=max(parallel, 1) * 4))
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # outputs that nobody awaited, after a failure
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: _execute(program)))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))  # noqa: TRY400 - the engine's log, not logging's
        return ERROR_REPORTED
    except Exception as error:  # noqa: BLE001 - whatever the user's program raises
        pulumi.log.error(_format_error(error, program))  # noqa: TRY400
        return ERROR_REPORTED
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _execute(program: str) -> None:
    runpy.run_path(program, run_name="__main__")


def _is_user_code(file: str, folder: Path) -> bool:
    return not file.startswith("<") and "site-packages" not in file and Path(file).resolve().is_relative_to(folder)


def _folder(program: str) -> Path:
    path = Path(program).resolve()
    return path if path.is_dir() else path.parent


def _format_error(error: BaseException, program: str) -> str:
    """The error with only the frames in the user's own files."""
    folder = _folder(program)
    frames = [
        f"  {Path(frame.filename).resolve().relative_to(folder)}, line {frame.lineno}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if _is_user_code(frame.filename, folder)
    ]
    return "\n".join([f"the program failed: {type(error).__name__}: {error}", *frames])


if __name__ == "__main__":
    code = main()
    os._exit(code)  # do not wait for threads that wait for the exiting engine
