// Plays HLS by hls.js from its start to its end and counts what a viewer would notice.

const players = new Map();

/** Play a playlist, or a file, from its beginning; `rate` 2 plays it twice as fast. Returns once it plays. */
window.play = async (name, url, rate) => {
  const video = document.body.appendChild(document.createElement("video"));
  const report = { errors: [], stalls: [], hasStarted: false };
  players.set(name, { video, report });
  video.muted = true;
  video.playbackRate = video.defaultPlaybackRate = rate;
  video.addEventListener("playing", () => (report.hasStarted = true));
  video.addEventListener("waiting", () => report.hasStarted && !video.ended && report.stalls.push(video.currentTime));
  video.addEventListener("error", () => report.errors.push({ fatal: true, details: video.error.message }));
  if (url.endsWith(".m3u8")) {
    const hls = new Hls({ startPosition: 0 });
    hls.on(Hls.Events.ERROR, (_, { fatal, type, details }) => report.errors.push({ fatal, type, details }));
    hls.loadSource(url);
    hls.attachMedia(video);
  } else {
    // The pages' server knows no ranges, without which nothing can be sought in.
    video.src = URL.createObjectURL(await (await fetch(url)).blob());
  }
  await video.play();
};

/** Pause and go to each of some times in turn; return the time of the picture shown there, or of the sound. */
window.seek = async (name, times) => {
  const { video } = players.get(name);
  video.pause();
  const shown = [];
  for (const time of times) {
    const picture = video.videoWidth && new Promise((done) => video.requestVideoFrameCallback((_, { mediaTime }) => done(mediaTime)));
    const sought = new Promise((done) => video.addEventListener("seeked", done, { once: true }));
    video.currentTime = time;
    await sought;
    shown.push(video.videoWidth ? await picture : video.currentTime);
  }
  return shown;
};

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
