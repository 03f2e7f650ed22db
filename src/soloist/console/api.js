// The public API as this page uses it, and nothing else of the server. Faults carry what the API says of them.

import { setServerTime } from "./dom.js";

const TOKEN = "soloist-token";

export class ApiError extends Error {
  constructor(status, code, text) {
    super(code ? `${text} (${code})` : text);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (text) => sessionStorage.setItem(TOKEN, text),
  forget: () => sessionStorage.removeItem(TOKEN),
};

async function ask(method, path, body) {
  const headers = { "X-Auth-Token": token.get() };
  if (body) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new ApiError(0, "", "The server does not answer.");
  }
  setServerTime(answer.headers.get("Date"));
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  throw await errorOf(answer);
}

/** What an answer that is none says: the API's own words, problem details of WHIP, or only the status. */
export async function errorOf(answer) {
  const fault = await answer.json().catch(() => ({}));
  return new ApiError(answer.status, fault.error_code, fault.error_msg ?? fault.detail ?? `The server answered ${answer.status}.`);
}

const query = (values) => new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "")).toString();
const job = (one) => `/v2/apps/${one.app_id}/individual-stream-jobs/${one.job_id}`;

export const api = {
  health: async () => (await fetch("/soloist/v1/health")).json(),
  apps: () => ask("GET", "/v2/apps?limit=100"),
  rules: (app) => ask("GET", `/v2/apps/${app}/record-rules?limit=100`),
  rooms: (app) => ask("GET", `/soloist/v1/rooms?${query({ app_id: app })}`),
  jobs: (app, state, limit) => ask("GET", `/soloist/v1/jobs?${query({ app_id: app, state, limit })}`),
  events: (app) => ask("GET", `/soloist/v1/events?${query({ app_id: app, limit: 20 })}`),
  replay: (event) => ask("POST", "/soloist/v1/events/replay", { event_id: event.event_id }),
  start: (app, body) => ask("POST", `/v2/apps/${app}/individual-stream-jobs`, body),
  stop: (one) => ask("DELETE", job(one)),
  control: (one, action) => ask("PUT", `${job(one)}/control?action=${action}`),
  joinToken: (app, room, user) =>
    ask("POST", "/soloist/v1/join-tokens", { app_id: app, room_id: room, user_id: user, lifetime_seconds: 86400 }),
};
