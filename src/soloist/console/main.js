// The page: signs in, asks the API every two seconds while it is looked at, and carries clicks to it.

import { api, token } from "./api.js";
import { $, el, fill, show } from "./dom.js";
import { Publisher } from "./publish.js";
import { eventRow, jobRow, roomRow, urlOf } from "./rows.js";

const POLL_MS = 2000;
const PAGE = 20;
const LIMIT_MAX = 100;

const state = { app: "", running: [], limit: PAGE, timer: 0, round: 0 };

function say(error) {
  show($("message"), Boolean(error), error ? error.message : "");
  if (error?.status === 401) signOut();
}

/** Run what a click asks for; what goes wrong is said, what goes right is seen at once. */
const doing = (action) => async (...given) => {
  try {
    await action(...given);
    say(null);
  } catch (error) {
    say(error);
  }
  refresh();
};

// ---- who asks ----

async function signIn() {
  const { apps } = await api.apps();
  $("app").replaceChildren(...apps.map((app) => el("option", { value: app.app_id }, app.app_name)));
  if (!apps.length) throw new Error("This project has no app; make one with POST /v2/apps.");
  show($("gate"), false);
  show($("board"), true);
  show($("account"), true);
  await chooseApp();
}

function signOut() {
  token.forget();
  publisher.leave();
  clearTimeout(state.timer);
  state.app = "";
  show($("board"), false);
  show($("account"), false);
  show($("gate"), true);
  $("token").focus();
}

async function chooseApp() {
  Object.assign(state, { app: $("app").value, limit: PAGE });
  await refresh();
}

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  token.set($("token").value.trim());
  try {
    await signIn();
    say(null);
  } catch (error) {
    say(error);
    signOut();
  }
});
$("sign-out").addEventListener("click", () => { say(null); signOut(); });
$("app").addEventListener("change", doing(chooseApp));

// ---- what there is ----

async function refresh() {
  clearTimeout(state.timer);
  const round = ++state.round;
  if (!state.app || document.hidden) return;
  try {
    const app = state.app;
    const [jobs, running, rooms, events] = await Promise.all([
      api.jobs(app, $("state").value, state.limit), api.jobs(app, "RUNNING", LIMIT_MAX), api.rooms(app), api.events(app),
    ]);
    if (round !== state.round) return; // A later question has been asked meanwhile.
    showJobs(jobs);
    state.running = running.jobs; // Whatever page of jobs is shown, rooms tell who is recorded.
    showRooms(rooms);
    showEvents(events);
    showHealth(true);
  } catch (error) {
    if (error.status === 401) return say(error);
    showHealth(false, error.message);
  }
  if (round === state.round) state.timer = setTimeout(refresh, POLL_MS);
}

function showJobs({ jobs, has_more: hasMore }) {
  // Addresses are made anew for each answer; a row changes only with what they lead to.
  const signature = (job) => JSON.stringify(job, (name, value) => (name === "download_url" ? Boolean(value) : value));
  fill($("jobs"), jobs, (job) => job.job_id, signature, (job) => jobRow(job, { stop, control, play }));
  show($("jobs-empty"), !jobs.length);
  show($("more"), hasMore && state.limit < LIMIT_MAX);
}

function showRooms({ rooms, complete }) {
  const signature = (room) => JSON.stringify(room.streams.map((one) => [one.user_id, one.stream, one.kinds, isRecorded(room, one)]));
  fill($("rooms"), rooms, (room) => room.room_id, signature, (room) => roomRow(room, { record, isRecorded }));
  show($("rooms-empty"), !rooms.length && complete);
  show($("rooms-partial"), !complete);
  if (complete) publisher.compare(rooms);
}

function showEvents({ events }) {
  fill($("events"), events, (one) => one.event_id, JSON.stringify, (one) => eventRow(one, { replay }));
  show($("events-empty"), !events.length);
}

function showHealth(isWell, text = "Connected") {
  show($("health"), true, text);
  $("health").className = `chip ${isWell ? "good" : "bad"}`;
}

const videoType = (stream) => ({ camera: stream.kinds.includes("video") ? "CAMERASTREAM" : "", screen: "SCREENSTREAM" })[stream.stream];

const isRecorded = (room, stream) => state.running.some((job) =>
  job.room_id === room.room_id && job.user_id === stream.user_id && job.video_type === videoType(stream));

$("state").addEventListener("change", refresh);
$("more").addEventListener("click", () => { state.limit = Math.min(LIMIT_MAX, state.limit + PAGE); refresh(); });
document.addEventListener("visibilitychange", refresh);

// ---- jobs ----

const stop = doing((job) => api.stop(job));
const control = doing((job, action) => api.control(job, action));
const replay = doing((event) => api.replay(event));
const record = (room, stream) => openStart(room.room_id, stream.user_id, videoType(stream), stream.kinds.includes("audio"));

const openStart = doing(async (room, user, video = "CAMERASTREAM", audio = true) => {
  const { rules } = await api.rules(state.app);
  const options = rules.map((rule) =>
    el("option", { value: rule.rule_id }, `${rule.rule_id} (${rule.record_formats.join(" + ")} to ${rule.obs_addr.bucket})`));
  $("job-rule").replaceChildren(...options, el("option", { value: "" }, "none: forward only"));
  Object.assign($("job-room"), { value: room });
  Object.assign($("job-user"), { value: user });
  $("job-video").value = video;
  $("job-audio").checked = audio;
  $("job-forward").value = "";
  show($("start-error"), !rules.length, rules.length ? "" : "This app has no record rule: forward only, or make one with POST /v2/apps/{app_id}/record-rules.");
  $("start").showModal();
  (user ? $("start-submit") : $("job-room")).focus();
});

$("new-job").addEventListener("click", () => openStart($("room").value, ""));
$("start-cancel").addEventListener("click", () => $("start").close());
$("start-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const targets = $("job-forward").value.split(/\s+/).filter(Boolean);
  try {
    await api.start(state.app, {
      room_id: $("job-room").value,
      user_id: $("job-user").value,
      video_type: $("job-video").value,
      select_stream_type: $("job-level").value,
      max_idle_time: Number($("job-idle").value),
      is_record_audio: $("job-audio").checked,
      record_param: $("job-rule").value ? { record_rule_id: $("job-rule").value } : null,
      publish_param: targets.length ? { rtmp_urls: targets } : null,
    });
    $("start").close();
  } catch (error) {
    show($("start-error"), true, error.message);
  }
  refresh();
});

// ---- playing ----

function play(file, title) {
  const video = $("playback");
  const url = urlOf(file);
  const isPlayable = file.record_format !== "HLS" || Boolean(video.canPlayType("application/vnd.apple.mpegurl"));
  show($("player"), true);
  show($("player-title"), true, title);
  show(video, isPlayable);
  show($("player-note"), !isPlayable);
  $("player-note").replaceChildren("This browser plays no HLS by itself; give this address to a player that does: ",
    el("a", { href: url, rel: "noopener" }, "playlist"));
  state.isGrowing = file.state !== "COMPLETED";
  load(isPlayable ? url : "");
  $("player").scrollIntoView({ block: "nearest" });
}

function load(url) {
  const video = $("playback");
  if (!url) video.removeAttribute("src");
  else video.src = url;
  video.load();
  if (url) video.play().catch(() => {}); // Where playing must wait for a click, the controls are there.
}

$("playback").addEventListener("error", () => {
  const url = $("playback").getAttribute("src");
  if (!url) return;
  if (!state.isGrowing) return say(new Error("The recording cannot be played here; download it instead."));
  // A playlist of one segment is too short for some players: RFC 8216 §6.3.3 has them begin three before its end.
  setTimeout(() => $("playback").getAttribute("src") === url && load(url), POLL_MS);
});
$("player-close").addEventListener("click", () => {
  show($("player"), false);
  load("");
});

// ---- publishing ----

const publisher = new Publisher(showPublisher, (reason) => say(new Error(reason)));

function showPublisher() {
  const { sessions, isLive } = publisher;
  show($("join"), !isLive);
  show($("leave"), isLive);
  for (const id of ["room", "user", "camera", "microphone", "screen", "height", "app"]) $(id).disabled = isLive;
  const isConnected = isLive && sessions.every((session) => session.peer.connectionState === "connected");
  show($("publish-state"), isLive, isConnected ? "On air" : "Connecting");
  $("publish-state").className = `chip ${isConnected ? "live" : "wait"}`;
  const seen = sessions.filter((session) => session.stream.getVideoTracks().length);
  fill($("previews"), seen, (session) => session.stream.id, () => "", (session) =>
    el("video", { muted: true, autoplay: true, playsInline: true, srcObject: session.stream, label: `Your ${session.name}` }));
}

$("publish").addEventListener("submit", (event) => {
  event.preventDefault();
  doing(() => publisher.join({
    app: state.app, room: $("room").value, user: $("user").value, height: Number($("height").value),
    camera: $("camera").checked, microphone: $("microphone").checked, screen: $("screen").checked,
  }))();
});
$("leave").addEventListener("click", doing(() => publisher.leave()));

// ---- begin ----

showPublisher();
const health = await api.health().catch(() => null);
showHealth(health?.status === "ok", health ? `${health.status === "ok" ? "Connected" : "Failing"}` : "The server does not answer.");
if (health) $("health").title = `Soloist ${health.version}`;
if (health?.dev) {
  show($("dev-hint"), true);
  $("token").value = "devtoken";
}
if (token.get()) await signIn().catch((error) => { say(error); signOut(); });
else show($("gate"), true);
