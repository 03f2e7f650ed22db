// Plays HLS by hls.js or Shaka Player from its start to its end and counts what a viewer would notice.

const AHEAD_SECONDS = 0.5;
const END_SECONDS = 0.25;
const STOCK_PATIENCE_MS = 60_000;
const SOUGHT_SECONDS = 0.1;

const players = new Map();

/**
 * Play a playlist, or a file, from its beginning, once so many seconds of it are there; `rate` 2 plays it twice as fast,
 * `by` is a key of `loaders`.
 */
window.play = async (name, url, rate, by, stock) => {
  const video = document.body.appendChild(document.createElement("video"));
  const report = { errors: [], stalls: [], jumps: [], hasStarted: false };
  players.set(name, { video, report });
  video.muted = true;
  video.playbackRate = video.defaultPlaybackRate = rate;
  watchFor(video, report);
  await loaders[url.endsWith(".m3u8") ? by : "file"](video, url, report);
  const deadline = performance.now() + STOCK_PATIENCE_MS;
  while (loadedOf(video) < stock && !report.errors.some(({ fatal }) => fatal)) {
    if (performance.now() > deadline) throw new Error(`${loadedOf(video)} of ${stock} s are there`);
    await new Promise((go) => setTimeout(go, 50));
  }
  await video.play();
};

const loaders = {
  hls: async (video, url, report) => {
    const hls = new Hls({ startPosition: 0 });
    hls.on(Hls.Events.ERROR, (_, { fatal, type, details }) => {
      const isSlow = !fatal && details === "bufferStalledError" && aheadOf(video) >= AHEAD_SECONDS;
      if (!isSlow) report.errors.push({ fatal, type, details });
    });
    hls.loadSource(url);
    hls.attachMedia(video);
  },
  shaka: async (video, url, report) => {
    shaka.polyfill.installAll();
    const player = new shaka.Player();
    const note = ({ severity, code, data }) =>
      report.errors.push({ fatal: severity === shaka.util.Error.Severity.CRITICAL, type: code, details: `${data}` });
    player.addEventListener("error", ({ detail }) => note(detail));
    await player.attach(video);
    await player.load(url, 0).catch(note);
  },
  file: async (video, url) => {
    // The pages' server knows no ranges, without which nothing can be sought in.
    video.src = URL.createObjectURL(await (await fetch(url)).blob());
  },
};

function watchFor(video, report) {
  video.addEventListener("playing", () => (report.hasStarted = true));
  video.addEventListener("waiting", () => {
    // With media ahead it is the machine that is too slow to show it.
    const isStarved = aheadOf(video) < AHEAD_SECONDS && video.duration - video.currentTime > END_SECONDS;
    if (report.hasStarted && !video.seeking && isStarved) report.stalls.push(video.currentTime);
  });
  video.addEventListener("seeking", () => {
    // A player that seeks of its own accord leaves something out.
    if (report.hasStarted && video.currentTime !== report.sought) report.jumps.push(video.currentTime);
  });
  video.addEventListener("error", () => report.errors.push({ fatal: true, details: video.error.message }));
}

/** Play on from a position; return where it is once it does. */
window.goOn = async (name, position) => {
  const { video, report } = players.get(name);
  report.sought = position;
  // However late this page looks, it finds the player near where it went on.
  video.playbackRate = 1;
  video.currentTime = position;
  await video.play();
  while (video.seeking || video.currentTime < position + 0.2) await new Promise((go) => setTimeout(go, 50));
  return video.currentTime;
};

function aheadOf(video) {
  const ranges = Array.from({ length: video.buffered.length }, (_, n) => [video.buffered.start(n), video.buffered.end(n)]);
  const around = ranges.find(([from, until]) => from <= video.currentTime && video.currentTime <= until);
  return around ? around[1] - video.currentTime : 0;
}

function loadedOf({ buffered }) {
  return buffered.length ? buffered.end(buffered.length - 1) : 0;
}

/** Pause and go to each of some times in turn; return the time of the picture shown there, or of the sound. */
window.seek = async (name, times) => {
  const { video, report } = players.get(name);
  video.pause();
  const shown = [];
  for (const time of times) {
    const picture = video.videoWidth && new Promise((done) => video.requestVideoFrameCallback((_, { mediaTime }) => done(mediaTime)));
    const sought = new Promise((done) => video.addEventListener("seeked", done, { once: true }));
    report.sought = time;
    video.currentTime = time;
    await sought;
    shown.push(video.videoWidth ? await settled(video, await picture, time) : video.currentTime);
  }
  return shown;
};

/** Return the picture's time; one from before the seek may be shown late, and is followed by another. */
async function settled(video, shown, time) {
  if (Math.abs(shown - time) < SOUGHT_SECONDS) return shown;
  const another = new Promise((done) => video.requestVideoFrameCallback((_, { mediaTime }) => done(mediaTime)));
  return Promise.race([another, new Promise((go) => setTimeout(() => go(shown), 1000))]);
}

/** Take a player away. */
window.close = (name) => {
  const { video } = players.get(name);
  video.removeAttribute("src");
  video.load();
  video.remove();
  players.delete(name);
};

/** Return what happened to a player so far. */
window.watch = (name) => {
  const { video, report } = players.get(name);
  const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
  return {
    ...report,
    ended: video.ended,
    buffered: Array.from({ length: video.buffered.length }, (_, n) => [video.buffered.start(n), video.buffered.end(n)]),
    position: video.currentTime,
    duration: video.duration,
    size: [video.videoWidth, video.videoHeight],
    frames: totalVideoFrames,
    dropped: droppedVideoFrames,
    audioBytes: video.webkitAudioDecodedByteCount,
  };
};

window.ready = true;
