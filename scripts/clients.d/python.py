"""Python mcp 2.x, in the stateless era (what `auto` picks) and in the session one."""

from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.types import PromptReference

import checks
import features


class Session(checks.LivingSession):
    def __init__(self, subject, person):
        where = subject.where
        target = where[0] if subject.transport == "http" else StdioServerParameters(command=where[0], args=where[1:])
        self.notices = features.Notices()
        super().__init__(Client(target, mode=subject.mode, **self._handlers(subject, person)))

    def _handlers(self, subject, person):
        if person is None:
            return {}

        async def sample(_context, params):
            return person.sample(params)

        async def elicit(_context, params):
            return person.elicit(params)

        async def roots(_context):
            return person.roots()

        return {
            "sampling_callback": sample,
            "elicitation_callback": elicit,
            "list_roots_callback": roots,
            "logging_callback": self.notices.logged,
            "message_handler": self.notices.told,
            # In the stateless era each request says which messages it wants, and this client says the same for all.
            "log_level": "debug" if subject.mode == "auto" else None,
        }

    protocol_version = property(lambda self: self.client.protocol_version)
    server_info = property(lambda self: self.client.server_info)
    capabilities = property(lambda self: self.client.server_capabilities)

    async def call(self, tool, arguments, progress=None):
        return await self.client.call_tool(tool, arguments, progress_callback=progress)

    async def list_tools(self):
        return (await self.client.list_tools(cache_mode="refresh")).tools

    async def ping(self):
        await self.client.session.send_ping()

    async def set_level(self, level):
        await self.client.set_logging_level(level)

    async def page(self, cursor):
        return await self.client.list_tools(cursor=cursor, cache_mode="refresh")

    async def list_resources(self):
        return (await self.client.list_resources()).resources

    async def list_templates(self):
        return (await self.client.list_resource_templates()).resource_templates

    async def read_resource(self, uri):
        return (await self.client.read_resource(uri)).contents

    async def subscribe(self, uri):
        await self.client.subscribe_resource(uri)

    async def unsubscribe(self, uri):
        await self.client.unsubscribe_resource(uri)

    def listen(self, **wanted):
        return self.client.listen(**wanted)

    async def list_prompts(self):
        return (await self.client.list_prompts()).prompts

    async def get_prompt(self, name, arguments=None):
        return (await self.client.get_prompt(name, arguments)).messages

    async def complete(self, prompt, argument, value):
        reference = PromptReference(type="ref/prompt", name=prompt)
        return (await self.client.complete(reference, {"name": argument, "value": value})).completion


features.main("python mcp 2", Session)
