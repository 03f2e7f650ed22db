// Tells by what payload type encoded sound leaves, whenever that changes, and passes it on untouched.

onrtctransform = ({ transformer }) => {
  let last = null;
  const note = new TransformStream({
    transform(frame, controller) {
      const { payloadType } = frame.getMetadata();
      if (payloadType !== last) postMessage(payloadType);
      last = payloadType;
      controller.enqueue(frame);
    },
  });
  transformer.readable.pipeThrough(note).pipeTo(transformer.writable);
};
