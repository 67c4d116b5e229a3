"""What the Python clients check: what checks.mjs checks of `freehold serve`, and what features.py shares with it."""

import asyncio
import json
import logging
import sys
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAIT_LIMIT_S = 60
SLOW_MS = 3_000
ABANDONED_MS = 20_000
TRANSFERS = 32
OPENING_BALANCE = 1_000
TOOLS = ["echo", "slow", "open_account", "deposit", "transfer", "balance", "audit"]
LEDGER = json.loads((Path(__file__).parent / "ledger.json").read_text())


async def within(awaitable, what):
    """Fails, and only fails, when `awaitable` takes longer than the limit."""
    try:
        return await asyncio.wait_for(awaitable, WAIT_LIMIT_S)
    except TimeoutError:
        raise AssertionError(f"{what}: no answer in {WAIT_LIMIT_S} s") from None


@dataclass
class Subject:
    """A client library, and what it is to be connected to."""

    client: str
    session: type
    revision: str
    transport: str
    #: The URL, or the command and its arguments.
    where: list[str]

    @property
    def mode(self):
        # `auto` must find the newest revision by itself; the older one has to be asked for.
        return "auto" if self.revision >= "2026-07-28" else "legacy"

    async def connect(self, person=None):
        session = self.session(self, person)
        await within(session.entered, "connect")
        return session


class LivingSession:
    """One connected client. Its context lives in a task of its own, as anyio wants it left where it was entered."""

    #: Features that the library cannot drive.
    cannot: tuple[str, ...] = ()

    def __init__(self, client: Any):
        self.client = client
        self._leave = asyncio.Event()
        self.entered = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live())

    async def _live(self):
        try:
            async with self.client:
                self.entered.set_result(None)
                await self._leave.wait()
        except Exception as error:
            if self.entered.done():
                raise
            self.entered.set_exception(error)

    async def close(self):
        self._leave.set()
        await within(self._task, "close")


def text(result):
    assert not result.is_error, f"tool error: {result.content}"
    return "".join(block.text for block in result.content if block.type == "text")


async def echo(session, message):
    assert text(await within(session.call("echo", {"text": message}), "echo")) == message


class Slow:
    """A started `slow` call; `begun` waits for its first progress notification, so that it surely runs."""

    def __init__(self, session, ms):
        self.progress = []
        self._first = asyncio.Event()
        self.task = asyncio.create_task(session.call("slow", {"ms": ms}, self._on_progress))

    async def _on_progress(self, progress, total, _message):
        self.progress.append((progress, total))
        self._first.set()

    async def begun(self):
        first = asyncio.create_task(self._first.wait())
        await within(asyncio.wait([first, self.task], return_when=asyncio.FIRST_COMPLETED), "first progress of slow")
        if not first.done():
            first.cancel()
            await self.task
            raise AssertionError("slow ended without any progress")


async def echo_overtakes(slow_session, echo_session):
    slow = Slow(slow_session, SLOW_MS)
    await slow.begun()
    await echo(echo_session, "overtakes")
    assert not slow.task.done(), "echo came back after slow"
    text(await within(slow.task, "slow"))


async def refuses(session, tool, arguments):
    """An error may be a JSON-RPC error or a result with is_error; which one is the revision's choice."""
    try:
        result = await within(session.call(tool, arguments), tool)
    except AssertionError:
        raise
    except Exception:
        return
    assert result.is_error, f"{tool}({arguments}) was accepted"


async def ledger(session, tool, arguments, field):
    result = await within(session.call(tool, arguments), tool)
    text(result)
    structured = result.structured_content or {}
    assert LEDGER[field] in structured, f"{tool} has no {LEDGER[field]} in {structured}"
    return structured[LEDGER[field]]


async def transfers_keep_the_total(session):
    first, second = [
        await ledger(session, "open_account", {"owner": owner, "balance": OPENING_BALANCE}, "account")
        for owner in ("first", "second")
    ]
    text(await within(session.call("deposit", {"account": first, "amount": 5}), "deposit"))
    before = await ledger(session, "audit", {}, "total")
    pairs = [(first, second) if index % 2 == 0 else (second, first) for index in range(TRANSFERS)]
    calls = [
        session.call("transfer", {"from": source, "to": to, "amount": 1 + index % 7, "pause_ms": 5})
        for index, (source, to) in enumerate(pairs)
    ]
    for result in await within(asyncio.gather(*calls), "transfers"):
        text(result)
    assert await ledger(session, "audit", {}, "total") == before, "audit total changed"
    balances = [await ledger(session, "balance", {"account": account}, "balance") for account in (first, second)]
    assert sum(balances) == 2 * OPENING_BALANCE + 5, balances
    await refuses(session, "transfer", {"from": first, "to": second, "amount": 10 * OPENING_BALANCE})


async def cancel_and_go_on(session):
    slow = Slow(session, ABANDONED_MS)
    await slow.begun()
    slow.task.cancel()
    try:
        await within(slow.task, "cancelled slow")
    except asyncio.CancelledError:
        pass
    else:
        raise AssertionError("the cancelled call returned a result")
    await echo(session, "after a cancel")


async def lists_the_tools(session):
    listed = {tool.name: tool for tool in await within(session.list_tools(), "tools/list")}
    for name in TOOLS:
        assert name in listed, f"no tool {name}"
        assert listed[name].input_schema.get("type") == "object", f"{name} has no object schema"
    assert "text" in listed["echo"].input_schema["properties"], "echo has no text in its schema"
    assert listed["audit"].output_schema, "audit has no output schema"


async def progress_is_ordered(session):
    slow = Slow(session, SLOW_MS)
    text(await within(slow.task, "slow"))
    assert len(slow.progress) >= 2, f"{len(slow.progress)} progress notifications in {SLOW_MS} ms"
    values = [progress for progress, _ in slow.progress]
    assert all(later > earlier for earlier, later in zip(values, values[1:])), f"progress does not increase: {values}"
    assert all(total is None or progress <= total for progress, total in slow.progress), "progress exceeds its total"


async def bad_arguments(session):
    await refuses(session, "echo", {})
    await refuses(session, "echo", {"text": 42})
    await refuses(session, "slow", {"ms": "soon"})
    await echo(session, "after errors")


class Warnings(logging.Handler):
    """What the client library logs as a warning during the run is a finding about the server."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(f"{record.name}: {record.getMessage()}")


class Checks:
    """What every client checks of `freehold serve`. `subject.connect()` brings a session."""

    server = "freehold"

    def __init__(self, subject, collected):
        self.subject = subject
        self.revision = subject.revision
        self.collected = collected
        self.main = None
        self.other = None

    def rows(self):
        sessions = self.revision < "2026-07-28"
        unicode_text = "naïve 日本語 עברית 🦀👩‍👩‍👧 \u0000\u001f\u2028 \"quoted\" \\ \n\t"
        return [
            ("connect", True, self.connect),
            ("server name", True, self.server_name),
            ("ping", sessions, self.ping),
            ("tools/list", True, lambda: lists_the_tools(self.main)),
            ("echo unicode", True, lambda: echo(self.main, unicode_text)),
            ("echo 64 KiB", True, self.echo_large),
            ("echo empty", True, lambda: echo(self.main, "")),
            ("echo overtakes slow, same session", True, lambda: echo_overtakes(self.main, self.main)),
            ("echo overtakes slow, other session", self.subject.transport == "http", self.other_session),
            ("progress", True, lambda: progress_is_ordered(self.main)),
            ("cancel, go on", True, lambda: cancel_and_go_on(self.main)),
            ("unknown tool", True, lambda: refuses(self.main, "no_such_tool", {})),
            ("bad arguments", True, lambda: bad_arguments(self.main)),
            ("transfers keep the total", True, lambda: transfers_keep_the_total(self.main)),
            ("close", True, self.close),
            ("no warning from the client", True, self.no_warning),
        ]

    async def connect(self):
        self.main = await self.subject.connect()
        assert self.main.protocol_version == self.revision, self.main.protocol_version

    async def server_name(self):
        info = self.main.server_info
        assert info is not None and info.name == "freehold", info

    async def ping(self):
        await within(self.main.ping(), "ping")

    async def echo_large(self):
        await echo(self.main, "x" * 65_536)
        await echo(self.main, "é" * 32_768)

    async def other_session(self):
        self.other = await self.subject.connect()
        await echo_overtakes(self.main, self.other)

    async def close(self):
        for session in filter(None, (self.main, self.other)):
            await session.close()

    async def no_warning(self):
        assert self.collected.lines == [], self.collected.lines


async def run(checks):
    subject = checks.subject
    tally = {
        "client": subject.client, "transport": subject.transport, "revision": subject.revision, "server": checks.server,
        "passed": 0, "total": 0, "failed": [], "without": [],
    }
    for name, applies, check in checks.rows():
        if not applies:
            tally["without"].append(name)
            print(f"  n/a   {name}", file=sys.stderr)
            continue
        tally["total"] += 1
        try:
            await check()
            tally["passed"] += 1
            print(f"  ok    {name}", file=sys.stderr)
        except Exception:
            tally["failed"].append(name)
            print(f"  FAIL  {name}: {traceback.format_exc()}", file=sys.stderr)
            if name == "connect":
                break
    return tally


def collect_warnings():
    collected = Warnings()
    logging.getLogger().addHandler(collected)
    # The libraries' own deprecation notices are about these scripts, not about the server.
    warnings.simplefilter("ignore")
    return collected


def subject_from_arguments(client, session):
    """`--server (freehold|everything) --revision R (--http URL | --stdio COMMAND...)`: the server, and the subject."""
    arguments = sys.argv[1:]
    if len(arguments) < 6 or arguments[0] != "--server" or arguments[2] != "--revision" or arguments[4] not in ("--http", "--stdio"):
        sys.exit("usage: FILE --server (freehold|everything) --revision REVISION (--http URL | --stdio COMMAND...)")
    return arguments[1], Subject(client, session, arguments[3], arguments[4].removeprefix("--"), arguments[5:])


def run_to_the_end(checks):
    tally = asyncio.run(run(checks))
    print(json.dumps(tally), flush=True)
    sys.exit(1 if tally["failed"] else 0)
