// Notes every encoded picture on its way out, and passes it on untouched.

onrtctransform = ({ transformer }) => {
  const note = new TransformStream({
    transform(frame, controller) {
      const { rtpTimestamp, synchronizationSource, width, mimeType } = frame.getMetadata();
      if (transformer.options.kind === "video") {
        postMessage({
          rtp: rtpTimestamp ?? frame.timestamp,
          ssrc: synchronizationSource,
          width,
          codec: mimeType,
          bytes: frame.data.byteLength,
          key: frame.type === "key",
        });
      }
      controller.enqueue(frame);
    },
  });
  transformer.readable.pipeThrough(note).pipeTo(transformer.writable);
};
