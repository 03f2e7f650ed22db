// Stands between publisher.js and the browser: joins without keeping the caller waiting, keeps every peer connection where
// a test can ask it, offers no RED where a participant's name says so, and notes by what payload type sound leaves.

const peers = new Map();
const sessions = new Map();
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
    ({ resource }) => {
      sessions.set(name, { resource, token: options.token });
      outcomes.set(name, "joined");
    },
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

// Restarts ICE and gives the status of the PATCH. Spec: RFC 9725 section 4.3.3, RFC 8840 section 9.
window.restartIce = async (name) => {
  const pc = peers.get(name);
  const { resource, token } = sessions.get(name);
  pc.restartIce();
  await pc.setLocalDescription();
  while (pc.iceGatheringState !== "complete") await new Promise((resolve) => setTimeout(resolve, 20));
  const patched = await fetch(resource, {
    method: "PATCH",
    headers: {
      "Content-Type": "application/trickle-ice-sdpfrag",
      "If-Match": "*",
      Authorization: `Bearer ${token}`,
    },
    body: fragmentOf(pc.localDescription.sdp),
  });
  if (patched.status === 200) {
    const sdp = withIceOf(await patched.text(), pc.currentRemoteDescription.sdp);
    await pc.setRemoteDescription({ type: "answer", sdp });
  }
  return patched.status;
};

// The ICE name under which the participant sends now. Chromium says so of the transport, Firefox of the pair.
window.iceName = async (name) => {
  const stats = [...(await peers.get(name).getStats()).values()];
  const chosen = stats.find((one) => one.type === "transport")?.selectedCandidatePairId;
  const pair = stats.find((one) => one.type === "candidate-pair" && (chosen ? one.id === chosen : one.selected));
  return stats.find((one) => one.id === pair.localCandidateId).usernameFragment;
};

const ICE = /^a=(ice-ufrag|ice-pwd|candidate|end-of-candidates)/;

function fragmentOf(offer) {
  const [head, section] = offer.split(/^(?=m=)/m);
  const keep = (text, wanted) => text.split("\r\n").filter((line) => wanted.test(line));
  return [...keep(head, /^a=group:BUNDLE/), ...keep(section, /^m=|^a=mid:/), ...keep(section, ICE), ""].join("\r\n");
}

function withIceOf(fragment, answer) {
  const ice = fragment.split("\r\n").filter((line) => ICE.test(line));
  const lines = answer.split("\r\n").filter((line) => !ICE.test(line));
  return lines.flatMap((line) => (line.startsWith("a=mid:") ? [line, ...ice] : [line])).join("\r\n");
}
