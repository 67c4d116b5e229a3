"""The client of FastMCP 4.x, in the stateless era (what `auto` picks) and in the session one."""

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from mcp.types import PromptReference

import checks
import features


class Session(checks.LivingSession):
    # Neither subscriptions of the stateless era nor those of resources are in its interface.
    cannot = ("resource updates", "subscriptions", "level of a request")

    def __init__(self, subject, person):
        where = subject.where
        target = where[0] if subject.transport == "http" else StdioTransport(where[0], where[1:])
        self.notices = features.Notices()
        super().__init__(Client(target, mode=subject.mode, **self._handlers(person)))

    def _handlers(self, person):
        if person is None:
            return {}

        async def sample(_messages, params, _context):
            return person.sample(params)

        async def elicit(_message, _response_type, params, _context):
            return person.elicit(params)

        async def roots(_context):
            return [str(root.uri) for root in person.roots().roots]

        return {
            "sampling_handler": sample,
            "elicitation_handler": elicit,
            "roots": roots,
            "log_handler": self.notices.logged,
            "message_handler": self.notices.told,
        }

    protocol_version = property(lambda self: self.client.protocol_version)
    server_info = property(lambda self: self.client.server_info)
    capabilities = property(lambda self: self.client.server_capabilities)

    async def call(self, tool, arguments, progress=None):
        return await self.client.call_tool_mcp(tool, arguments, progress_handler=progress)

    async def list_tools(self):
        return await self.client.list_tools()

    async def ping(self):
        assert await self.client.ping()

    async def set_level(self, level):
        await self.client.set_logging_level(level)

    async def page(self, cursor):
        return await self.client.list_tools_mcp(cursor=cursor, cache_mode="refresh")

    async def list_resources(self):
        return await self.client.list_resources()

    async def list_templates(self):
        return await self.client.list_resource_templates()

    async def read_resource(self, uri):
        return await self.client.read_resource(uri)

    async def list_prompts(self):
        return await self.client.list_prompts()

    async def get_prompt(self, name, arguments=None):
        return (await self.client.get_prompt(name, arguments)).messages

    async def complete(self, prompt, argument, value):
        return await self.client.complete(PromptReference(type="ref/prompt", name=prompt), {"name": argument, "value": value})


features.main("fastmcp 4", Session)
