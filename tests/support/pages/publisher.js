// A participant that publishes by WHIP and knows exactly what it sent.
//
// Pictures come from painter.js (a worker), each with its capture time and number burnt in; sound comes from beeper.js (a
// worklet), with a beep on every whole second of the wall clock, the moment from which the picture flashes. Every encoded
// picture that leaves is noted with its RTP time (sent.js), so that a file can be held against what was really sent.

const AUDIO_WARM_UP_MS = 1000;
const REJOIN_WARM_UP_MS = 300;

class Participant {
  constructor(options) {
    this.options = { video: true, audio: true, codec: "H264", width: 640, height: 360, fps: 30, ...options };
    this.painted = { firstFrame: null, lastFrame: null, framesCount: 0 };
    this.times = [];
    this.sent = [];
    this.beeps = [];
    this.senders = {};
    this.tracks = {};
  }

  async start() {
    this.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    if (this.options.audio) this.soundSender = this.addTrack((this.sound = await this.makeSound()));
    if (this.options.screen) this.addTrack((this.picture = await screenTrack()));
    else if (this.options.video) this.addTrack((this.picture = this.makePicture()));
    await this.pc.setLocalDescription();
    await this.gathered();
    const answer = await fetch(this.options.url, {
      method: "POST",
      headers: { "Content-Type": "application/sdp", ...this.authorization() },
      body: this.options.via ? withoutCandidates(this.pc.localDescription.sdp) : this.pc.localDescription.sdp,
    });
    if (answer.status !== 201) throw new Error(`WHIP answered ${answer.status}: ${await answer.text()}`);
    this.resource = new URL(answer.headers.get("Location"), this.options.url).href;
    this.etag = answer.headers.get("ETag");
    const sdp = await answer.text();
    await this.pc.setRemoteDescription({
      type: "answer",
      sdp: this.options.via ? redirected(sdp, this.options.via) : sdp,
    });
    await this.connected();
  }

  async stop() {
    this.painter?.postMessage({ stop: true });
    // What has been painted leaves before the session does.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const answer = await fetch(this.resource, { method: "DELETE", headers: this.authorization() });
    this.abandon();
    return answer.status;
  }

  // Sends nothing of a kind any more ("off"), the same again ("on"), or another picture with other `options` instead.
  async swap(kind, to) {
    if (to === "off") return this.senders[kind].replaceTrack(null);
    if (to !== "on") {
      this.painter.postMessage({ stop: true });
      Object.assign(this.options, to);
      this.tracks[kind] = this.makePicture();
      this.tracks[kind].contentHint = "motion";
    }
    return this.senders[kind].replaceTrack(this.tracks[kind]);
  }

  // Goes silent without a word, as a closed lid does.
  abandon() {
    this.painter?.terminate();
    this.pc.close();
    this.audio?.close();
  }

  get pictureSender() {
    return this.pc.getSenders().find((sender) => sender.transport && sender !== this.soundSender);
  }

  // Changes what is sent, without a word to the server: what a page may do at any time.
  async change({ scale, codec, layers, camera, muted, size }) {
    const sender = this.pictureSender;
    const parameters = sender.getParameters();
    if (scale) parameters.encodings[0].scaleResolutionDownBy = scale;
    for (const encoding of parameters.encodings) encoding.active = layers?.[encoding.rid] ?? encoding.active;
    if (codec) {
      const known = RTCRtpSender.getCapabilities("video").codecs;
      parameters.encodings[0].codec = known.find((one) => one.mimeType === `video/${codec}`);
    }
    if (scale || codec || layers) await sender.setParameters(parameters);
    if (size) {
      this.painter.postMessage({ stop: true });
      [this.options.width, this.options.height] = size;
      this.picture = this.makePicture();
    }
    if (camera !== undefined || size) await sender.replaceTrack(camera === false ? null : this.picture);
    if (muted !== undefined) this.sound.enabled = !muted;
  }

  report() {
    return { ...this.painted, times: this.times, sent: this.sent, beeps: this.beeps, state: this.pc.connectionState };
  }

  // What leaves of the picture at this moment, by layer.
  async layers() {
    const stats = [...(await this.pictureSender.getStats()).values()].filter(({ type }) => type === "outbound-rtp");
    return Object.fromEntries(
      stats.map(({ rid, active, frameHeight, framesPerSecond, qualityLimitationReason }) => [
        rid ?? "",
        { height: (active && framesPerSecond && frameHeight) || 0, limit: qualityLimitationReason },
      ]),
    );
  }

  authorization() {
    return this.options.token ? { Authorization: `Bearer ${this.options.token}` } : {};
  }

  addTrack(track) {
    const transceiver = this.pc.addTransceiver(track, { direction: "sendonly", sendEncodings: this.encodings(track) });
    const isVideo = track.kind === "video";
    if (isVideo) {
      const all = RTCRtpSender.getCapabilities("video").codecs;
      const wanted = this.options.codec.split(",").flatMap((name) => all.filter((codec) => codec.mimeType === `video/${name}`));
      const repair = all.filter((codec) => codec.mimeType === "video/rtx");
      transceiver.setCodecPreferences([...wanted, ...repair]);
      if (!this.options.screen) transceiver.sender.track.contentHint = "motion";
    }
    this.senders[track.kind] = transceiver.sender;
    this.tracks[track.kind] = track;
    const noter = new Worker("sent.js");
    noter.onmessage = ({ data }) => isVideo && this.sent.push(data);
    transceiver.sender.transform = new RTCRtpScriptTransform(noter, { kind: track.kind });
    return transceiver.sender;
  }

  encodings(track) {
    if (track.kind === "audio") return [{}];
    const best = { maxBitrate: this.options.bitrate ?? 1_500_000, maxFramerate: this.options.fps };
    if (!this.options.simulcast) return [best];
    // Without a mode for each, Chromium sends all of VP9 in one stream, as spatial layers.
    const scalabilityMode = this.options.mode ?? "L1T1";
    return [
      { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000, scalabilityMode },
      { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000, scalabilityMode },
      { rid: "f", ...best, scalabilityMode },
    ];
  }

  makePicture() {
    const generator = new MediaStreamTrackGenerator({ kind: "video" });
    const { width, height, fps } = this.options;
    this.painter = new Worker("painter.js");
    this.painter.onmessage = ({ data }) => {
      this.painted.firstFrame ??= data;
      this.painted.lastFrame = data;
      this.painted.framesCount += 1;
      this.times.push(data.exact);
    };
    this.painter.postMessage({ writable: generator.writable, width, height, fps }, [generator.writable]);
    return generator;
  }

  async makeSound() {
    this.audio = new AudioContext({ sampleRate: 48000, latencyHint: "interactive" });
    await this.audio.resume();
    await this.audio.audioWorklet.addModule("beeper.js");
    const beeper = new AudioWorkletNode(this.audio, "beeper", {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: { burst: this.audio.baseLatency },
    });
    beeper.port.onmessage = ({ data }) => this.beeps.push(data);
    const destination = new MediaStreamAudioDestinationNode(this.audio, { channelCount: 1 });
    beeper.connect(destination);
    await new Promise((resolve) => setTimeout(resolve, this.options.warmUpMs ?? AUDIO_WARM_UP_MS));
    return destination.stream.getAudioTracks()[0];
  }

  gathered() {
    return until(this.pc, "icegatheringstatechange", () => this.pc.iceGatheringState === "complete");
  }

  connected() {
    return until(this.pc, "connectionstatechange", () => this.pc.connectionState === "connected");
  }
}

// An answer whose media port is reached by the address "host:port" of somebody between, and an offer that leaves the
// server no other way.
function redirected(sdp, via) {
  const [host, port] = via.split(":");
  const candidate = `a=candidate:1 1 udp 2130706431 ${host} ${port} typ host\r\n`;
  return withoutCandidates(sdp).replace(/(m=[^\r]*\r\n)/, `$1${candidate}`);
}

function withoutCandidates(sdp) {
  return sdp.replace(/a=candidate:[^\r]*\r\n/g, "");
}

async function screenTrack() {
  const [track] = (await navigator.mediaDevices.getDisplayMedia({ video: true })).getVideoTracks();
  return track;
}

function until(target, event, holds) {
  return new Promise((resolve) => {
    const check = () => holds() && resolve();
    target.addEventListener(event, check);
    check();
  });
}

const participants = new Map();

window.join = async (name, options) => {
  const participant = new Participant(options);
  participants.set(name, participant);
  await participant.start();
  return { resource: participant.resource, etag: participant.etag };
};
window.leave = (name) => participants.get(name).stop();
window.swap = (name, kind, to) => participants.get(name).swap(kind, to);
window.vanish = (name) => participants.get(name).abandon();
// Each leaves, or vanishes without a word, and comes back at once; `options` are what is other than before.
window.rejoin = (names, leaves, options) =>
  Promise.all(
    names.map(async (name) => {
      const before = participants.get(name);
      if (leaves) await before.stop();
      else before.abandon();
      await window.join(name, { ...before.options, warmUpMs: REJOIN_WARM_UP_MS, ...options });
    }),
  );
window.change = (name, wanted) => participants.get(name).change(wanted);
window.layers = (name) => participants.get(name).layers();
window.report = (name) => participants.get(name).report();
window.ready = true;
