# SPDX-License-Identifier: Apache-2.0
"""up, preview, destroy and refresh as functions; ``octaviactl`` is a thin layer over them.

    result = run.up(project_dir, "dev")            # or preview, destroy, refresh
    result.ok, result.summary.changes, result.summary.outputs

Each takes the same keywords (:class:`Options`). Errors of resources are displayed and make ``result.ok`` false; errors
that prevent the run are raised (:mod:`octavia_provider.model.errors`).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from octavia_engine import events, state, urns, values
from octavia_engine.backend import Backend, LoadedStack
from octavia_engine.deployment import CREATES_ONCE, Deployment, StackNames
from octavia_engine.events import Display, Summary
from octavia_engine.journal import Journal
from octavia_engine.monitor import Monitor, Services
from octavia_engine.plugins import PluginHost
from octavia_engine.program import Program, environment
from octavia_engine.project import Config, Project, StackSettings, check_stack_name
from octavia_engine.providers import Providers
from octavia_engine.refresh import Refresh
from octavia_engine.removal import Removal
from octavia_engine.secrets import Secrets, passphrase
from octavia_engine.snapshot_manager import SnapshotManager
from octavia_provider.model import effects
from octavia_provider.model.errors import NotFound
from octavia_provider.model.near import did_you_mean

PROGRAM_EXIT_SECONDS = 3.0
"""Seconds for the program to exit after Ctrl-C."""


@dataclass(frozen=True)
class Options:
    """How to run. ``config`` overrides values for this run; ``parallel`` is how many steps run at once."""

    display: Display | None = None
    parallel: int = field(default_factory=lambda: 4 * (os.cpu_count() or 1))
    config: dict[str, str] = field(default_factory=dict)
    creates_once: frozenset[str] = CREATES_ONCE
    """Packages with an idempotent Create; see :mod:`octavia_engine.removal`."""


@dataclass
class Result:
    """The result of a run."""

    ok: bool
    summary: Summary


class StackSession:
    """A project's stack with its backend, settings and display."""

    def __init__(self, project_dir: Path, stack: str, options: Options) -> None:
        self.project = Project.load(project_dir)
        self.stack = check_stack_name(stack)
        self.options = options
        self.backend = Backend(self.project.state_dir)
        self.settings = StackSettings(self.project, stack)
        self.names = StackNames(self.project.name, stack)
        self.display: Display = options.display or _default_display()

    def open(self, *, create: bool) -> LoadedStack:
        """Load the stack. Raises NotFound when it does not exist and ``create`` is false."""
        opened = self.backend.open(self.names.project, self.stack)
        if not (opened.exists or create):
            raise self._not_found()
        return opened

    def peek(self) -> LoadedStack:
        """Read the stack without a lock. Raises NotFound."""
        opened = self.backend.peek(self.names.project, self.stack)
        if not opened.exists:
            raise self._not_found()
        return opened

    def _not_found(self) -> NotFound:
        return stack_not_found(self.stack, self.backend.stacks(self.names.project))

    def secrets(self, opened: LoadedStack, *, required: bool) -> Secrets | None:
        """The stack's secrets; a new stack gets a salt. None when no secrets exist and none are required."""
        salt = self.settings.salt or opened.salt
        if salt is None:
            if not required:
                return None
            new_secrets = Secrets.new(passphrase(self.stack))
            self.settings.save_salt(new_secrets.salt)
            return new_secrets
        if not required and not self.settings.has_secrets() and not _has_ciphertext(opened.deployment):
            return None
        return Secrets.open(salt, passphrase(self.stack), self.stack)


def stack_not_found(stack: str, known: list[str]) -> NotFound:
    """The error for a missing stack, with a suggestion and a hint."""
    here = f" (there are {', '.join(known)})" if known else " (there are none)"
    return NotFound(
        f"there is no such stack{here}{did_you_mean(stack, known)}", subject=f"stack {stack}",
        hint=f"octaviactl stack init {stack}, or octaviactl up --create --stack {stack}, to make it",
    )  # fmt: skip


def check_passphrase(project_dir: Path, stack: str) -> None:
    """Ask for the passphrase of a stack and check it, before anything else happens. Raises Forbidden."""
    session = StackSession(Path(project_dir), stack, Options())
    salt = session.settings.salt or session.backend.peek(session.names.project, stack).salt
    entered = passphrase(stack)
    if salt is not None:
        Secrets.open(salt, entered, stack)


def _default_display() -> Display:
    from octavia_engine.display.plain import PlainDisplay

    return PlainDisplay()


def _has_ciphertext(deployment: dict[str, Any]) -> bool:
    pending = [operation["resource"] for operation in deployment.get("pending_operations") or []]
    return any(
        values.has_secret(resource.get(part))
        for resource in (*(deployment.get("resources") or []), *pending)
        for part in ("inputs", "outputs")
    )


class Run:
    """One run: the services, the plugins, the deployment, and Ctrl-C."""

    def __init__(self, session: StackSession, opened: LoadedStack, secrets: Secrets | None, *, preview: bool) -> None:
        self.session, self.opened, self.secrets, self.preview = session, opened, secrets, preview
        self.config: Config = session.settings.config(secrets, session.options.config)
        self._host: PluginHost | None = None
        self._deployment: Deployment | None = None
        self._program: Program | None = None
        self._interrupts = 0
        self._background: set[asyncio.Task[None]] = set()

    def connect(self) -> None:
        """Load gRPC, which takes time, after Ctrl-C handling is installed."""
        self.services = Services(self.session.display)

    @asynccontextmanager
    async def deployment(self) -> AsyncIterator[Deployment]:
        """The deployment with its services running; at the end everything is stopped and the state written."""
        journal = snapshots = None
        try:
            await self.services.start()
            self._host = self._plugins()
            session, names = self.session, self.session.names
            if not self.preview:
                journal = Journal(session.backend.journal_path(names.project, names.stack), self.opened.digest)
            snapshots = SnapshotManager(self.opened.deployment, self.secrets, journal)
            self._deployment = Deployment(
                names,
                snapshots,
                Providers(self._host),
                self.config,
                session.display,
                preview=self.preview,
                parallel=session.options.parallel,
                creates_once=session.options.creates_once,
            )
            self._deployment.cancelled = bool(self._interrupts)
            await self.services.serve(Monitor(self._deployment, parallel=session.options.parallel))
            yield self._deployment
        finally:
            await self.services.stop()
            if self._host is not None:
                await self._host.stop()
            await asyncio.gather(*self._background, return_exceptions=True)
            if journal is not None and snapshots is not None:
                await self._save(snapshots, journal)

    def _plugins(self) -> PluginHost:
        session, names = self.session, self.session.names
        return PluginHost(
            engine_address=self.services.address,
            folders=session.project.plugins,
            working_dir=session.project.working_dir,
            environment=environment(self.config)
            | {"PULUMI_PROJECT": names.project, "PULUMI_STACK": names.stack, effects.TOLD: "1"},
            on_output=lambda severity, line: session.display.diagnostic(severity, "", line),
        )

    async def _save(self, snapshots: SnapshotManager, journal: Journal) -> None:
        await journal.sync()
        provider = self.secrets.provider() if self.secrets else None
        latest = state.new_deployment(snapshots.snapshot.resources(), snapshots.snapshot.operations(), provider)
        names = self.session.names
        await asyncio.to_thread(self.session.backend.write, names.project, names.stack, latest, journal)
        journal.close(remove=True)

    def interrupt(self) -> None:
        """Ctrl-C cancels; the second one exits at once (the journal is complete)."""
        self._interrupts += 1
        if self._interrupts > 1:
            if self._host is not None:
                self._host.kill()
            os._exit(130)
        if self._deployment is not None:
            self._deployment.cancelled = True
        message = "cancelling: waiting for what has begun; Ctrl-C again to leave at once"
        self.session.display.diagnostic(events.WARNING, "", message)
        if self._host is not None:
            self._background.add(asyncio.get_running_loop().create_task(self._host.cancel()))
        if self._deployment is not None and self._program is not None:
            ending = _end_program(self._program, self._deployment)
            self._background.add(asyncio.get_running_loop().create_task(ending))

    async def program(self, deployment: Deployment) -> bool:
        """Run the program; return whether it and all its resources succeeded."""
        session = self.session
        if deployment.cancelled:
            return False
        program = self._program = await Program.start(
            session.project,
            session.stack,
            self.config,
            self.services.address,
            lambda severity, line: session.display.diagnostic(severity, "", line),
            parallel=session.options.parallel,
            preview=self.preview,
        )
        try:
            code = await program.wait()
        except BaseException:
            await program.kill()
            raise
        if code and not self.services.engine.errors and not deployment.summary.errors and not deployment.cancelled:
            deployment.error("", f"the program ended with exit code {code}")
        deployment.summary.errors += self.services.engine.errors
        return code == 0 and not deployment.summary.errors and not deployment.cancelled


async def _end_program(program: Program, deployment: Deployment) -> None:
    """Kill a program that does not exit once no step is running: it may wait for a result that will not come."""
    await deployment.idle.wait()
    await asyncio.wait([asyncio.ensure_future(program.wait())], timeout=PROGRAM_EXIT_SECONDS)
    await program.kill()


class _Signals:
    """SIGINT and SIGTERM handled while inside; in another thread than the main one, left alone."""

    def __init__(self, loop: asyncio.AbstractEventLoop, handler: Callable[[], None]) -> None:
        self._loop, self._handler = loop, handler

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(RuntimeError, ValueError):
                self._loop.add_signal_handler(number, self._handler)

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(RuntimeError, ValueError):
                self._loop.remove_signal_handler(number)


Work = Callable[[Run, Deployment], Coroutine[Any, Any, bool]]


def _run(project_dir: Path, stack: str, options: Options, kind: str, work: Work, *, preview: bool, new: bool) -> Result:
    session = StackSession(Path(project_dir), stack, options)
    if preview:  # changes nothing, so it needs no lock, and `up`'s needs no stack
        opened = session.backend.peek(session.names.project, stack) if new else session.peek()
        secrets = session.secrets(opened, required=False)
        return asyncio.run(_run_async(session, opened, secrets, kind, work, preview=True))
    with session.backend.lock(session.names.project, stack):
        opened = session.open(create=new)
        secrets = session.secrets(opened, required=True)
        return asyncio.run(_run_async(session, opened, secrets, kind, work, preview=False))


async def _run_async(
    session: StackSession, opened: LoadedStack, secrets: Secrets | None, kind: str, work: Work, *, preview: bool
) -> Result:
    display = session.display
    display.begin(kind, session.stack, preview=preview)
    summary = Summary()
    try:
        run = Run(session, opened, secrets, preview=preview)
        with _Signals(asyncio.get_running_loop(), run.interrupt):
            run.connect()
            for operation in opened.interrupted:
                if not urns.is_provider(operation["resource"]["type"]):
                    _warn_interrupted(session, kind, operation)
            async with run.deployment() as deployment:
                summary = deployment.summary
                ok = await work(run, deployment)
                await deployment.finish()
    finally:
        display.end(summary)
    return Result(ok and not summary.errors and not summary.cancelled, summary)


def _warn_interrupted(session: StackSession, kind: str, operation: dict[str, Any]) -> None:
    """Warn about a pending operation of an earlier run, and what happens to it."""
    resource, doing = operation["resource"], operation["type"]
    message = f"an earlier run was interrupted while {doing} it"
    if doing == "creating":
        once = urns.package_of(resource["type"]) in session.options.creates_once
        name = urns.name_of(resource["urn"])
        if not once:
            message += (
                "; nobody knows whether it exists: if it does, delete or import it; then octaviactl stack forget "
                f"{name}, unless this run makes it"
            )
        elif kind == "refresh":
            message += "; octaviactl up, or destroy, takes up what is there"
        else:
            message += "; what is there of it is taken up, or deleted"
    elif kind == "refresh":
        message += "; octaviactl up, or destroy, finishes it"
    else:
        message += "; this run goes on from there"
    session.display.diagnostic(events.WARNING, resource["urn"], message)


async def _update(run: Run, deployment: Deployment) -> bool:
    ok = await run.program(deployment)
    if ok:
        await Removal(deployment).delete_unregistered()
    return ok


async def _refresh(run: Run, deployment: Deployment) -> bool:
    del run
    await Refresh(deployment).refresh_all()
    return True


async def _destroy(run: Run, deployment: Deployment) -> bool:
    del run
    await Removal(deployment).delete_all()
    if not deployment.summary.errors:
        deployment.summary.outputs = {}
    return True


def up(project_dir: Path, stack: str, options: Options = Options()) -> Result:
    """Deploy the program; creates the stack if needed."""
    return _run(project_dir, stack, options, "update", _update, preview=False, new=True)


def preview(project_dir: Path, stack: str, options: Options = Options()) -> Result:
    """Preview :func:`up`; changes nothing, and the stack need not exist."""
    return _run(project_dir, stack, options, "update", _update, preview=True, new=True)


def destroy(project_dir: Path, stack: str, options: Options = Options()) -> Result:
    """Delete all resources of the stack. Its configuration and the stack itself stay."""
    return _run(project_dir, stack, options, "destroy", _destroy, preview=False, new=False)


def refresh(project_dir: Path, stack: str, options: Options = Options()) -> Result:
    """Refresh the state from the providers."""
    return _run(project_dir, stack, options, "refresh", _refresh, preview=False, new=False)


def preview_refresh(project_dir: Path, stack: str, options: Options = Options()) -> Result:
    """Preview :func:`refresh`."""
    return _run(project_dir, stack, options, "refresh", _refresh, preview=True, new=False)


def preview_destroy(project_dir: Path, stack: str, options: Options = Options()) -> Result:
    """Preview :func:`destroy`."""
    return _run(project_dir, stack, options, "destroy", _destroy, preview=True, new=False)
