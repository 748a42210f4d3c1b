// A short day of a program that calls us, in TypeScript: it has to compile, with nothing unknown.
// test_typescript_client.py generates ./schema from the contract, and compiles both.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

type Client = components["schemas"]["Client"];
type Mailing = components["schemas"]["Mailing"];
type Message = components["schemas"]["Message"];

const api = createClient<paths>({
  baseUrl: "https://mailing.example.com",
  headers: { Authorization: "Token 0123abcd" },
});

export async function addClient(phoneNumber: string): Promise<Client> {
  const { data, error, response } = await api.POST("/api/v1/clients/", {
    params: { header: { "Idempotency-Key": crypto.randomUUID() } },
    // Whatever has a default may be left out.
    body: { phone_number: phoneNumber },
  });
  if (data) {
    const tag: string = data.tag; // What always comes is never undefined.
    console.log(data.id, tag, response.headers.get("ETag"));
    return data;
  }
  throw new Error(error.errors.map((reason) => `${reason.code}: ${reason.detail}`).join("\n"));
}

export async function startMailing(text: string): Promise<Mailing | undefined> {
  const start = Date.now();
  const { data } = await api.POST("/api/v1/mailings/", {
    body: {
      start_time: new Date(start).toISOString(),
      stop_time: new Date(start + 3_600_000).toISOString(),
      text,
      filters: { tag: ["vip"] },
    },
  });
  return data;
}

export async function forgetTheFilters(): Promise<void> {
  await api.POST("/api/v1/mailings/", {
    // @ts-expect-error Who a mailing goes to has to be said.
    body: { start_time: "", stop_time: "", text: "To everyone?" },
  });
}

export async function editUnlessChanged(mailing: Mailing, etag: string): Promise<Mailing> {
  const { data, error, response } = await api.PATCH("/api/v1/mailings/{id}/", {
    params: { path: { id: mailing.id }, header: { "If-Match": etag } },
    body: { text: "Another text" },
  });
  if (data) return data;
  throw new Error(`${response.status}: ${error.errors[0]?.code}`);
}

export async function progress(mailing: Mailing): Promise<number> {
  const { data } = await api.GET("/api/v1/mailings/{id}/stats/", {
    params: { path: { id: mailing.id } },
  });
  return data ? data.stats.success / data.stats.total : 0;
}

export async function failures(mailing: Mailing): Promise<Message[]> {
  const { data } = await api.GET("/api/v1/messages/", {
    params: { query: { mailing: [mailing.id], status: ["fail"] } },
  });
  return data?.results ?? [];
}

export async function follow(onChange: (message: number, status: string | null) => void) {
  let after: string | undefined;
  for (;;) {
    const query = after === undefined ? {} : { after };
    const { data } = await api.GET("/api/v1/messages/changes/", { params: { query } });
    if (!data) return;
    data.results.forEach((change) => onChange(change.message, change.status));
    if (!data.has_more) return;
    after = data.next;
  }
}

export async function misspell(): Promise<void> {
  // @ts-expect-error There is no such address.
  await api.GET("/api/v1/mailing/");
}
