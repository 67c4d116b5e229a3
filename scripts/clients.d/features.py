"""Every feature that a Python client can drive, on `examples/everything`: the checks of features.mjs."""

import asyncio
import base64
import json
from pathlib import Path

from mcp import MCPError, types

import checks
from checks import text, within

FEATURES = json.loads((Path(__file__).parent / "features.json").read_text())
ROOT = "file:///home/everybody/project"
PAGES_MOST = 64


class Person:
    """Answers what the server asks, and remembers the questions."""

    def __init__(self):
        self.samplings = []
        self.elicitations = []
        self.roots_asked = 0
        #: What `elicit` answers to its next questions: an action and the content.
        self.answers = []

    def sample(self, params):
        self.samplings.append(params)
        content = types.TextContent(type="text", text="As the model says")
        return types.CreateMessageResult(role="assistant", model="a-person", content=content)

    def elicit(self, params):
        self.elicitations.append(params)
        action, content = self.answers.pop(0) if self.answers else ("cancel", None)
        return types.ElicitResult(action=action, content=content)

    def roots(self):
        self.roots_asked += 1
        return types.ListRootsResult(roots=[types.Root(uri=ROOT)])


class Notices:
    """What the server tells."""

    def __init__(self):
        self.messages = []
        self.methods = []
        self._news = asyncio.Event()

    async def logged(self, params):
        self.messages.append(params)

    async def told(self, message):
        if isinstance(message, Exception):
            raise message
        self.methods.append((message.method, message.params))
        self._news.set()

    async def hears(self, method):
        """The params of the first notification of this method, of those that were not forgotten."""
        while True:
            self._news.clear()
            for seen, params in self.methods:
                if seen == method:
                    return params
            await self._news.wait()


def blocks(result, kind):
    return [block for block in result.content if block.type == kind]


class FeatureChecks:
    """What every client checks of `examples/everything`. `subject.connect(person)` brings a session."""

    server = "everything"

    def __init__(self, subject, collected):
        self.subject = subject
        self.collected = collected
        self.sessions = subject.revision < "2026-07-28"
        self.has = set(FEATURES[subject.revision])
        self.person = Person()
        self.session = None

    def rows(self):
        def can(*names):
            return not set(names) & set(self.subject.session.cannot)

        listens = self.sessions or can("subscriptions")
        features = [
            ("content", "content", True, self.content),
            ("errors of tools", "errors", True, self.errors),
            ("progress", "progress", True, self.progress),
            ("logging", "logging", self.sessions or can("level of a request"), self.logging),
            ("sampling", "sampling", True, self.sampling),
            ("elicitation", "elicitation", True, self.elicitation),
            ("several questions", "several questions", not self.sessions, self.several_questions),
            ("roots", "roots", True, self.roots),
            ("list changed", "list changed", listens, self.list_changed),
            ("resources", "resources", True, self.resources),
            ("resource updates", "resource updates", can("resource updates") and listens, self.resource_updates),
            ("prompts", "prompts", True, self.prompts),
            ("a prompt that asks", "a prompt that asks", not self.sessions, self.prompt_that_asks),
            ("completion", "completion", True, self.completion),
            ("pagination", "pagination", True, self.pagination),
            # Neither Python client has tasks.
            ("tasks", "tasks", False, None),
        ]
        return [
            ("connect", True, self.connect),
            *((name, applies and feature in self.has, check) for name, feature, applies, check in features),
            ("close", True, self.close),
            ("no warning from the client", True, self.no_warning),
        ]

    async def connect(self):
        self.session = await self.subject.connect(self.person)
        assert self.session.protocol_version == self.subject.revision, self.session.protocol_version

    async def close(self):
        await self.session.close()

    async def no_warning(self):
        # The library looks for a tool on the first page of the list only, and says so of all others.
        lines = [line for line in self.collected.lines if "not listed by server, cannot validate" not in line]
        assert lines == [], lines

    async def call(self, tool, arguments=None, progress=None):
        return await within(self.session.call(tool, arguments or {}, progress), tool)

    async def content(self):
        assert text(await self.call("test_simple_text"))
        (image,) = blocks(await self.call("test_image_content"), "image")
        assert image.mime_type == "image/png" and base64.b64decode(image.data)[1:4] == b"PNG"
        (audio,) = blocks(await self.call("test_audio_content"), "audio")
        assert audio.mime_type == "audio/wav" and base64.b64decode(audio.data)[:4] == b"RIFF"
        (embedded,) = blocks(await self.call("test_embedded_resource"), "resource")
        assert embedded.resource.uri and embedded.resource.text
        mixed = await self.call("test_multiple_content_types")
        assert [block.type for block in mixed.content] == ["text", "image", "resource"], mixed

    async def errors(self):
        result = await self.call("test_error_handling")
        assert result.is_error and "intentionally returns an error" in blocks(result, "text")[0].text

    async def progress(self):
        told = []

        async def step(progress, _total, _message):
            told.append(progress)

        text(await self.call("test_tool_with_progress", progress=step))
        # The last of the three may come in one piece with the answer.
        assert len(told) >= 2 and all(later > earlier for earlier, later in zip(told, told[1:])), told

    async def logged(self, level):
        self.session.notices.messages.clear()
        if self.sessions:
            await within(self.session.set_level(level), "logging/setLevel")
        text(await self.call("test_tool_with_logging"))
        return list(self.session.notices.messages)

    async def logging(self):
        told = await self.logged("debug")
        assert told and all(message.level and message.data is not None for message in told), told
        if self.sessions:
            assert await self.logged("emergency") == [], "only emergencies were asked for"

    async def sampling(self):
        prompt = "What is the capital of France?"
        assert "As the model says" in text(await self.call("test_sampling", {"prompt": prompt}))
        (question,) = self.person.samplings
        content = question.messages[0].content
        assert (content[0] if isinstance(content, list) else content).text == prompt and question.max_tokens > 0
        self.person.samplings.clear()

    async def elicitation(self):
        accepted = {"username": "Ada", "email": "ada@example.org"}
        for action, content in [("accept", accepted), ("decline", None), ("cancel", None)]:
            self.person.answers.append((action, content))
            said = text(await self.call("test_elicitation", {"message": "Who are you?"}))
            assert action in said and (content is None or "Ada" in said), said
        assert [question.message for question in self.person.elicitations] == ["Who are you?"] * 3
        self.person.elicitations.clear()
        self.person.answers += [("accept", {}), ("decline", None)]
        text(await self.call("test_elicitation_sep1034_defaults"))
        text(await self.call("test_elicitation_sep1330_enums"))
        defaults, enums = self.person.elicitations
        assert defaults.requested_schema["properties"]["age"]["default"] == 30
        assert len(enums.requested_schema["properties"]["titledSingle"]["oneOf"]) == 3
        self.person.elicitations.clear()

    async def several_questions(self):
        person = self.person
        person.answers.append(("accept", {"name": "Ada"}))
        text(await self.call("test_input_required_result_multiple_inputs"))
        assert (len(person.samplings), len(person.elicitations)) == (1, 1)
        person.answers.append(("accept", {"ok": True}))
        assert "state-ok" in text(await self.call("test_input_required_result_request_state"))
        person.answers += [("accept", {"name": "Ada"}), ("accept", {"color": "blue"})]
        text(await self.call("test_input_required_result_multi_round"))
        assert len(person.elicitations) == 4
        person.samplings.clear()
        person.elicitations.clear()

    async def roots(self):
        before = self.person.roots_asked
        assert ROOT in text(await self.call("test_list_roots"))
        assert self.person.roots_asked == before + 1

    async def hears(self, method, tool, **wanted):
        """What the server tells when this tool is called: of the session, or of a subscription in the stateless era."""
        self.session.notices.methods.clear()
        if self.sessions:
            text(await self.call(tool))
            return await within(self.session.notices.hears(method), method)
        async with self.session.listen(**wanted) as subscription:
            text(await self.call(tool))
            return await within(anext(subscription), method)

    async def list_changed(self):
        await self.hears("notifications/tools/list_changed", "test_trigger_tool_change", tools_list_changed=True)

    async def resource_updates(self):
        uri = "test://watched-resource"
        if self.sessions:
            await within(self.session.subscribe(uri), "subscribe")
        updated = await self.hears(
            "notifications/resources/updated", "test_trigger_resource_update", resource_subscriptions=[uri]
        )
        assert str(updated.uri) == uri, updated
        if self.sessions:
            await within(self.session.unsubscribe(uri), "unsubscribe")

    async def refuses(self, awaitable, code):
        try:
            await within(awaitable, "what must be refused")
        except MCPError as error:
            assert error.code == code, error
        else:
            raise AssertionError("it was not refused")

    async def resources(self):
        uris = [str(resource.uri) for resource in await within(self.session.list_resources(), "resources/list")]
        assert {"test://static-text", "test://static-binary"} <= set(uris), uris

        async def read(uri):
            (contents,) = await within(self.session.read_resource(uri), "resources/read")
            return contents

        plain = await read("test://static-text")
        assert str(plain.uri) == "test://static-text" and plain.text
        assert base64.b64decode((await read("test://static-binary")).blob)[1:4] == b"PNG"
        templates = await within(self.session.list_templates(), "resources/templates/list")
        assert "test://template/{id}/data" in [template.uri_template for template in templates]
        assert "123" in (await read("test://template/123/data")).text
        await self.refuses(self.session.read_resource("test://nobody"), -32002 if self.sessions else -32602)

    async def prompts(self):
        async def get(name, arguments=None):
            return await within(self.session.get_prompt(name, arguments), name)

        def only(messages, kind):
            return next(message.content for message in messages if message.content.type == kind)

        names = {prompt.name for prompt in await within(self.session.list_prompts(), "prompts/list")}
        wanted = {"simple_prompt", "prompt_with_arguments", "prompt_with_embedded_resource", "prompt_with_image"}
        assert {f"test_{name}" for name in wanted} <= names, names
        assert only(await get("test_simple_prompt"), "text").text
        filled = only(await get("test_prompt_with_arguments", {"arg1": "hello", "arg2": "world"}), "text").text
        assert "hello" in filled and "world" in filled, filled
        embedded = await get("test_prompt_with_embedded_resource", {"resourceUri": "test://example-resource"})
        assert str(only(embedded, "resource").resource.uri) == "test://example-resource"
        assert only(await get("test_prompt_with_image"), "image").mime_type == "image/png"
        await self.refuses(self.session.get_prompt("no_such_prompt"), -32602)

    async def prompt_that_asks(self):
        self.person.answers.append(("accept", {"context": "a rainy day"}))
        messages = await within(self.session.get_prompt("test_input_required_result_prompt"), "prompt")
        assert any("a rainy day" in getattr(message.content, "text", "") for message in messages), messages
        self.person.elicitations.clear()

    async def completion(self):
        async def values(value):
            completion = await within(self.session.complete("test_prompt_with_arguments", "arg1", value), "completion/complete")
            return completion.values

        all_values = await values("")
        assert 0 < len(all_values) <= 100
        start = all_values[0][:1]
        some = await values(start)
        assert some and all(value.startswith(start) for value in some), some

    async def pagination(self):
        names, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None and pages < PAGES_MOST:
            page = await within(self.session.page(cursor), "a page")
            names += [tool.name for tool in page.tools]
            cursor, pages = page.next_cursor, pages + 1
        assert pages > 1 and cursor is None, (pages, cursor)
        assert len(set(names)) == len(names), "a tool stands twice"
        await self.refuses(self.session.page("no cursor of yours"), -32602)


def main(client, session):
    """Runs the checks of the server that the command line names."""
    server, subject = checks.subject_from_arguments(client, session)
    suite = checks.Checks if server == "freehold" else FeatureChecks
    checks.run_to_the_end(suite(subject, checks.collect_warnings()))
