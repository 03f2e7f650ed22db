// A participant that publishes by WHIP and knows exactly what it sent.
//
// Pictures come from painter.js (a worker), each with its capture time and number burnt in. Sound is a beep that starts
// on every whole second of the wall clock, the moment from which the picture flashes. Every encoded picture that leaves
// is noted with its RTP time (sent.js), so that a file can be held against what was really sent.

const AUDIO_WARM_UP_MS = 1000;
const BEEP_SECONDS = 0.1;
const BEEP_HZ = 1000;

class Participant {
  constructor(options) {
    this.options = { video: true, audio: true, codec: "H264", width: 640, height: 360, fps: 30, ...options };
    this.painted = { firstFrame: null, lastFrame: null, framesCount: 0 };
    this.sent = [];
    this.beeps = [];
  }

  async start() {
    this.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    if (this.options.audio) this.addTrack(await this.makeSound());
    if (this.options.video) this.addTrack(this.makePicture());
    await this.pc.setLocalDescription();
    await this.gathered();
    const answer = await fetch(this.options.url, {
      method: "POST",
      headers: { "Content-Type": "application/sdp", ...this.authorization() },
      body: this.pc.localDescription.sdp,
    });
    if (answer.status !== 201) throw new Error(`WHIP answered ${answer.status}: ${await answer.text()}`);
    this.resource = new URL(answer.headers.get("Location"), this.options.url).href;
    this.etag = answer.headers.get("ETag");
    await this.pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
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

  // Goes silent without a word, as a closed lid does.
  abandon() {
    this.painter?.terminate();
    this.pc.close();
    this.audio?.close();
  }

  report() {
    return { ...this.painted, sent: this.sent, beeps: this.beeps, state: this.pc.connectionState };
  }

  authorization() {
    return this.options.token ? { Authorization: `Bearer ${this.options.token}` } : {};
  }

  addTrack(track) {
    const transceiver = this.pc.addTransceiver(track, { direction: "sendonly", sendEncodings: this.encodings(track) });
    const isVideo = track.kind === "video";
    if (isVideo) {
      const all = RTCRtpSender.getCapabilities("video").codecs;
      const wanted = all.filter((codec) => codec.mimeType === `video/${this.options.codec}`);
      const repair = all.filter((codec) => codec.mimeType === "video/rtx");
      transceiver.setCodecPreferences([...wanted, ...repair]);
      transceiver.sender.track.contentHint = "motion";
    }
    const noter = new Worker("sent.js");
    noter.onmessage = ({ data }) => isVideo && this.sent.push(data);
    transceiver.sender.transform = new RTCRtpScriptTransform(noter, { kind: track.kind });
  }

  encodings(track) {
    if (track.kind === "audio") return [{}];
    const best = { maxBitrate: this.options.bitrate ?? 1_500_000, maxFramerate: this.options.fps };
    if (!this.options.simulcast) return [best];
    return [
      { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
      { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
      { rid: "f", ...best },
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
    };
    this.painter.postMessage({ writable: generator.writable, width, height, fps }, [generator.writable]);
    return generator;
  }

  async makeSound() {
    this.audio = new AudioContext({ sampleRate: 48000, latencyHint: "interactive" });
    await this.audio.resume();
    const clock = await this.audioClock();
    const destination = this.audio.createMediaStreamDestination();
    // A tone too quiet to be taken for a beep keeps the encoder from ever idling.
    this.tone(destination, 220, 0.01, this.audio.currentTime);
    this.beepTimer = setInterval(() => this.scheduleBeeps(destination, clock), 200);
    return destination.stream.getAudioTracks()[0];
  }

  // Returns the wall clock (seconds) at audio time 0: the middle of what a worklet sees while sound is rendered.
  async audioClock() {
    await this.audio.audioWorklet.addModule("clock.js");
    const node = new AudioWorkletNode(this.audio, "clock");
    const offsets = [];
    node.port.onmessage = ({ data }) => offsets.push(data);
    node.connect(this.audio.destination);
    await new Promise((resolve) => setTimeout(resolve, AUDIO_WARM_UP_MS));
    node.disconnect();
    offsets.sort((a, b) => a - b);
    return offsets[Math.floor(offsets.length / 2)];
  }

  scheduleBeeps(destination, clock) {
    const nowWall = this.audio.currentTime + clock;
    this.beepNext ??= Math.ceil(nowWall + 0.3);
    while (this.beepNext < nowWall + 1) {
      const at = this.beepNext - clock;
      this.tone(destination, BEEP_HZ, 0.5, at, at + BEEP_SECONDS);
      this.beeps.push(this.beepNext * 1000);
      this.beepNext += 1;
    }
  }

  tone(destination, hertz, level, from, to) {
    const oscillator = new OscillatorNode(this.audio, { frequency: hertz });
    oscillator.connect(new GainNode(this.audio, { gain: level })).connect(destination);
    oscillator.start(from);
    if (to !== undefined) oscillator.stop(to);
  }

  gathered() {
    return until(this.pc, "icegatheringstatechange", () => this.pc.iceGatheringState === "complete");
  }

  connected() {
    return until(this.pc, "connectionstatechange", () => this.pc.connectionState === "connected");
  }
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
window.vanish = (name) => participants.get(name).abandon();
window.report = (name) => participants.get(name).report();
window.ready = true;
