// The official TypeScript SDK as a client: prints one JSON object of what it saw.
//   node client.mjs stdio PROGRAM ARGS... | http URL KEY
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const [kind, where, ...rest] = process.argv.slice(2);
const transport =
  kind === "stdio"
    ? new StdioClientTransport({ command: where, args: rest, env: process.env })
    : new StreamableHTTPClientTransport(new URL(where), {
        requestInit: { headers: { Authorization: `Bearer ${rest[0]}` } },
      });
const client = new Client({ name: "test", version: "1" }, { capabilities: { elicitation: {} } });
const seen = { questions: [], progress: [] };
client.setRequestHandler(ElicitRequestSchema, async (request) => {
  seen.questions.push(request.params.message);
  return { action: "accept", content: { decision: "once" } };
});
const patience = {
  timeout: 300000,
  onprogress: (p) => seen.progress.push(p.message),
};
const call = (name, args) => client.callTool({ name, arguments: args }, undefined, patience);

await client.connect(transport);
seen.server = client.getServerVersion();
seen.tools = (await client.listTools()).tools.map((t) => t.name).sort();
seen.run = await call("run_python", { code: "print(6 * 7)", wait_s: 250 });
seen.fails = await call("run_python", { code: "1 / 0", wait_s: 250 });
seen.wrong = await call("run_python", {});
seen.asked = await call("run_wasm", { module_base64: process.env.GUEST, wait_s: 250 });
seen.status = await call("task_status", { task_id: seen.run.structuredContent.task_id });
seen.pending = await call("pending_approvals", {});
const stop = new AbortController();
const slow = client
  .callTool({ name: "run_python", arguments: { code: "while True: pass", wait_s: 250 } }, undefined, {
    ...patience,
    signal: stop.signal,
    onprogress: (p) => {
      if (p.message.startsWith("started as ")) {
        seen.slow = p.message.slice("started as ".length);
        stop.abort();
      }
    },
  })
  .then(() => "answered", () => "aborted");
seen.aborted = await slow;
seen.canceled = await call("task_status", { task_id: seen.slow, wait_s: 120 });
await client.close();
console.log(JSON.stringify(seen));
