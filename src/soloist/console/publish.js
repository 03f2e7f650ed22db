// Publishing from this browser by WHIP (RFC 9725): one session for camera and microphone, one for the screen.

import { ApiError, api, errorOf } from "./api.js";

const GATHER_MS = 1500;

/** One WHIP session: a stream, its connection, and the address it is ended at. */
class Session {
  constructor(stream, name) {
    this.stream = stream;
    this.name = name;
    this.peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    for (const track of stream.getTracks()) {
      const sendEncodings = track.kind === "video" && name === "camera" ? layers(track) : [{}];
      this.peer.addTransceiver(track, { direction: "sendonly", streams: [stream], sendEncodings });
    }
  }

  async open(path, token) {
    this.token = token;
    await this.peer.setLocalDescription();
    await gathered(this.peer);
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/sdp", Authorization: `Bearer ${token}` },
      body: this.peer.localDescription.sdp,
    });
    if (answer.status !== 201) throw await errorOf(answer);
    this.resource = answer.headers.get("Location");
    await this.peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  }

  close() {
    for (const track of this.stream.getTracks()) track.stop();
    if (!this.resource) return this.peer.close();
    const headers = { Authorization: `Bearer ${this.token}` };
    // Sent even if the page is being left; the connection ends after it, or there would be no session to leave.
    fetch(this.resource, { method: "DELETE", headers, keepalive: true }).catch(() => {}).finally(() => this.peer.close());
  }
}

/** Half and quarter sizes beside the whole picture, so that a job's level has something to choose from. */
function layers(track) {
  const height = track.getSettings().height ?? 0;
  const whole = { rid: "f", maxBitrate: height > 720 ? 4_000_000 : height > 360 ? 2_000_000 : 800_000 };
  if (height <= 360) return [whole];
  return [
    { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
    { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 600_000 },
    whole,
  ];
}

/** Return once candidates are known, or most of them: the server finds the address of whoever asks it. */
function gathered(peer) {
  return new Promise((resolve) => {
    const check = () => peer.iceGatheringState === "complete" && resolve();
    peer.addEventListener("icegatheringstatechange", check);
    setTimeout(resolve, GATHER_MS);
    check();
  });
}

/** Everything this page publishes. `onChange` is told of each change, `onLost` why a session ended by itself. */
export class Publisher {
  constructor(onChange, onLost) {
    this.sessions = [];
    this.onChange = onChange;
    this.onLost = onLost;
    addEventListener("pagehide", () => this.leave());
  }

  get isLive() {
    return this.sessions.length > 0;
  }

  async join({ app, room, user, camera, microphone, screen, height }) {
    if (!camera && !microphone && !screen) throw new ApiError(0, "", "Choose what to send: camera, microphone or screen.");
    Object.assign(this, { room, user });
    try {
      // The screen first: browsers ask for it only as the answer to a click.
      const captured = screen && (await capture(() => navigator.mediaDevices.getDisplayMedia({ video: true })));
      const size = { height: { ideal: height }, width: { ideal: Math.round((height * 16) / 9) } };
      const own = (camera || microphone) &&
        (await capture(() => navigator.mediaDevices.getUserMedia({ video: camera && size, audio: microphone })));
      if (own) this.add(new Session(own, "camera"));
      if (captured) this.add(new Session(captured, "screen"));
      const { token, whip_path } = await api.joinToken(app, room, user);
      for (const session of this.sessions) await session.open(`${whip_path}?stream=${session.name}`, token);
    } catch (error) {
      this.leave();
      throw error;
    }
    this.onChange();
  }

  add(session) {
    this.sessions.push(session);
    session.peer.addEventListener("connectionstatechange", () => {
      if (session.peer.connectionState === "failed") this.drop(session, `The ${session.name}'s connection is lost. Join again.`);
      this.onChange();
    });
    for (const track of session.stream.getTracks()) {
      track.addEventListener("ended", () => this.drop(session, `The ${session.name}'s ${track.kind} has ended.`));
    }
    this.onChange();
  }

  /** Notice what a connection takes half a minute to: that the server has sent us out of the room. */
  compare(rooms) {
    for (const session of [...this.sessions]) {
      const isThere = rooms.some(({ room_id: room, streams }) =>
        room === this.room && streams.some((one) => one.user_id === this.user && one.stream === session.name));
      if (session.wasSeen && !isThere) this.drop(session, `You are no longer in the room: the ${session.name} was sent out of it.`);
      session.wasSeen ||= isThere;
    }
  }

  drop(session, reason) {
    if (!this.sessions.includes(session)) return;
    this.sessions = this.sessions.filter((one) => one !== session);
    session.close();
    this.onLost(reason);
    this.onChange();
  }

  leave() {
    for (const session of this.sessions.splice(0)) session.close();
    this.onChange();
  }
}

async function capture(open) {
  if (!navigator.mediaDevices) throw new ApiError(0, "", "Browsers open cameras on https:// pages and on this machine only.");
  try {
    return await open();
  } catch (error) {
    throw new ApiError(0, "", `The browser gives no picture or sound: ${error.message}.`);
  }
}
