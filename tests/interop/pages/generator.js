// Gives Firefox the MediaStreamTrackGenerator that publisher.js writes its pictures to: a canvas that is captured picture
// by picture. And opens its (fake) microphone: to pages that capture nothing Firefox shows no address but the default
// route's, which a machine need not have.

window.readyToJoin = Promise.resolve();

if (!window.MediaStreamTrackGenerator) {
  window.readyToJoin = navigator.mediaDevices.getUserMedia({ audio: true }).then((stream) => (window.microphone = stream));

  window.MediaStreamTrackGenerator = class {
    constructor() {
      const canvas = document.createElement("canvas");
      const context = canvas.getContext("2d");
      const stream = canvas.captureStream(0);
      const [track] = stream.getVideoTracks();
      track.writable = new WritableStream({
        write(frame) {
          if (canvas.width !== frame.displayWidth) {
            canvas.width = frame.displayWidth;
            canvas.height = frame.displayHeight;
          }
          context.drawImage(frame, 0, 0);
          frame.close();
          stream.requestFrame();
        },
      });
      return track;
    }
  };
}
