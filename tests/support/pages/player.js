// Plays HLS by hls.js from its start to its end and counts what a viewer would notice.

const players = new Map();

/** Play a playlist from its first segment on; `rate` 2 plays it twice as fast. Returns once it plays. */
window.play = async (name, url, rate) => {
  const video = document.body.appendChild(document.createElement("video"));
  const report = { errors: [], stalls: [], hasStarted: false };
  players.set(name, { video, report });
  video.muted = true;
  video.playbackRate = video.defaultPlaybackRate = rate;
  video.addEventListener("playing", () => (report.hasStarted = true));
  video.addEventListener("waiting", () => report.hasStarted && !video.ended && report.stalls.push(video.currentTime));
  video.addEventListener("error", () => report.errors.push({ fatal: true, details: video.error.message }));
  const hls = new Hls({ startPosition: 0 });
  hls.on(Hls.Events.ERROR, (_, { fatal, type, details }) => report.errors.push({ fatal, type, details }));
  hls.loadSource(url);
  hls.attachMedia(video);
  await video.play();
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
