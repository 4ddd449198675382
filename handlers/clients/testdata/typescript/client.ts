// Says what became of the same calls in each language, in JSON.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

type Schemas = components["schemas"];

async function main(base: string, token: string): Promise<void> {
  const c = createClient<paths>({ baseUrl: base, headers: { Authorization: `Bearer ${token}` } });
  const out: Record<string, unknown> = {};
  const hourAgo = new Date(Date.now() - 3600_000).toISOString();

  const command: Schemas["MessageInput"] = { integration: "push", type: "order.placed", key: "k", payload: { order: 1 }, idempotency_key: "command", headers: { "X-Shop": "17" } };
  const first = await c.POST("/api/v1/messages", { body: command });
  const again = await c.POST("/api/v1/messages", { body: command });
  out.command = [first.response.status, first.data!.duplicate, first.data!.deliveries[0].state, again.response.status, again.data!.duplicate];
  const message = (await c.GET("/api/v1/messages/{id}", { params: { path: { id: first.data!.id } } })).data!;
  out.message = [message.type, message.key, message.headers, message.payload];
  out.event = (await c.POST("/api/v1/messages", { body: { type: "order.placed", payload_base64: "AP8=" } })).response.status;
  const event: Schemas["CloudEvent"] = { specversion: "1.0", id: "1", source: "/shop", type: "order.placed", data: [1], redriveintegration: "push", tenant: "north", number: 7, truth: true };
  out.structured = (await c.POST("/api/v1/messages", { body: event, headers: { "Content-Type": "application/cloudevents+json" } })).response.status;
  out.binary = (await c.POST("/api/v1/messages", {
    params: { header: { "ce-specversion": "1.0", "ce-id": "2", "ce-source": "/shop", "ce-type": "order.placed", "ce-redriveintegration": "push" } },
    body: "\u0000\u0001", bodySerializer: (b) => new Blob([b as string]), headers: { "Content-Type": "application/octet-stream" },
  })).response.status;
  const wrong = (await c.POST("/api/v1/messages", { body: { integration: "nobody", type: "t", payload: 1 } })).error!;
  out.unknown = [wrong.code, wrong.field];

  const page = async (after?: string) => (await c.GET("/api/v1/failures", { params: { query: {
    state: ["dead", "pending"], integration: ["push"], error_class: ["http_4xx"], q: "404", from: hourAgo, sort: "oldest", limit: 2, after } } })).data!;
  const found = await page();
  const rest = await page(found.next!);
  const one = found.items[0];
  const path = { id: one.id };
  out.failures = [found.items.length, rest.items.length, rest.next === null, one.state, one.error_class, one.error, one.settlement === null];
  const detail = (await c.GET("/api/v1/deliveries/{id}", { params: { path } })).data!;
  out.detail = [detail.version === one.version, detail.attempts[0].http_status, detail.attempts[0].outcome, detail.history.length];
  const retried = await c.POST("/api/v1/failures/{id}/retry", { params: { path }, body: { version: one.version, reason: "mended" } });
  out.retry = [retried.response.status, retried.data!.state, retried.data!.version - one.version];
  const stale = (await c.POST("/api/v1/failures/{id}/retry", { params: { path }, body: { version: one.version } })).error!;
  out.conflict = [stale.code, stale.actor, stale.action, stale.state, stale.version === retried.data!.version, typeof stale.at === "string"];
  out.reason = (await c.POST("/api/v1/failures/{id}/ignore", { params: { path }, body: {} })).error!.code;

  const dry = await c.POST("/api/v1/operations", { body: { action: "resolve", dry_run: true, filter: { integration: ["push"], state: ["dead"] } } });
  const run = dry.data as Schemas["DryRun"];
  out.dry = [dry.response.status, run.eligible, run.integrations];
  const left = (await c.GET("/api/v1/failures")).data!.items;
  const ids = left.map((d, n) => (n === 0 ? d.id : { id: d.id, version: d.version }));
  const started = await c.POST("/api/v1/operations", { body: { action: "acknowledge", ids, reason: "seen" } });
  const shown = (await c.GET("/api/v1/operations/{id}", { params: { path: { id: (started.data as Schemas["Operation"]).id } } })).data!;
  out.operation = [started.response.status, shown.selected, shown.action, shown.filter === null];

  const groups = (await c.GET("/api/v1/groups", { params: { query: { integration: ["push"] } } })).data!.items;
  out.groups = [groups.length, groups[0].count, groups[0].error_class];
  out.integrations = (await c.GET("/api/v1/integrations")).data!.items.map((i) => `${i.name} ${i.method}`);
  const entry = (await c.GET("/api/v1/audit", { params: { query: { action: "delivery.retry", from: hourAgo } } })).data!.items[0];
  out.audit = [entry.actor, entry.reason];
  out.stranger = (await c.GET("/api/v1/audit/head", { headers: { Authorization: "Bearer nobody" } })).error!.code;
  out.nothing = (await c.GET("/api/v1/deliveries/{id}", { params: { path: { id: "00000000-0000-0000-0000-000000000000" } } })).error!.code;
  console.log(JSON.stringify(out));
}

void main(process.argv[2], process.argv[3]);
