// Stands between publisher.js and the browser: joins without keeping the caller waiting, keeps every peer connection where
// a test can ask it, offers no RED where a participant's name says so, and notes by what payload type sound leaves.

const peers = new Map();
const outcomes = new Map();
const soundTypes = new Map();
let joining = "";

const Peer = RTCPeerConnection;
window.RTCPeerConnection = class extends Peer {
  constructor(...options) {
    super(...options);
    peers.set(joining, this);
  }

  addTransceiver(track, init) {
    const transceiver = super.addTransceiver(track, init);
    if (track.kind === "audio" && joining.includes("without RED")) {
      const all = RTCRtpSender.getCapabilities("audio").codecs;
      transceiver.setCodecPreferences(all.filter((codec) => codec.mimeType === "audio/opus"));
    }
    return transceiver;
  }
};

const Transform = RTCRtpScriptTransform;
window.RTCRtpScriptTransform = function (worker, options) {
  if (options.kind !== "audio") return new Transform(worker, options);
  const noter = new Worker("sound.js");
  const name = joining;
  noter.onmessage = ({ data }) => soundTypes.set(name, data);
  return new Transform(noter, options);
};

// Lets a participant join; one at a time.
window.begin = (name, options) => {
  joining = name;
  outcomes.set(name, "waiting");
  readyToJoin.then(() => join(name, options)).then(
    () => outcomes.set(name, "joined"),
    (error) => outcomes.set(name, `failed: ${error}`),
  );
};

// What became of `begin`, and how far the connection is.
window.standing = (name) => {
  const pc = peers.get(name);
  const connection = pc
    ? `${pc.getTransceivers().length} sections, signalling ${pc.signalingState}, gathering ${pc.iceGatheringState}, ` +
      `ICE ${pc.iceConnectionState}, connection ${pc.connectionState}`
    : "no peer connection";
  return { outcome: outcomes.get(name), connection };
};

// What the answer calls the payload type of the sound last sent. Statistics name the codec inside RED.
window.soundCodec = (name) => {
  const lines = peers.get(name).remoteDescription.sdp.split("\r\n");
  const line = lines.find((one) => one.startsWith(`a=rtpmap:${soundTypes.get(name)} `));
  return line?.split(/[ /]/)[1] ?? `payload type ${soundTypes.get(name)}`;
};
