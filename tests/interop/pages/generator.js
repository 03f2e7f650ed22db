// Gives Firefox the MediaStreamTrackGenerator that publisher.js writes its pictures to: a canvas that is captured picture
// by picture.

window.MediaStreamTrackGenerator ??= class {
  constructor() {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d");
    const track = canvas.captureStream(0).getVideoTracks()[0];
    track.writable = new WritableStream({
      write(frame) {
        if (canvas.width !== frame.displayWidth) {
          canvas.width = frame.displayWidth;
          canvas.height = frame.displayHeight;
        }
        context.drawImage(frame, 0, 0);
        frame.close();
        track.requestFrame();
      },
    });
    return track;
  }
};
