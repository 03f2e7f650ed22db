// Rooms, jobs and events as rows. Each takes what the API answered and what a click does; none keeps state.

import { bytes, clock, el, moment, serverNow, ticking } from "./dom.js";

const STATES = { INIT: ["Starting", "wait"], RUNNING: ["Recording", "live"], STOPPED: ["Stopped", ""] };
const TOLD = { WAITING: "wait", DELIVERED: "good", DEAD: "bad" };
const FORWARDING = { connecting: "wait", live: "live", stalled: "bad", failed: "bad", ended: "" };
const SOURCES = { CAMERASTREAM: "camera", SCREENSTREAM: "screen", "": "sound only" };

const button = (action, text, label, onclick, className = "") =>
  el("button", { type: "button", data: { action }, label, onclick, className }, text);

export function roomRow(room, { record, isRecorded }) {
  const streams = room.streams.map((stream) => {
    const codecs = stream.kinds.map((kind) => stream.codecs.find((codec) => (codec === "opus") === (kind === "audio")));
    const what = [stream.kinds.includes("video") ? stream.stream : "microphone", ...codecs.filter(Boolean)];
    return el("li", { className: "row" },
      el("div", { className: "grow" },
        el("strong", {}, stream.user_id),
        el("span", { className: "faint" }, what.join(" · "))),
      ticking(serverNow() - stream.age_seconds * 1000),
      isRecorded(room, stream)
        ? el("span", { className: "chip live" }, "Recording")
        : button("record", "Record", `Record ${stream.user_id}'s ${stream.stream} in ${room.room_id}`, () => record(room, stream)));
  });
  return el("li", {}, el("h3", {}, room.room_id), el("ul", {}, ...streams));
}

export function jobRow(job, { stop, control, play }) {
  const [state, tone] = job.suspended && job.state === "RUNNING" ? ["Suspended", "wait"] : STATES[job.state];
  const isLive = job.state !== "STOPPED";
  const began = Date.parse(job.start_time);
  const facts = [
    job.automatic && "automatic",
    SOURCES[job.video_type] + (job.video_type && job.is_record_audio ? " + sound" : ""),
    job.video_type && `up to ${job.select_stream_type}`,
    job.record_param ? `rule ${job.record_param.record_rule_id}` : "kept nowhere",
    moment(job.start_time),
    !isLive && job.stop_reason !== "TENANT_STOP" && job.stop_reason.toLowerCase().replaceAll("_", " "),
  ];
  const note = (job.description ?? "").replace(/^suspended(; )?/, ""); // Said by the state already.
  const whose = `of ${job.user_id} in ${job.room_id}`;
  return el("li", { className: "job" },
    el("div", { className: "row" },
      el("span", { className: `chip ${tone}` }, state),
      el("div", { className: "grow" }, el("strong", {}, job.user_id), el("span", { className: "faint" }, `in ${job.room_id}`)),
      isLive ? ticking(began) : el("time", { className: "clock" }, clock(Date.parse(job.stop_time) - began)),
      isLive && job.state === "RUNNING" && (job.suspended
        ? button("control", "Resume", `Resume the job ${whose}`, () => control(job, "RESTART"))
        : button("control", "Pause", `Pause the job ${whose}`, () => control(job, "SUSPEND"))),
      isLive && button("stop", "Stop", `Stop the job ${whose}`, () => stop(job), "danger")),
    el("p", { className: "faint" }, facts.filter(Boolean).join(" · ")),
    note && el("p", { className: "note" }, note),
    job.ext?.forward && el("ul", { className: "files targets" }, ...job.ext.forward.map(targetRow)),
    job.files.length > 0 && el("ul", { className: "files" }, ...job.files.map((file) => fileRow(file, job, play))));
}

/** Objects that the API itself serves are read where this page came from, whatever name it gives itself. */
export function urlOf(file) {
  const { pathname } = new URL(file.download_url, location.href);
  return pathname.startsWith("/soloist/v1/objects/") ? pathname : file.download_url;
}

function targetRow(target) {
  const facts = [
    target.pictures_sent > 0 && `${target.pictures_sent} pictures`,
    bytes(target.bytes_sent),
    target.frames_dropped > 0 && `${target.frames_dropped} dropped`,
    target.retries > 0 && `${target.retries} ${target.retries === 1 ? "retry" : "retries"}`,
  ];
  return el("li", { className: "row" },
    el("span", { className: `chip ${FORWARDING[target.state]}` }, target.state),
    el("div", { className: "grow" },
      el("span", {}, ["RTMP", ...facts.filter(Boolean)].join(" · ")),
      el("span", { className: "name", title: target.url }, target.url),
      target.last_error && target.state !== "live" && el("span", { className: "faint" }, target.last_error)));
}

function fileRow(file, job, play) {
  const name = file.key.split("/").at(-1);
  const isDone = file.state === "COMPLETED";
  const facts = isDone
    ? [clock(file.duration_ms ?? 0), file.width && `${file.width} × ${file.height}`, bytes(file.size_bytes ?? 0)]
    : ["being written"];
  const title = `${job.user_id} in ${job.room_id}, ${moment(file.start_time)}`;
  return el("li", { className: "row" },
    el("div", { className: "grow" },
      el("span", {}, [file.record_format, ...facts.filter(Boolean)].join(" · ")),
      el("span", { className: "name", title: file.key }, name)),
    file.download_url && button("play", isDone ? "Play" : "Watch", `${isDone ? "Play" : "Watch"} ${name}`, () => play(file, title)),
    isDone && file.download_url && file.record_format !== "HLS" &&
      el("a", { className: "button", href: urlOf(file), download: name, rel: "noopener", label: `Download ${name}` }, "Download"));
}

export function eventRow(event, { replay }) {
  const details = [
    event.body.room_id,
    `job ${event.job_id.slice(0, 8)}`,
    moment(event.happen_time),
    event.attempts > 0 && `${event.attempts} ${event.attempts === 1 ? "attempt" : "attempts"}`,
    event.state === "WAITING" && event.attempts > 0 && event.next_time && `next ${moment(event.next_time)}`,
    event.last_error,
  ];
  return el("li", { className: "row" },
    el("span", { className: `chip ${TOLD[event.state] ?? ""}` }, event.state.toLowerCase()),
    el("div", { className: "grow" },
      el("span", { className: "event" }, event.event_type.toLowerCase().replaceAll("_", " ")),
      el("span", { className: "faint" }, details.filter(Boolean).join(" · "))),
    event.state === "DEAD" && button("replay", "Replay", `Replay ${event.event_type} of ${event.job_id}`, () => replay(event)));
}
