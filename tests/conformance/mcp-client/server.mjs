// A server made with the official TypeScript SDK: over standard input and output, or with `http` over
// HTTP, where it prints its port. With `resume` as well it closes a call's stream before the answer and
// has the client fetch the rest, as servers do that many clients wait for.
import { createServer } from "node:http";
import { randomUUID } from "node:crypto";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { InMemoryEventStore } from "@modelcontextprotocol/sdk/examples/shared/inMemoryEventStore.js";
import { z } from "zod";

const text = (value) => ({ content: [{ type: "text", text: value }] });

function make() {
  const server = new McpServer({ name: "official", version: "1" }, { capabilities: { logging: {} } });
  server.registerTool(
    "add",
    {
      description: "Add two numbers.",
      inputSchema: { a: z.number().int(), b: z.number().int() },
      outputSchema: { result: z.number() },
      annotations: { readOnlyHint: true },
    },
    async ({ a, b }) => ({ ...text(String(a + b)), structuredContent: { result: a + b } }),
  );
  server.registerTool("explode", { description: "Fail.", inputSchema: { why: z.string() } }, async ({ why }) => {
    throw new Error(why);
  });
  server.registerTool("talk", { description: "Tell, then answer.", inputSchema: {} }, async (_args, extra) => {
    for (const data of ["one", "two"]) {
      await extra.sendNotification({ method: "notifications/message", params: { level: "info", data } });
    }
    if (process.argv.includes("resume")) {
      extra.closeSSEStream(); // which there is only where the client can take it up again
      await new Promise((done) => setTimeout(done, 300));
    }
    return text("told");
  });
  return server;
}

if (process.argv.includes("http")) {
  const transports = new Map();
  const listener = createServer(async (request, response) => {
    let transport = transports.get(request.headers["mcp-session-id"]);
    if (!transport) {
      transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        onsessioninitialized: (id) => transports.set(id, transport),
        ...(process.argv.includes("resume") && { eventStore: new InMemoryEventStore(), retryInterval: 100 }),
      });
      await make().connect(transport);
    }
    await transport.handleRequest(request, response);
  });
  listener.listen(0, "127.0.0.1", () => console.log(listener.address().port));
} else {
  await make().connect(new StdioServerTransport());
}
